"""The order database changes its schema: what can be followed is, what cannot stops the mirror before it."""

from __future__ import annotations

import psycopg
import pytest

from ingestion import cdc
from tests.integration.cdc_orders import SITES, Pair


@pytest.fixture
def copied(pair: Pair) -> Pair:
    pair.write(SITES.format(1, 5))
    pair.snapshot()
    return pair


def changes(pair: Pair) -> list[tuple[str, str]]:
    return [
        (change, detail)
        for change, detail in pair.rows(
            "select change, detail from ops.schema_change where entity = 'sites' order by schema_change_id"
        )
        if change != "first seen"
    ]


def mirror_types(pair: Pair) -> dict[str, str]:
    return dict(
        pair.rows(
            "select column_name, data_type from information_schema.columns where table_schema = 'source'"
            " and table_name = 'sites'"
        )
    )


def test_add_columns(copied: Pair) -> None:
    """Constant default, none, an array, a type of the order database's own: all in one stream with the rows around."""
    copied.write("update sites set city = 'before' where site_id = 'S1'")
    copied.write("create type shade as enum ('light', 'dark')")
    copied.write(
        "alter table sites add column docks int not null default 7, add column gates int[] default '{1,2}',"
        ' add column shade shade default \'dark\', add column note varchar(20), add column "Odd ""name%%" numeric(8,3)'
    )
    copied.write("update sites set docks = 9, note = 'n', \"Odd \"\"name%%\" = 1.5 where site_id = 'S2'")
    report = copied.pull()
    assert len(report.schema_changes) == 5
    copied.assert_mirrored()
    types = mirror_types(copied)
    assert (types["docks"], types["gates"], types["shade"], types["note"]) == (
        "integer",
        "ARRAY",
        "text",
        "character varying",
    )
    assert changes(copied)[0] == ("add column", "column docks was added")
    stored = copied.rows("select before -> 'columns' -> 0 ->> 0, lsn is not null from ops.schema_change"
                         " where change = 'add column' limit 1")  # fmt: skip
    assert stored == [("site_id", True)]
    copied.write("update sites set docks = 10")
    assert copied.pull().schema_changes == ()
    copied.assert_mirrored()


def test_add_column_with_computed_default(copied: Pair) -> None:
    """A default that differs by row rewrites the table unseen by the stream: the rows are read again."""
    copied.write("alter table sites add column token uuid not null default gen_random_uuid()")
    copied.write("alter table sites add column number int generated always as identity")
    copied.write("update sites set city = 'x' where site_id = 'S3'", "delete from sites where site_id = 'S4'")
    copied.pull()
    copied.assert_mirrored()


def test_drop_column(copied: Pair) -> None:
    copied.write("update sites set timezone = 'Europe/Oslo' where site_id = 'S1'")
    copied.write(
        "alter table sites drop column timezone", "update sites set city = 'x' where site_id in ('S1', 'S2')"
    )
    report = copied.pull()
    assert report.schema_changes == (
        "sites: column timezone was dropped; the mirror keeps it, new rows hold null there",
    )
    copied.assert_mirrored()
    assert copied.rows("select site_id, timezone from source.sites order by 1") == [
        ("S1", None),
        ("S2", None),
        *((f"S{i}", "Europe/Berlin") for i in (3, 4, 5)),
    ]
    assert [kind for kind, _ in changes(copied)] == ["drop column"]
    assert copied.pull().schema_changes == ()


def test_drop_the_last_and_add_another(copied: Pair) -> None:
    """Same place, same type: only the column's number tells that it is not a rename."""
    copied.write("alter table sites drop column updated_at, add column seen_at timestamptz")
    copied.write("update sites set seen_at = now() where site_id = 'S1'")
    copied.pull()
    copied.assert_mirrored()
    assert [kind for kind, _ in changes(copied)] == ["add column", "drop column"]


@pytest.mark.parametrize(
    ("statement", "word", "told"),
    [
        ("alter table sites rename column city to town", "rename", "column city is now called town"),
        (
            "alter table sites rename column updated_at to touched_at",
            "rename",
            "column updated_at is now called",
        ),
        ("alter table sites alter column lat type numeric(9,5)", "type", "column lat changed its type"),
    ],
)
def test_rename_and_type_stop_the_mirror(copied: Pair, statement: str, word: str, told: str) -> None:
    """Everything before the change is applied, nothing after it; the refusal is recorded once."""
    copied.write("update sites set name = 'before'", SITES.format(6, 6))
    copied.write(statement)
    copied.write("update sites set name = 'after'")
    for _ in range(2):
        with pytest.raises(cdc.SchemaDriftError, match=f"sites: {told}.*fleetflow cdc snapshot --re-create"):
            copied.pull()
    assert copied.rows("select name, count(*) from source.sites group by 1 order by 2") == [
        ("Site 6", 1),
        ("before", 5),
    ]
    assert [kind for kind, _ in changes(copied)] == [f"refused: {word}"]
    copied.snapshot(re_create=True)
    copied.assert_mirrored()
    copied.write("update sites set name = 'later'")
    copied.pull()
    copied.assert_mirrored()


def test_new_type_that_views_stand_on(copied: Pair) -> None:
    """Where a view uses the column, Postgres cannot change it: said, and nothing is half done."""
    with psycopg.connect(copied.warehouse_dsn) as warehouse:
        warehouse.execute("create view source.where_is as select site_id, lat from source.sites")
    copied.write("alter table sites alter column lat type numeric(9,5)", "update sites set name = 'x'")
    with pytest.raises(cdc.SchemaDriftError):
        copied.pull()
    with pytest.raises(cdc.PublicationError, match=r"sites\.lat cannot take its new type: .*view"):
        copied.snapshot(re_create=True)


def test_table_made_anew(copied: Pair) -> None:
    copied.write("create table fresh (like sites including all)", "insert into fresh select * from sites")
    copied.write("alter publication fleetflow drop table sites", "alter table sites rename to old_sites",
                 "alter table fresh rename to sites", "alter publication fleetflow add table sites",
                 "grant select on sites to orders_cdc", "update sites set city = 'x'")  # fmt: skip
    with pytest.raises(cdc.SchemaDriftError, match="made anew"):
        copied.pull()
    copied.snapshot(re_create=True)
    copied.assert_mirrored()


def test_a_renamed_table_is_held_before_its_new_name(copied: Pair) -> None:
    """What was committed under the old name is applied; the difference stands in words, once."""
    copied.write("update sites set name = 'before'")
    copied.write("alter table sites rename to places", "update places set name = 'after'")
    for _ in range(2):
        with pytest.raises(cdc.SchemaDriftError, match="sites: the table is now called places"):
            copied.pull()
    assert copied.rows("select name, count(*) from source.sites group by 1") == [("before", 5)]
    assert [kind for kind, _ in changes(copied)] == ["refused: rename table"]
    copied.write("alter table places rename to sites")
    copied.snapshot(re_create=True)
    copied.assert_mirrored()


def test_a_table_that_left_the_publication_is_named(copied: Pair) -> None:
    copied.write("update sites set name = 'before'", "alter publication fleetflow drop table sites")
    for _ in range(2):
        with pytest.raises(
            cdc.SchemaDriftError, match="sites: the table was dropped, or left the publication"
        ):
            copied.pull()
    assert [kind for kind, _ in changes(copied)] == ["refused: drop table"]
    copied.write("update sites set name = 'meanwhile'")
    copied.write("alter publication fleetflow add table sites", "update sites set city = 'after'")
    with pytest.raises(cdc.SchemaDriftError, match="left the publication"):
        copied.pull()  # what changed meanwhile was never in the stream
    copied.snapshot(re_create=True)
    copied.assert_mirrored()


def test_a_truncated_table_is_followed(copied: Pair) -> None:
    copied.write("truncate sites cascade", SITES.format(7, 8))
    copied.pull()
    copied.assert_mirrored()
    assert copied.rows("select count(*) from source.sites where _deleted") == [(5,)]
    assert copied.rows("select count(*) from source.sites_history where _op = 't'") == [(1,)]


def test_plain_output_whatever_the_server_prefers(pair: Pair) -> None:
    """The order database prints dates, intervals and bytes its own way; the mirror holds the same values."""
    with psycopg.connect(pair.admin_dsn, autocommit=True) as admin:
        database = admin.info.dbname
        for setting in ("datestyle = 'SQL, DMY'", "timezone = 'Asia/Kolkata'", "intervalstyle = 'sql_standard'",
                        "bytea_output = 'escape'"):  # fmt: skip
            admin.execute(f"alter database {database} set {setting}".encode())
    pair.write("alter table sites add column span interval, add column raw bytea, add column day date")
    row = r"('1 mon -3 days 04:05:06', '\x00ff5c', '2026-02-03')"
    pair.write(SITES.format(1, 2), f"update sites set (span, raw, day) = {row} where site_id = 'S1'")
    pair.snapshot()
    pair.write(f"update sites set (span, raw, day) = {row} where site_id = 'S2'")
    pair.pull()
    assert (
        pair.rows("select span::text, raw::text, day::text from source.sites order by site_id")
        == [("1 mon -3 days +04:05:06", r"\x00ff5c", "2026-02-03")] * 2
    )
    pair.assert_mirrored()
