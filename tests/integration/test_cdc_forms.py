"""Values come in binary where the mirror's columns take that, else as text; either way the mirror is the source."""

from __future__ import annotations

import psycopg
import pytest

from ingestion import cdc
from ingestion.cdc import mirror
from ingestion.cdc.pgoutput import BINARY, TEXT
from ingestion.cdc.pull import _begin
from tests.integration.cdc_orders import DRIVERS, SITES, Pair

ODD = r"E'tab\t \\ \r\n \\N \\. \u001f é " "'"


def form(pair: Pair) -> int:
    """The form that a pull would begin with."""
    return _begin(pair.source, pair.warehouse, cdc.SLOT, cdc.TABLES, "t", 1).form


def test_a_column_without_a_common_binary_form(pair: Pair) -> None:
    """It appears in the stream: the round is read once more as text, and later pulls begin so."""
    pair.write(
        "alter table sites alter column name set storage external", SITES.format(1, 6), DRIVERS.format(1, 2)
    )
    pair.write("update sites set name = repeat('long', 5000)")
    pair.snapshot()
    assert form(pair) == BINARY
    pair.write(
        f"update sites set city = {ODD} where site_id = 'S1'", "delete from sites where site_id = 'S2'"
    )
    pair.write("create type shade as enum ('light', 'dark')")
    pair.write("alter table sites add column docks shade[], add column at timestamptz, add column kg numeric")
    change = "docks = '{light,dark}', at = '2026-02-03 04:05:06.789+02', kg = 1.50"
    pair.write(f"update sites set {change}, region = {ODD} where site_id = 'S3'")
    assert pair.pull().changes["sites"] == 3
    pair.assert_mirrored()
    assert form(pair) == TEXT
    pair.write(
        "update sites set site_id = 'S44' where site_id = 'S4'", "delete from sites where site_id = 'S3'"
    )
    pair.write("update sites set kg = null, city = 'x' where site_id = 'S5'")
    pair.write("delete from sites where site_id = 'S5'", SITES.format(9, 9))
    pair.pull()
    pair.assert_mirrored()
    gone = pair.rows(
        "select docks, kg::text, length(name) from source.sites where site_id = 'S3' and _deleted"
    )
    assert gone == [("{light,dark}", "1.50", 20_000)]


def test_a_key_that_the_stream_does_not_tell_is_named(pair: Pair) -> None:
    pair.write(SITES.format(1, 3), "create unique index by_name on sites (name)")
    pair.snapshot()
    pair.write("alter table sites replica identity using index by_name")
    pair.write("delete from sites where site_id = 'S2'")
    with pytest.raises(
        cdc.PublicationError, match=r"sites: the stream does not tell site_id.*replica identity"
    ):
        pair.pull()
    assert pair.rows("select count(*) from source.sites where not _deleted") == [(3,)]


def test_a_key_whose_equal_values_are_spelled_in_two_ways_is_refused(pair: Pair) -> None:
    with psycopg.connect(pair.warehouse_dsn) as warehouse:
        warehouse.execute("create table source.weights (kg numeric primary key, tenant_id text)")
        with pytest.raises(cdc.PublicationError, match=r"source\.weights has kg, a numeric"):
            mirror.read_mirror(warehouse, "weights")
        warehouse.rollback()


def test_a_pull_needs_a_slot_beside_its_own(pair: Pair) -> None:
    pair.write(SITES.format(1, 2))
    pair.snapshot()
    pair.write(SITES.format(3, 3))
    with psycopg.connect(pair.admin_dsn, autocommit=True) as admin:
        limit = int(admin.execute("show max_replication_slots").fetchone()[0])  # type: ignore[index]
        names = [f"taken_{number}" for number in range(limit - 1)]
        for name in names:
            admin.execute("select pg_create_physical_replication_slot(%s)", (name,))
        with pytest.raises(cdc.NoFreeSlotError, match="max_replication_slots"):
            pair.pull()
        for name in names:
            admin.execute("select pg_drop_replication_slot(%s)", (name,))
    assert pair.pull().changes == {"sites": 1}
    pair.assert_mirrored()
    with psycopg.connect(pair.admin_dsn, autocommit=True) as admin:
        left = admin.execute("select slot_name from pg_replication_slots where temporary").fetchall()
    assert left == []


def test_names_with_a_percent_sign(pair: Pair) -> None:
    """In every statement that a pull or a snapshot makes of them."""
    pair.write(
        'alter table sites add column "100 %s" text',
        'alter table sites alter column "100 %s" set storage external',
    )
    pair.write(SITES.format(1, 4), "update sites set \"100 %s\" = repeat('long', 5000)")
    pair.snapshot()
    pair.write("update sites set city = 'x' where site_id = 'S1'", "delete from sites where site_id = 'S2'")
    pair.write('alter table sites add column "id %" uuid not null default gen_random_uuid()')
    pair.write("update sites set city = 'y' where site_id = 'S3'")
    pair.pull()
    pair.assert_mirrored()
    pair.write("update sites set city = 'z'", "delete from sites where site_id = 'S4'")
    assert pair.snapshot(re_create=True).changes == {"sites": 3}
    pair.assert_mirrored()


def test_a_name_that_the_mirror_has_for_itself_is_refused(pair: Pair) -> None:
    pair.write(SITES.format(1, 2))
    pair.snapshot()
    pair.write(
        "alter table sites add column batch_id int, add column _op text", "update sites set batch_id = 1"
    )
    for attempt in (pair.pull, lambda: pair.snapshot(re_create=True)):
        with pytest.raises(
            cdc.PublicationError, match="sites publishes _op, batch_id, a name that the mirror"
        ):
            attempt()
    pair.write("alter table sites drop column batch_id, drop column _op")
    pair.snapshot(re_create=True)
    pair.assert_mirrored()
