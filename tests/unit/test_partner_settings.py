"""Where a partner's files are by the settings, and the light reading of declarations that DAGs and `up` do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from fleetflow.partners import address_of, read_accounts, read_partner, read_pgp_names, read_schedules
from fleetflow.settings import Settings, SettingsError, load_settings
from ingestion.partners.declare.declaration import Declaration, read_declarations
from ingestion.partners.declare.model import CsvFormat
from ingestion.partners.fetch.arrival import expected_at

SHARED = {
    "FLEETFLOW_SFTP_URL": "sftp://files.example.org:2222",
    "FLEETFLOW_SFTP_KEY": "/keys/shared",
    "FLEETFLOW_SFTP_KNOWN_HOSTS": "/keys/known_hosts",
}
ALPHA = Declaration(
    name="alpha_one", tenant_id="acme", feed="fuel_purchase", account="alpha", directory="out", pattern="*",
    format=CsvFormat(), columns={}, line_key=(),
)  # fmt: skip


def test_a_partner_lies_where_all_do_unless_it_has_settings_of_its_own(tmp_path: Path) -> None:
    shared = address_of(load_settings(tmp_path, SHARED), ALPHA)
    assert (shared.host, shared.port, shared.account) == ("files.example.org", 2222, "alpha")
    assert (shared.key, shared.known_hosts) == ("/keys/shared", "/keys/known_hosts")
    own = {
        **SHARED,
        "FLEETFLOW_SFTP_ALPHA_ONE_URL": "sftp://fleet@partner.example.org",
        "FLEETFLOW_SFTP_ALPHA_ONE_KEY": "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret",
    }
    found = address_of(load_settings(tmp_path, own), ALPHA)
    assert (found.host, found.port, found.account) == ("partner.example.org", 22, "fleet")
    assert found.known_hosts == "/keys/known_hosts"
    assert "secret" not in f"{found!r} {found}"
    assert address_of(load_settings(tmp_path, own), replace(ALPHA, name="beta")).host == "files.example.org"


def test_a_directory_of_keys_holds_one_per_account(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {**SHARED, "FLEETFLOW_SFTP_KEY": str(tmp_path)})
    assert address_of(settings, ALPHA).key == str(tmp_path / "alpha")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"FLEETFLOW_SFTP_URL": ""}, "neither FLEETFLOW_SFTP_ALPHA_ONE_URL nor FLEETFLOW_SFTP_URL is set"),
        ({"FLEETFLOW_SFTP_KEY": ""}, "nor FLEETFLOW_SFTP_KEY is set"),
        ({"FLEETFLOW_SFTP_KNOWN_HOSTS": ""}, "nor FLEETFLOW_SFTP_KNOWN_HOSTS is set"),
        ({"FLEETFLOW_SFTP_URL": "https://x"}, "'https://x' of alpha_one is not like sftp://host:22"),
        ({"FLEETFLOW_SFTP_URL": "sftp://x:port"}, "'sftp://x:port' of alpha_one cannot be used"),
    ],
)
def test_what_is_not_set_is_named(tmp_path: Path, change: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        address_of(load_settings(tmp_path, {**SHARED, **change}), ALPHA)


def test_the_key_is_a_secret(tmp_path: Path) -> None:
    assert "/keys/shared" not in repr(replace(load_settings(tmp_path, SHARED), environment={}))


def test_an_unknown_partner_is_named_with_those_there_are(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    with pytest.raises(SettingsError, match=r"'../x' is no declared partner .*nordcard"):
        read_partner(settings, "../x")


def test_light_reading_agrees_with_the_whole_one() -> None:
    """Every shipped declaration, over two years: the crons fire at each expected instant, and at no other."""
    schedules = {one.partner: one for one in read_schedules(Settings.partners_dir)}
    accounts = read_accounts(Settings.partners_dir)
    declared = read_declarations(Settings.partners_dir)
    assert schedules.keys() == declared.keys()
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    for name, declaration in declared.items():
        assert declaration.directory in accounts[declaration.account]
        schedule = schedules[name]
        if declaration.arrival is None:
            assert schedule.crons == ()
            continue
        assert schedule.grace == declaration.arrival.grace
        fired = {at for cron in schedule.crons for at in fire(cron, schedule.zone, begin, days=730)}
        assert fired == set(expected_at(declaration, begin, begin + timedelta(days=730)))
    assert set(read_pgp_names(Settings.partners_dir)) == {one.pgp.key for one in declared.values() if one.pgp}


def fire(cron: str, zone: str, begin: datetime, days: int) -> list[datetime]:
    """The cron's times on the wall, each as an instant."""
    wall = begin.astimezone(ZoneInfo(zone)).replace(tzinfo=None) - timedelta(days=2)
    times = croniter(cron, wall)
    found = []
    while (at := times.get_next(datetime)) < wall + timedelta(days=days + 4):
        instant = at.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        if begin <= instant < begin + timedelta(days=days):
            found.append(instant)
    return found


@pytest.mark.parametrize(
    "text",
    [
        "arrival: [",
        "- a\n- b",
        "arrival: 5",
        "arrival: {times: [25:99]}",
        'arrival: {times: ["06:00"], zone: Mars/X}',
        "\xff",
    ],
)
def test_a_declaration_at_fault_has_no_schedule_and_disturbs_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_bytes(text.encode("latin-1"))
    (tmp_path / "good.yaml").write_text(
        'arrival: {times: ["06:30", "18:00"], weekdays: [mon], grace: 90 min}'
    )
    bad, good = read_schedules(tmp_path)
    assert (bad.partner, bad.crons) == ("bad", ())
    assert (good.crons, good.grace) == (("0 18 * * mon", "30 6 * * mon"), timedelta(minutes=90))
    assert set(read_accounts(tmp_path)) == {"bad", "good"}
