"""A partner's load is killed at each of its steps; run again, everything is as if nothing had happened."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import partner_killed
import psycopg
import pyarrow.parquet as pq
import pytest
from partner_stack import BEGIN, HEADER, Partner, lines, partner_stack, text

from fleetflow.runtime import client
from fleetflow.settings import Settings
from ingestion.partners.ledger import try_lock
from ingestion.partners.load import STEPS, PartnerBusyError

# The load takes two files: a correction first, then a new file with rejects and a column that nothing maps.
AGAIN = ("archived", "object", "before commit", "after commit", "cleared")
MOMENTS = [(step, 1) for step in STEPS] + [(step, 2) for step in AGAIN]
EXTRA = f"{HEADER};Pump"
BAD = "T9999999;V1;yesterday;Diesel;1;1;EUR;7"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with partner_stack(tmp_path_factory.mktemp("killed") / "home") as found:
        yield found


def prepared(settings: Settings) -> Partner:
    """A partner whose first file is loaded, with its correction and a second file on the server."""
    partner = Partner(settings, after_load="delete")
    partner.drop("fuel_a.csv", text(lines(40)))
    assert partner.load()["fuel_a.csv"].state == "loaded"
    partner.drop("fuel_a.csv", text(lines(42, T0000003="77.7")), minutes=60)
    partner.drop(
        "fuel_b.csv", text([*(f"{line};{n}" for n, line in enumerate(lines(30, 100))), BAD], EXTRA), 70
    )
    return partner


def result(partner: Partner) -> dict[str, Any]:
    """Everything that a load leaves, but for numbers and moments of the ledger's own."""
    of_partner = "join ops.partner_file as f on f.file_id = b.partner_file_id where f.partner = %s"
    return {
        "files": partner.files(),
        "more": partner.sql(
            "select sha256, sent_at, is_late, absent, supersedes is not null, schema_version, repeats, attempts,"
            " reason, observations from ops.partner_file where partner = %s order by file_id", partner.name,
        ),
        "landed": partner.sql(
            "select tenant_id, recorded_at, source_line, transaction_id, vehicle_id, purchased_at, fuel, volume_l,"
            " amount_minor, currency, line from landing.fuel_purchase where partner = %s order by 2, 3",
            partner.name,
        ),
        "batches": partner.sql(
            "select b.source, b.feed, b.first_sequence, b.last_sequence, b.events_read, b.accepted, b.rejected,"
            f" b.min_event_time, b.max_event_time from ops.batch as b {of_partner} order by b.batch_id", partner.name,
        ),
        "pending": partner.sql(
            f"select count(*) from ops.pending_batch as p join ops.batch as b using (batch_id) {of_partner}",
            partner.name,
        ),
        "rejected": partner.sql(
            "select r.rule, r.detail, r.raw, r.sequence_number from ops.rejected as r"
            f" join ops.batch as b using (batch_id) {of_partner}", partner.name,
        ),
        "extras": partner.sql(
            "select e.line, e.extras from ops.partner_extra as e join ops.batch as b using (batch_id)"
            f" {of_partner} order by e.line", partner.name,
        ),
        "schemas": partner.sql(
            "select version, fingerprint, state from ops.partner_schema where partner = %s order by 1", partner.name
        ),
        "objects": [rows_of(partner, key) for key in partner.objects("raw/")],
        "archive": sorted(key.rpartition("/")[2] for key in partner.objects("archive/")),
        "server": sorted(path.name for path in partner.directory.rglob("*")),
    }  # fmt: skip


def rows_of(partner: Partner, key: str) -> list[Any]:
    """The purchases of a raw object. The ledger must name it, or it is one that nobody would ever find."""
    [(known,)] = partner.sql("select count(*) from ops.batch where object_key = %s", key)
    assert known == 1, f"{key} is known to {known} batches"
    s3 = client(partner.settings, "s3")
    body = s3.get_object(Bucket=partner.settings.raw_bucket, Key=key)["Body"].read()
    table = pq.read_table(io.BytesIO(body))
    return table.select(["transaction_id", "volume_l", "recorded_at", "stream_sequence"]).to_pylist()


@pytest.fixture(scope="module")
def undisturbed(settings: Settings) -> dict[str, Any]:
    partner = prepared(settings)
    partner.load()
    return result(partner)


def test_the_undisturbed_result_is_what_was_sent(undisturbed: dict[str, Any]) -> None:
    assert undisturbed["files"] == [
        ("fuel_a.csv", "loaded", 40, 40, 0, 0, 0),
        ("fuel_a.csv", "loaded", 42, 3, 0, 39, 1),
        ("fuel_b.csv", "loaded", 31, 30, 1, 0, 0),
    ]
    assert len(undisturbed["landed"]) == 73
    assert len(undisturbed["extras"]) == 30
    assert sorted(len(rows) for rows in undisturbed["objects"]) == [3, 30, 40]
    assert len(undisturbed["archive"]) == 3
    assert undisturbed["server"] == []


def test_a_load_killed_at_any_step_is_finished_by_the_next(
    settings: Settings, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    processes = partner_killed.preloaded()
    for step, times in MOMENTS:
        partner = prepared(settings)
        arguments = (str(settings.home), partner.name, step, times, str(tmp_path))
        child = processes.Process(target=partner_killed.load_until, args=arguments)
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL, f"{step}, time {times}: was not reached"
        partner.load()
        found = result(partner)
        for part, wanted in undisturbed.items():
            assert comparable(part, found[part]) == comparable(part, wanted), f"{step}, time {times}: {part}"


def comparable(part: str, value: Any) -> Any:
    """Objects are listed by hash, and a file on which a load died comes last: neither order is part of the result."""
    return sorted(value, key=str) if part in ("objects", "batches") else value


def test_two_loaders_at_once_do_not_share_a_partner(settings: Settings) -> None:
    partner = prepared(settings)
    with psycopg.connect(settings.dsn("loader"), autocommit=True) as other:
        assert try_lock(other, partner.name)
        with pytest.raises(PartnerBusyError, match="another load"):
            partner.load()
    partner.load()
    assert [row[1] for row in partner.files()] == ["loaded"] * 3


def test_a_file_that_ends_every_load_is_held_and_keeps_nobody_waiting(settings: Settings) -> None:
    partner = prepared(settings)
    partner.directory.joinpath("fuel_b.csv").unlink()
    partner.load()
    partner.sql(
        "insert into ops.partner_file (partner, tenant_id, feed, name, sha256, state, attempts, sent_at, whole_at)"
        " select partner, tenant_id, feed, 'fuel_poison.csv', 'ab', 'whole', 5, %s, %s from ops.partner_file"
        " where partner = %s limit 1 returning 1", BEGIN, BEGIN + timedelta(minutes=1), partner.name,
    )  # fmt: skip
    partner.drop("fuel_c.csv", text(lines(3, 500)))
    outcomes = partner.load()
    assert outcomes["fuel_c.csv"].state == "loaded"
    assert outcomes["fuel_poison.csv"].state == "held"
    assert "5 loads began on it" in (outcomes["fuel_poison.csv"].file.reason or "")
