"""Partner files from a real SFTP server to a real warehouse: taken once, corrected by line, each with a clear state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from partner_stack import HEADER, Partner, lines, partner_stack, text
from typer.testing import CliRunner

from fleetflow.cli import app
from fleetflow.faults import UserError
from fleetflow.runtime import client
from fleetflow.settings import Settings, SettingsError
from ingestion.landing.ledger import Ledger
from ingestion.landing.raw_object import put_object
from ingestion.landing.rebuild import read_batch, rebuild_object


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with partner_stack(tmp_path_factory.mktemp("partners") / "home") as found:
        yield found


def test_a_file_lands_once_and_is_archived(settings: Settings) -> None:
    partner = Partner(settings)
    content = text([*lines(300), "T9;V1;yesterday;Diesel;1;1;EUR"])
    partner.drop("fuel_1.csv", content)
    outcome = partner.load()["fuel_1.csv"]
    assert outcome.fault is None
    assert partner.files() == [("fuel_1.csv", "loaded", 301, 300, 1, 0, 0)]
    assert len(partner.landed()) == 300
    assert partner.archived("fuel_1.csv") == content
    assert len(partner.objects("raw/")) == 1
    [(read, accepted, rejected, source)] = partner.sql(
        "select b.events_read, b.accepted, b.rejected, b.source from ops.batch as b"
        " join ops.partner_file as f on f.file_id = b.partner_file_id where f.partner = %s", partner.name,
    )  # fmt: skip
    assert (read, accepted, rejected, source) == (301, 300, 1, "partner")
    [(rule, raw, line)] = partner.sql(
        "select r.rule, r.raw, r.sequence_number from ops.rejected as r join ops.batch as b using (batch_id)"
        " join ops.partner_file as f on f.file_id = b.partner_file_id where f.partner = %s", partner.name,
    )  # fmt: skip
    assert (rule, bytes(raw), line) == ("wrong_type", b"T9;V1;yesterday;Diesel;1;1;EUR", "302")

    assert partner.load() == {}
    partner.drop("fuel_1.csv", content, minutes=5)
    again = partner.load()["fuel_1.csv"]
    assert again.repeated
    assert partner.files() == [("fuel_1.csv", "loaded", 301, 300, 1, 0, 0)]
    assert len(partner.landed()) == 300


def test_a_corrected_file_lands_what_is_new_and_what_changed(settings: Settings) -> None:
    partner = Partner(settings)
    partner.drop("fuel_1.csv", text(lines(100)))
    partner.load()
    partner.drop("fuel_1.csv", text(lines(98, start=2, T0000005="99.9") + lines(3, start=100)), minutes=60)
    corrected = partner.load()["fuel_1.csv"].file
    assert (corrected.accepted, corrected.unchanged, corrected.superseded, corrected.absent) == (4, 97, 1, 2)
    assert [row[1] for row in partner.landed() if row[0] == "T0000005"] == [20.5, 99.9]

    partner.drop("fuel_1.csv", text(lines(103)), minutes=60 * 24)
    third = partner.load()["fuel_1.csv"].file
    assert (third.accepted, third.unchanged, third.superseded, third.absent) == (1, 102, 1, 0)
    assert [row[1] for row in partner.landed() if row[0] == "T0000005"] == [20.5, 99.9, 20.5]

    partner.drop("fuel_1.csv", text(lines(100)), minutes=60 * 48)
    again = partner.load()["fuel_1.csv"]
    assert again.repeated
    assert "came again after file" in (again.file.reason or "")
    assert len(partner.landed()) == 105


def test_a_correction_stands_though_the_raw_object_was_made_anew_from_landing(settings: Settings) -> None:
    """Such an object lacks the lines' hashes, and these lines tell themselves when they were recorded."""
    partner = Partner(settings)
    partner.declare(("columns:", "columns:\n  recorded_at: {source: Sent, layouts: [iso]}"))

    def sent(rows: list[str]) -> bytes:
        return text([f"{row};2026-10-30T05:00:00Z" for row in rows], f"{HEADER};Sent")

    partner.drop("fuel_1.csv", sent(lines(100)))
    partner.load()
    s3, [(batch_id,)] = client(settings, "s3"), partner.sql(
        "select b.batch_id from ops.batch as b join ops.partner_file as f on f.file_id = b.partner_file_id"
        " where f.partner = %s", partner.name,
    )  # fmt: skip
    with closing(Ledger(settings.dsn("loader"))) as ledger:
        with ledger.transaction() as cursor:
            batch = read_batch(cursor, batch_id)
        put = partial(put_object, s3, settings.raw_bucket)
        assert rebuild_object(ledger, batch, None, put, lambda _: None) == "landing"

    partner.drop("fuel_1.csv", sent(lines(98, start=2, T0000005="99.9")), minutes=60)
    found = partner.load()["fuel_1.csv"].file
    assert (found.accepted, found.unchanged, found.superseded, found.absent) == (98, 0, 98, 2)
    versions = partner.sql(
        "select recorded_at, volume_l from landing.fuel_purchase where partner = %s"
        " and transaction_id = 'T0000005' order by 1", partner.name,
    )  # fmt: skip
    assert [litres for _, litres in versions] == [20.5, 99.9]
    assert versions[0][0] < versions[1][0], "of what was recorded at once, either might stand"


def test_files_that_wait_are_not_taken(settings: Settings) -> None:
    partner = Partner(settings, completeness='{done: "{name}.done"}')
    partner.drop("fuel_1.csv", text(lines(5)))
    partner.drop("fuel_2.csv.part", text(lines(5)))
    assert partner.load()["fuel_1.csv"].state == "seen"
    assert partner.files() == [("fuel_1.csv", "seen", None, None, None, None, None)]
    partner.drop("fuel_1.csv.done", b"")
    assert partner.load()["fuel_1.csv"].state == "loaded"


def test_what_is_loaded_leaves_the_server_as_declared(settings: Settings) -> None:
    gone = Partner(settings, after_load="delete", completeness='{done: "{name}.done"}')
    moved = Partner(settings, after_load="move")
    for partner in (gone, moved):
        partner.drop("fuel_1.csv", text(lines(5)))
        partner.drop("fuel_1.csv.done", b"")
        assert partner.load()["fuel_1.csv"].state == "loaded"
    assert sorted(path.name for path in gone.directory.rglob("*")) == []
    assert (moved.directory / "loaded" / "fuel_1.csv").read_bytes() == text(lines(5))


def test_a_missing_delivery_is_named_and_a_late_one_takes_its_place(settings: Settings) -> None:
    due = datetime.now(UTC) - timedelta(hours=3)
    partner = Partner(settings, more=f'arrival: {{times: ["{due:%H:%M}"], zone: UTC, grace: 1 h}}')
    assert partner.load() == {}, "what was due before the partner was watched is not missing"
    partner.sql(
        "update ops.partner_watch set watched_from = watched_from - interval '26 hours' where partner = %s"
        " returning 1", partner.name,
    )  # fmt: skip
    outcomes = partner.load()
    missing = partner.sql(
        "select expected_at, name, reason from ops.partner_file where partner = %s and state = 'missing' order by 1",
        partner.name,
    )
    assert [row[0].replace(second=0, microsecond=0) for row in missing] == [
        (due - timedelta(days=days)).replace(second=0, microsecond=0) for days in (1, 0)
    ][-len(missing) :]
    assert [one.state for one in outcomes.values()] == ["missing"]
    assert "not there by" in missing[-1][2]

    partner.drop("fuel_1.csv", text(lines(5)))
    late = partner.load()["fuel_1.csv"].file
    assert (late.state, late.is_late) == ("loaded", True)
    assert late.expected_at == missing[-1][0]
    still = partner.sql(
        "select expected_at from ops.partner_file where partner = %s and state = 'missing' order by 1",
        partner.name,
    )
    assert still == [row[:1] for row in missing[:-1]]


def test_a_manifest_that_counts_other_lines_refuses(settings: Settings) -> None:
    partner = Partner(settings, completeness='{manifest: "{stem}.manifest"}')
    for name, said in (("fuel_1", 5), ("fuel_2", 6)):
        content = text(lines(5, said * 10))
        partner.drop(f"{name}.csv", content)
        partner.drop(f"{name}.manifest", f"name,size,rows\n{name}.csv,{len(content)},{said}\n".encode(), 1)
    found = {name: (one.state, one.file.cause) for name, one in partner.load().items()}
    assert found == {"fuel_1.csv": ("loaded", None), "fuel_2.csv": ("refused", "manifest")}


def test_the_command_line_tells_and_decides(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETFLOW_HOME", str(settings.home))
    monkeypatch.delenv("FLEETFLOW_PARTNERS_DIR", raising=False)
    for stray in settings.partners_dir.glob("nobody.yaml"):
        stray.unlink()
    partner = Partner(settings)
    good = partner.drop("fuel_1.csv", text(lines(10)))
    assert "10 lines, 10 accepted, 0 rejected" in run("check", str(good), "--partner", partner.name)
    assert "fuel_1.csv: loaded" in run("load", partner.name)
    bad = partner.drop(
        "fuel_2.csv", text([line.replace("EUR", "").replace("Diesel", "Tea") for line in lines(10, 20)])
    )
    assert "would be held (rejected_share)" in run("check", str(bad), "--partner", partner.name, fine=1)
    told = json.loads(run("load", partner.name, "--json", fine=1))
    assert (told["state"], told["cause"]) == ("held", "rejected_share")
    file = str(told["file_id"])
    assert f"fleetflow partner approve {file}" in run("show", file)
    assert [
        row["name"]
        for row in json.loads(run("files", "--partner", partner.name, "--state", "held", "--json"))
    ] == ["fuel_2.csv"]
    [row] = [row for row in json.loads(run("list", "--json")) if row["partner"] == partner.name]
    assert (row["feed"], row["loaded"], row["held"]) == ("fuel_purchase", 1, 1)
    assert "approved by kim" in run("approve", file, "--by", "kim")
    assert "10: 0 landed, 10 rejected, 0 unchanged" in run("load", partner.name)
    [schema] = json.loads(run("schema", partner.name, "--json"))
    assert [column["column"] for column in schema["columns"]][:2] == ["transaction_id", "vehicle_id"]
    for words, complaint in (
        (("approve", file), "only a held file can be approved"),
        (("retry", file), "only a refused file can be tried again"),
        (("show", "999999"), "there is no partner file 999999"),
        (("load", "nobody"), "is no declared partner"),
        (("files", "--state", "lost"), "is no state"),
    ):
        with pytest.raises((UserError, SettingsError), match=complaint):
            run(*words)


def run(*words: str, fine: int = 0) -> str:
    """Run `fleetflow partner` in this process; a fault that a user can mend is raised."""
    done = CliRunner().invoke(app, ["partner", *words])
    if isinstance(done.exception, UserError | SettingsError):
        raise done.exception
    assert done.exit_code == fine, f"{words}: {done.output}{done.exception!r}"
    return done.stdout
