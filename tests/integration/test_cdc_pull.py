"""Snapshot and pull on real databases: what the order system did is what the mirror shows, once."""

from __future__ import annotations

import threading

import psycopg

from tests.integration.cdc_orders import DRIVERS, SHIPMENTS, SITES, Pair


def test_snapshot_then_pull(pair: Pair) -> None:
    pair.write(SITES.format(1, 20), DRIVERS.format(1, 10))
    assert pair.snapshot().changes == {"drivers": 10, "sites": 20}
    pair.assert_mirrored()
    pair.write(
        SITES.format(21, 30), r"update sites set city = E'tab\t \\ \r\n \\N \u001f é' where site_id = 'S3'"
    )
    pair.write(
        "delete from drivers where driver_id = 'D4'",
        "update drivers set driver_id = 'D99' where driver_id = 'D5'",
    )
    report = pair.pull()
    assert report.changes == {"sites": 11, "drivers": 3}
    pair.assert_mirrored()
    assert pair.rows(
        "select _op, status from source.drivers_history where driver_id = 'D4' order by _op"
    ) == [
        ("d", "active"),
        ("s", "active"),
    ]
    assert pair.pull().total == 0


def test_ledger(pair: Pair) -> None:
    """Each entity that changed is a batch that adds up, carried by its rows and waiting for the pipeline."""
    pair.write(SITES.format(1, 3))
    pair.snapshot()
    pair.write(SITES.format(4, 5), DRIVERS.format(1, 2))
    pair.write("update sites set name = 'x' where site_id = 'S4'")
    report = pair.pull()
    batches = pair.rows(
        "select feed, events_read, accepted, rejected, min_event_time <= max_event_time, p.pipeline"
        " from ops.batch b join ops.pending_batch p using (batch_id) where source = 'cdc' and batch_id = any(%s)"
        " order by 1",
        list(report.batches),
    )
    assert batches == [("drivers", 2, 2, 0, True, "shipments"), ("sites", 3, 3, 0, True, "shipments")]
    counted = pair.rows(
        "select feed, accepted - (select count(*) from source.sites_history h where h.batch_id = b.batch_id)"
        " from ops.batch b where feed = 'sites' order by batch_id"
    )
    assert counted == [("sites", 0), ("sites", 0)]
    kinds = pair.rows(
        "select kind, changes, from_lsn <= to_lsn, lag_bytes >= 0 from ops.cdc_pull order by pull_id"
    )
    assert kinds == [("snapshot", 3, None, True), ("pull", 5, True, True)]


def test_idle_pull_lets_the_log_go(pair: Pair) -> None:
    """Writes outside the publication move the slot all the same, so that they are not retained for ever."""
    pair.snapshot()
    pair.write("create table elsewhere (i int)", "insert into elsewhere select generate_series(1, 20000)")
    report = pair.pull()
    assert report.total == 0
    assert report.batches == ()
    assert report.lag_bytes < 100_000
    assert pair.rows("select count(*) from ops.batch") == [(0,)]


def test_personal_data_stays(pair: Pair) -> None:
    pair.write(SITES.format(1, 1), DRIVERS.format(1, 3))
    pair.snapshot()
    pair.write("update drivers set full_name = 'Someone Else', phone = '+1' where driver_id = 'D1'")
    pair.pull()
    rows = pair.rows("select row_to_json(d)::text from source.drivers d") + pair.rows(
        "select row_to_json(d)::text from source.drivers_history d"
    )
    assert len(rows) == 7
    assert not [row for (row,) in rows if "Jane" in row or "Someone" in row or "+49" in row or "LIC" in row]


def test_toast_values_are_kept(pair: Pair) -> None:
    """An unchanged out-of-line value is not in the stream: the mirror has it from the version before."""
    pair.write("alter table sites alter column name set storage external", SITES.format(1, 3))
    pair.write("update sites set name = repeat('long', 5000)")
    pair.snapshot()
    pair.write("update sites set city = 'one' where site_id = 'S1'")  # the version before is the current row
    pair.write("update sites set name = repeat('other', 4000) where site_id = 'S2'")
    pair.write("update sites set city = 'two' where site_id = 'S2'")  # the version before is in the same pull
    pair.write("update sites set city = 'three', region = 'x' where site_id = 'S2'")
    pair.write("update sites set site_id = 'S33' where site_id = 'S3'")  # the version before has another key
    pair.write(
        "update sites set site_id = 'S22' where site_id = 'S2'", "delete from sites where site_id = 'S22'"
    )
    pair.pull()
    pair.assert_mirrored()
    gone = pair.rows("select length(name), region from source.sites where site_id = 'S22' and _deleted")
    assert gone == [(20_000, "x")]


def test_truncate(pair: Pair) -> None:
    pair.write(SITES.format(1, 4), "update sites set tenant_id = 'other' where site_id = 'S2'")
    pair.snapshot()
    pair.write(
        "update sites set name = 'before' where site_id = 'S1'", "truncate sites cascade", SITES.format(3, 3)
    )
    report = pair.pull()
    pair.assert_mirrored()
    assert report.changes == {"sites": 4}
    ops = pair.rows(
        "select _op, tenant_id, site_id from source.sites_history where _op <> 's' order by _lsn, _seq, 2"
    )
    assert ops == [("u", "acme", "S1"), ("t", "acme", None), ("t", "other", None), ("i", "acme", "S3")]
    assert pair.rows("select site_id from source.sites where not _deleted") == [("S3",)]


def test_replica_identity_full(pair: Pair) -> None:
    pair.write(
        "alter table sites replica identity full", "alter table sites alter column name set storage external"
    )
    pair.write(SITES.format(1, 3), "update sites set name = repeat('long', 5000)")
    pair.snapshot()
    pair.write("update sites set city = 'one'", "update sites set site_id = 'S9' where site_id = 'S1'")
    pair.write("delete from sites where site_id = 'S2'")
    pair.pull()
    pair.assert_mirrored()


def test_large_transaction_in_rounds(pair: Pair) -> None:
    """200,000 changes in one transaction, and more around it: bounded rounds, whole transactions, nothing lost."""
    pair.write(SITES.format(1, 1))
    pair.snapshot()
    pair.write("update sites set city = 'first'")
    pair.write(SHIPMENTS.format(1, 200_000))
    pair.write("update shipments set status = 'assigned' where shipment_id <= 'SH-11'")
    pair.write("delete from shipments where shipment_id > 'SH-5'")
    report = pair.pull(round_changes=50_000)
    assert report.rounds >= 3
    assert report.changes["shipments"] > 250_000
    pair.assert_mirrored()


def test_concurrent_writers(pair: Pair) -> None:
    """The snapshot and the pulls run while three writers commit; none of their changes is lost or doubled."""
    pair.write(SITES.format(1, 300))
    stop = threading.Event()

    def write(seed: int) -> None:
        with psycopg.connect(pair.orders_dsn, autocommit=True) as orders:
            for step in range(100_000):
                if stop.wait(0.003):
                    return
                site = f"S{(step * 7 + seed * 31) % 400}"
                if step % 5 == seed:
                    orders.execute("delete from sites where site_id = %s", (site,))
                else:
                    orders.execute(
                        "insert into sites values (%s, 'acme', 'n', 'depot', 'r', 'DE', %s, 1, 2, 'UTC')"
                        " on conflict (site_id) do update set city = excluded.city, updated_at = clock_timestamp()",
                        (site, str(step)),
                    )

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for writer in writers:
        writer.start()
    try:
        pair.snapshot()
        reports = [pair.pull(round_changes=500) for _ in range(3)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    reports.append(pair.pull())
    assert sum(report.total for report in reports) > 100
    pair.assert_mirrored()
    assert pair.rows("select _lsn, _seq from source.sites_history group by 1, 2 having count(*) > 1") == []
