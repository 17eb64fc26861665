"""Partner files from a real SFTP server to a real warehouse: taken once, corrected by line, each with a clear state."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from partner_stack import BEGIN, Partner, lines, partner_stack, text

from fleetflow.settings import Settings


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
    at = (BEGIN + timedelta(days=19)).strftime("%H:%M")
    partner = Partner(settings, more=f'arrival: {{times: ["{at}"], zone: UTC, grace: 1 h}}')
    partner.load()
    partner.sql(
        "update ops.partner_watch set watched_from = watched_from - interval '3 days' where partner = %s"
        " returning 1", partner.name,
    )  # fmt: skip
    outcomes = partner.load()
    missing = partner.sql(
        "select expected_at, reason from ops.partner_file where partner = %s and state = 'missing' order by 1",
        partner.name,
    )
    assert len(missing) in (2, 3)
    assert all(outcome.state == "missing" for outcome in outcomes.values())
    assert "not there by" in missing[0][1]
