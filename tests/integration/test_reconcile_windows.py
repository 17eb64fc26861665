"""Windows on a real stack: what is whole passes, what was damaged by hand is named, mended and counted again.

One filled stack for all: each test mends what it damaged, or puts it back.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import psycopg
import pyarrow.parquet as pq
import pytest

from fleetflow.order_reconciliation import reconcile_orders
from quality.reconcile import Attempt, Cause, Verdict
from tests.integration.reconcile_stack import ReconcileStack

GPS, STATUS = "gps_location", "shipment_event"


@pytest.fixture
def stack(filled_stack: ReconcileStack) -> ReconcileStack:
    return filled_stack


def verdicts(found: dict[str, Attempt]) -> dict[str, tuple[Verdict, str]]:
    return {feed: (a.verdict, "; ".join(d.words for d in a.differences)) for feed, a in found.items()}


PASSED = {GPS: (Verdict.PASSED, ""), STATUS: (Verdict.PASSED, "")}
REPAIRED = {GPS: (Verdict.REPAIRED, ""), STATUS: (Verdict.REPAIRED, "")}


@pytest.fixture(autouse=True)
def forget_attempts(stack: ReconcileStack) -> None:
    stack.execute("truncate ops.reconciliation, ops.verified_through")


@pytest.mark.parametrize("grain", ["hour", "day"])
def test_what_is_whole_passes_and_moves_verified_through(stack: ReconcileStack, grain: str) -> None:
    found = stack.check(grain)
    assert verdicts(found) == PASSED
    wanted = {
        "sent": None, "read": 52, "accepted": 50, "rejected": 2, "raw_rows": 50, "landing_rows": 50, "rejects": 2,
        "cut_events": 52, "lake_rows": 50, "lake_table_rows": 50,
    }  # fmt: skip
    counts = dict(found[GPS].counts) | {"sent": None}
    assert {name: counts[name] for name in wanted} == wanted
    assert found[STATUS].counts["marts_rows"] == 120
    assert [note.cause for note in found[GPS].notes] == [Cause.REJECTED]
    through = dict(
        stack.sql("select feed, verified_through from ops.verified_through where grain = %s", grain)
    )
    assert through[GPS] >= found[GPS].window.end
    assert stack.check(grain) == {}, "what holds is not due again"


def test_a_deleted_object_and_deleted_rows_are_named_and_mended(stack: ReconcileStack) -> None:
    (key,) = [k for k in stack.objects() if f"/{GPS}/" in k]
    before = stack.body(key)
    rows = stack.sql("select * from landing.shipment_event order by batch_id, line")
    stack.delete([key])
    stack.execute("delete from landing.shipment_event where line % 2 = 0")
    named = stack.check(repair=False)
    assert "is gone, 50 rows" in stack.words(named[GPS])
    assert "60 rows in landing, the ledger says 120" in stack.words(named[STATUS])
    assert {a.verdict for a in named.values()} == {Verdict.DIFFERS}
    mended = stack.check()
    assert verdicts(mended) == REPAIRED
    assert "rebuilt from the stream" in " ".join(mended[GPS].repairs)
    assert stack.body(key) == before
    assert stack.sql("select * from landing.shipment_event order by batch_id, line") == rows


def test_a_damaged_object_is_written_again(stack: ReconcileStack) -> None:
    (key,) = [k for k in stack.objects() if f"/{STATUS}/" in k]
    before = stack.body(key)
    stack.s3.put_object(Bucket=stack.settings.raw_bucket, Key=key, Body=before[: len(before) // 2])
    mended = stack.check()
    assert mended[STATUS].verdict is Verdict.REPAIRED
    assert stack.body(key) == before


def test_the_day_reads_no_footer_that_its_hours_have_read_and_names_what_changed_since(
    stack: ReconcileStack,
) -> None:
    (key,) = [k for k in stack.objects() if f"/{GPS}/" in k]
    first = stack.check("hour")
    assert {feed: a.counts["footers_read"] for feed, a in first.items()} == {GPS: 1, STATUS: 1}
    days = stack.check("day", repair=False)
    assert verdicts(days) == PASSED
    assert [(a.counts["footers_read"], a.counts["objects"], a.counts["raw_rows"]) for a in days.values()] == [
        (0, 1, 50),
        (0, 1, 120),
    ]
    before = stack.body(key)
    fewer = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(before)).slice(1), fewer)
    same_size = fewer.getvalue().ljust(len(before), b"\0")[: len(before)]
    for body, words in (
        (fewer.getvalue(), "49 rows in"),
        (same_size, "is damaged"),
        (None, "is gone, 50 rows"),
    ):
        stack.delete([key])
        if body is not None:
            stack.s3.put_object(Bucket=stack.settings.raw_bucket, Key=key, Body=body)
        stack.execute("truncate ops.verified_through", "delete from ops.reconciliation where grain = 'day'")
        found = stack.check("day", repair=False)
        assert words in stack.words(found[GPS])
        assert (found[STATUS].verdict, found[STATUS].counts["footers_read"]) == (Verdict.PASSED, 0)
    stack.s3.put_object(Bucket=stack.settings.raw_bucket, Key=key, Body=before)
    stack.execute("truncate ops.verified_through", "delete from ops.reconciliation where grain = 'day'",
                  "update ops.batch set accepted = accepted + 1, events_read = events_read + 1"
                  " where feed = 'shipment_event'")  # fmt: skip
    try:
        found = stack.check("day", repair=False)
    finally:
        stack.execute("update ops.batch set accepted = accepted - 1, events_read = events_read - 1"
                      " where feed = 'shipment_event'")  # fmt: skip
    assert "120 rows in" in stack.words(found[STATUS]), (
        "an entry that was changed is held against its footer again"
    )


def test_a_batch_that_was_being_committed_when_a_window_was_counted_is_counted_next_time(
    stack: ReconcileStack,
) -> None:
    """It is stamped before the count and seen only after it; its window is due again all the same."""
    late = (
        "insert into ops.batch (batch_id, source, feed, events_read, accepted, rejected, first_arrived_at,"
        " last_arrived_at, worker) select 900001, 'replay', feed, 0, 0, 0, first_arrived_at, first_arrived_at, 'x'"
        " from ops.batch where feed = 'gps_location'"
    )
    with psycopg.connect(stack.settings.dsn("owner")) as landing:
        landing.execute(late.encode())
        assert stack.check()[GPS].verdict is Verdict.PASSED
        landing.commit()
    try:
        assert stack.check()[GPS].counts["batches"] == 2
    finally:
        stack.execute("delete from ops.batch where batch_id = 900001")


def test_tampered_counts_are_no_match_for_the_other_arms(stack: ReconcileStack) -> None:
    """Read and accepted changed together satisfy the ledger's own constraint, and no other arm."""
    change = (
        "update ops.batch set events_read = events_read {0} 1, accepted = accepted {0} 1"
        " where feed = 'gps_location'"
    )
    stack.execute(change.format("+"))
    try:
        found = stack.check(repair=False)[GPS]
    finally:
        stack.execute(change.format("-"))
    assert found.verdict is Verdict.DIFFERS
    assert {d.arm for d in found.differences} == {"landing", "raw objects", "stream ranges", "lake"}


def test_a_second_batch_of_the_same_records_stands_out(stack: ReconcileStack) -> None:
    stack.execute(
        "insert into ops.batch (batch_id, source, feed, stream, shard, first_sequence, last_sequence, records,"
        " events_read, accepted, rejected, object_key, first_arrived_at, last_arrived_at, worker)"
        " select 900000, source, feed, stream, shard, (first_sequence::numeric + 1)::text, last_sequence, records,"
        " 1, 0, 1, object_key, first_arrived_at, last_arrived_at, 'x' from ops.batch where feed = 'gps_location'"
    )
    try:
        found = stack.check(repair=False)[GPS]
    finally:
        stack.execute(
            "delete from ops.pending_batch where batch_id = 900000",
            "delete from ops.batch where batch_id = 900000",
        )
    assert "its rows may stand twice" in stack.words(found)
    assert "name the same object" in stack.words(found)


def test_a_gap_in_the_chain_of_checkpoints_stands_out(stack: ReconcileStack) -> None:
    """The ledger loses a batch with everything that hangs on it; the chain of cuts still knows it."""
    stack.execute(
        "update ops.batch set first_arrived_at = first_arrived_at - interval '400 days' where feed = 'gps_location'"
    )
    try:
        found = [a for a in stack.check_all(repair=False) if a.window.feed == GPS and a.differences]
    finally:
        stack.execute(
            "update ops.batch set first_arrived_at = first_arrived_at + interval '400 days' where feed = 'gps_location'"
        )
    assert "read 52 events, the ledger has no batch of it" in "".join(stack.words(a) for a in found)


def test_events_that_a_sender_sent_and_that_never_came(stack: ReconcileStack) -> None:
    start = stack.sql("select date_trunc('hour', min(first_arrived_at)) from ops.batch")[0][0]
    minute = start.replace(minute=30).isoformat()
    stack.truth("other", {GPS: {"sent": 70, "minutes": {minute: 70}}}, started_at=minute)
    try:
        found = stack.check()[GPS]
    finally:
        (stack.settings.sent_dir / "other.json").unlink()
    assert found.verdict is Verdict.DIFFERS
    assert found.differences[0].arm == "sender"


def test_an_arm_that_cannot_be_counted_is_no_pass(stack: ReconcileStack) -> None:
    stack.execute("alter table landing.gps_location rename to gone")
    try:
        with pytest.raises(psycopg.errors.UndefinedTable):
            stack.check()
    finally:
        stack.execute("alter table landing.gone rename to gps_location")
    stream, bucket = stack.settings.gps_stream, stack.settings.raw_bucket
    found = stack.check_with(gps_stream="gone", raw_bucket="gone")[GPS]
    assert found.verdict is Verdict.NOT_COUNTED
    assert {d.arm for d in found.differences if d.cause is Cause.NOT_COUNTED} == {"stream", "raw objects"}
    assert (stack.settings.gps_stream, stack.settings.raw_bucket) == (stream, bucket)
    assert stack.sql("select count(*) from ops.verified_through where feed = %s", GPS) == [(0,)]


def test_a_stale_shipment_is_made_anew(stack: ReconcileStack) -> None:
    stack.execute(
        "delete from intermediate.int_shipment_status_history where shipment_id = 'wS1' and status = 'delivered'",
        "update marts.fct_shipment set events = 1 where shipment_id = 'wS2'",
    )
    found = stack.check()[STATUS]
    assert found.verdict is Verdict.DIFFERS
    assert "waiting for a run of shipments" in stack.words(found)
    assert "queued for shipments to be made anew" in " ".join(found.repairs)
    stack.downstream()
    found = stack.check()[STATUS]
    assert (found.verdict, stack.words(found)) == (Verdict.REPAIRED, "")
    again = stack.sql(
        "select shipment_id, status, events from marts.fct_shipment where shipment_id in ('wS1', 'wS2')"
    )
    assert sorted(again) == [("wS1", "delivered", 6), ("wS2", "delivered", 6)]


def test_a_batch_that_no_pipeline_knows_is_queued(stack: ReconcileStack) -> None:
    stack.execute("delete from ops.transformed_batch as t using ops.batch as b where b.batch_id = t.batch_id"
                  " and t.pipeline = 'shipments' and b.feed = 'shipment_event'")  # fmt: skip
    assert "neither taken by shipments nor waiting" in stack.words(stack.check(repair=False)[STATUS])
    assert stack.check()[STATUS].verdict is Verdict.DIFFERS
    stack.downstream()
    assert stack.check()[STATUS].verdict is Verdict.REPAIRED


def test_the_order_database_adds_up_and_a_stale_mart_is_queued(stack: ReconcileStack) -> None:
    reconcile_orders(stack.settings)
    stack.downstream()
    found = reconcile_orders(stack.settings)
    assert (found.verdict, stack.words(found)) in ((Verdict.PASSED, ""), (Verdict.REPAIRED, ""))
    assert (
        found.counts["shipments_ordered"]
        == found.counts["shipments_mirrored"]
        == found.counts["shipments_in_marts"]
        == 20
    )
    stack.execute("create table ops.put_aside as select * from source.sites where site_id = 'H1'",
                  "delete from source.sites where site_id = 'H1'",
                  "update marts.fct_shipment set promised_at = promised_at + interval '1 hour'"
                  " where shipment_id = 'wS3'")  # fmt: skip
    found = reconcile_orders(stack.settings)
    assert found.verdict is Verdict.DIFFERS
    assert "sites of acme: the order database says 1 rows, the mirror nothing" in stack.words(found)
    assert "stale in the marts, for example wS3" in stack.words(found)
    stack.downstream()
    stack.execute("insert into source.sites select * from ops.put_aside", "drop table ops.put_aside")
    found = reconcile_orders(stack.settings)
    assert found.verdict.holds, stack.words(found)


def test_a_night_without_a_look_does_not_stop_what_is_verified(stack: ReconcileStack) -> None:
    stack.downstream()
    reconcile_orders(stack.settings)
    stack.downstream()
    first = reconcile_orders(stack.settings, now=datetime.now(UTC) - timedelta(days=3))
    assert first.verdict.holds, stack.words(first)
    last = reconcile_orders(stack.settings)
    assert stack.sql("select verified_through from ops.verified_through where feed = 'order_database'") == [
        (last.window.end,)
    ]


def test_an_emptied_table_is_no_pass(stack: ReconcileStack) -> None:
    """A change of no key among what waits must not take every key out of the comparison."""
    reconcile_orders(stack.settings)
    stack.downstream()
    batch, lsn = stack.sql(
        "select batch_id, _lsn from source.shipments_history order by batch_id desc limit 1"
    )[0]
    stack.execute(
        "insert into source.shipments_history (tenant_id, _op, _lsn, _seq, _committed_at, batch_id)"
        f" values ('acme', 't', '{lsn}', 999999, now(), {batch})",
        f"insert into ops.pending_batch (pipeline, batch_id, priority) values ('shipments', {batch}, 0)",
        "update marts.fct_shipment set promised_at = promised_at + interval '1 hour' where shipment_id = 'wS3'",
    )
    try:
        found = reconcile_orders(stack.settings, repair=False)
    finally:
        stack.execute(
            f"delete from ops.pending_batch where batch_id = {batch}",
            "delete from source.shipments_history where _op = 't'",
            "update marts.fct_shipment set promised_at = promised_at - interval '1 hour' where shipment_id = 'wS3'",
        )
    assert found.verdict is Verdict.NOT_COUNTED
    assert "emptied shipments" in stack.words(found)


def test_without_the_stream_each_arm_is_mended_from_the_other(stack: ReconcileStack) -> None:
    (key,) = [k for k in stack.objects() if f"/{GPS}/" in k]
    rows = stack.sql("select event_id, line from landing.shipment_event order by batch_id, line")
    stack.delete([key])
    stack.execute("delete from landing.shipment_event")
    stack.forget_stream()
    mended = stack.check()
    assert verdicts(mended) == REPAIRED
    assert "rebuilt from landing" in " ".join(mended[GPS].repairs)
    assert "landed again from the raw object" in " ".join(mended[STATUS].repairs)
    assert stack.sql("select event_id, line from landing.shipment_event order by batch_id, line") == rows
    table = pq.read_table(io.BytesIO(stack.body(key)))
    assert table.schema.metadata[b"fleetflow.rebuilt_from"] == b"landing"
    assert sorted(table["event_id"].to_pylist()) == sorted(stack.landed_ids(GPS))
    assert table["stream_sequence"].null_count == 50


def test_gone_from_both_arms_is_lost_and_never_passes(stack: ReconcileStack) -> None:
    (key,) = [k for k in stack.objects() if f"/{GPS}/" in k]
    body = stack.body(key)
    stack.delete([key])
    stack.execute("delete from landing.gps_location")
    stack.forget_stream()
    for _ in range(2):
        found = stack.check()[GPS]
        assert found.verdict is Verdict.DIFFERS
        assert {d.cause for d in found.differences} == {Cause.LOST}
        assert "gone from the other arm too" in stack.words(found)
    assert stack.sql("select count(*) from ops.verified_through where feed = %s", GPS) == [(0,)]
    stack.s3.put_object(Bucket=stack.settings.raw_bucket, Key=key, Body=body)
    assert stack.check()[GPS].verdict is Verdict.REPAIRED, "somebody found a copy"
    assert len(stack.landed_ids(GPS)) == 50
