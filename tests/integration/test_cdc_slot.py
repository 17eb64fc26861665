"""The slot and its surroundings: what is missing, taken, overtaken or not allowed is said clearly, and mended."""

from __future__ import annotations

import psycopg
import pytest

from ingestion import cdc
from ingestion.cdc import ledger
from tests.integration.cdc_orders import DRIVERS, SITES, Pair

DROP = "select pg_drop_replication_slot('fleetflow')"


def as_admin(pair: Pair, statement: str) -> None:
    with psycopg.connect(pair.admin_dsn, autocommit=True) as admin:
        admin.execute(statement.encode())


@pytest.fixture
def slot(pair: Pair) -> Pair:
    """A pair whose slot has a name of its own: slots are shared by all databases of a cluster."""
    pair.write(SITES.format(1, 20), DRIVERS.format(1, 5))
    pair.snapshot()
    return pair


def test_re_create_doubles_nothing(slot: Pair) -> None:
    """While the slot is gone rows change, come and go; the new epoch brings exactly the difference."""
    as_admin(slot, DROP)
    slot.write(SITES.format(21, 22), "update sites set city = 'Oslo' where site_id = 'S1'")
    slot.write("delete from sites where site_id = 'S2'", "delete from drivers where driver_id = 'D1'")
    with pytest.raises(cdc.SlotMissingError, match="fleetflow cdc snapshot --re-create"):
        slot.pull()
    report = slot.snapshot(re_create=True)
    assert (report.epoch, report.changes) == (2, {"sites": 4, "drivers": 1})
    slot.assert_mirrored()
    assert slot.rows("select site_id from source.sites where _deleted") == [("S2",)]
    assert slot.rows("select count(*) from source.sites_history where _op = 's'") == [(23,)]
    slot.write(SITES.format(2, 2))
    assert slot.pull().changes == {"sites": 1}
    slot.assert_mirrored()
    assert slot.snapshot(re_create=True).total == 0


def test_second_snapshot_has_to_be_asked_for(slot: Pair) -> None:
    with pytest.raises(cdc.SnapshotExistsError, match="--re-create"):
        slot.snapshot()


def test_advanced_by_somebody_else(slot: Pair) -> None:
    slot.write(SITES.format(21, 22))
    as_admin(slot, "select pg_replication_slot_advance('fleetflow', pg_current_wal_flush_lsn())")
    with pytest.raises(cdc.SlotOvertakenError, match="--re-create"):
        slot.pull()
    assert slot.snapshot(re_create=True).changes == {"sites": 2}
    slot.assert_mirrored()


def test_made_anew_by_somebody_else(slot: Pair) -> None:
    slot.write(SITES.format(21, 22))
    as_admin(slot, DROP)
    as_admin(slot, "select pg_create_logical_replication_slot('fleetflow', 'pgoutput')")
    with pytest.raises(cdc.SlotOvertakenError):
        slot.pull()


def test_restored_from_an_older_state(slot: Pair) -> None:
    with psycopg.connect(slot.warehouse_dsn) as warehouse:
        warehouse.execute("update ops.cdc_source set applied_lsn = 'FF/0'")
    with pytest.raises(cdc.SlotOvertakenError, match="restored"):
        slot.pull()


def test_slot_of_another_warehouse(pair: Pair) -> None:
    as_admin(pair, "select pg_create_logical_replication_slot('fleetflow', 'pgoutput')")
    with pytest.raises(cdc.SlotTakenError, match="another one may"):
        pair.snapshot()
    assert pair.snapshot(re_create=True).epoch == 1


def test_pull_without_snapshot(pair: Pair) -> None:
    with pytest.raises(cdc.NoSnapshotError, match="fleetflow cdc snapshot"):
        pair.pull()


def test_one_at_a_time(slot: Pair) -> None:
    with ledger.exclusive(slot.warehouse, "fleetflow"), pytest.raises(cdc.AlreadyRunningError):
        slot.pull()
    assert slot.pull().total == 0


def test_needs_an_idle_connection(slot: Pair) -> None:
    warehouse = slot.open(slot.warehouse_dsn, autocommit=False)
    warehouse.execute("select 1")
    with pytest.raises(ValueError, match="warehouse connection is inside a transaction"):
        cdc.pull(slot.source, warehouse)
    source = slot.open(slot.cdc_dsn, autocommit=False)
    source.execute("select 1")
    with pytest.raises(ValueError, match="source connection is inside a transaction"):
        cdc.pull(source, slot.warehouse)


def test_least_privilege(slot: Pair) -> None:
    """The role reads what is published, and not one column more."""
    source = slot.source
    assert len(source.execute("select driver_id, status from drivers").fetchall()) == 5
    for statement in ("select full_name from drivers", "select vin from vehicles", "select * from drivers"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            source.execute(statement.encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        source.execute("update sites set name = ''")


def test_personal_data_in_the_publication_is_refused(slot: Pair) -> None:
    slot.write(
        "alter publication fleetflow set table sites, drivers, vehicles, shipments, driver_assignments"
    )
    slot.write("update drivers set status = 'inactive'")
    with pytest.raises(cdc.PublicationError, match="full_name"):
        slot.pull()
    with psycopg.connect(slot.orders_dsn) as owner:
        cdc.prepare(owner, "orders_cdc")
    # The stream still holds what was published meanwhile; the mirror refuses that too.
    with pytest.raises(cdc.PublicationError, match="full_name"):
        slot.pull()
    slot.snapshot(re_create=True)
    slot.assert_mirrored()


def test_missing_publication(pair: Pair) -> None:
    pair.write("drop publication fleetflow")
    with pytest.raises(cdc.PublicationError, match="prepare"):
        pair.snapshot()


def test_prepare_names_what_is_wrong(pair: Pair) -> None:
    orders = pair.open(pair.orders_dsn, autocommit=False)
    with pytest.raises(cdc.PublicationError, match='role "nobody_here" does not exist'):
        cdc.prepare(orders, "nobody_here")
    with pytest.raises(cdc.PublicationError, match="ghosts"):
        cdc.prepare(orders, "orders_cdc", tables={"ghosts": None})
    cdc.prepare(orders, "orders_cdc")
    cdc.prepare(orders, "orders_cdc")


def test_lag(slot: Pair) -> None:
    slot.write("insert into sites select 'L' || i, 'acme', repeat('x', 500), 'depot', 'r', 'DE', 'c', 1, 2, 'UTC'"
               " from generate_series(1, 1000) i")  # fmt: skip
    before = cdc.lag(slot.source, slot.warehouse)
    assert before.slot_exists
    assert before.lag_bytes is not None
    assert before.lag_bytes > 500_000
    assert before.retained_bytes is not None
    assert before.retained_bytes >= before.lag_bytes
    slot.pull()
    slot.pull()  # both databases share a log here: the first pull's own writes are what the second moves past
    after = cdc.lag(slot.source, slot.warehouse)
    assert after.lag_bytes is not None
    assert after.lag_bytes < before.lag_bytes
    assert after.pulled_at is not None
    as_admin(slot, DROP)
    gone = cdc.lag(slot.source, slot.warehouse)
    assert (gone.slot_exists, gone.lag_bytes, gone.epoch) == (False, None, 1)


def test_sync_takes_the_snapshot_once(pair: Pair) -> None:
    pair.write(SITES.format(1, 3))
    assert [report.kind for report in cdc.sync(pair.cdc_dsn, pair.warehouse)] == ["snapshot", "pull"]
    pair.write(SITES.format(4, 4))
    (report,) = cdc.sync(pair.cdc_dsn, pair.warehouse)
    assert report.changes == {"sites": 1}
    pair.assert_mirrored()
