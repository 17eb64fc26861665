"""The migrated databases against the contracts: names, order, types, nullability, and no personal data."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import pytest

from domain.contracts import ENTITIES, FEEDS
from domain.contracts.dbt_sources import HISTORY_COLUMNS, LEDGER, MIRROR_COLUMNS, sources
from domain.contracts.model import Choice, Feed
from domain.contracts.postgres import LANDING_COLUMNS, copy_columns, postgres_type


@dataclass(frozen=True)
class Found:
    name: str
    type: str
    nullable: bool


def columns(dsn: str, schema: str, table: str) -> list[Found]:
    query = """
        select a.attname, format_type(a.atttypid, a.atttypmod), not a.attnotnull
        from pg_attribute as a
        where a.attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text))
            and a.attnum > 0 and not a.attisdropped
        order by a.attnum
    """
    with psycopg.connect(dsn) as conn:
        return [Found(*row) for row in conn.execute(query, (schema, table))]


def tables(dsn: str, schema: str) -> set[str]:
    query = """
        select c.relname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = %s and c.relkind in ('r', 'p') and not c.relispartition
    """
    with psycopg.connect(dsn) as conn:
        return {name for (name,) in conn.execute(query, (schema,))}


def test_landing_holds_exactly_the_feeds(warehouse: str) -> None:
    assert tables(warehouse, "landing") == set(FEEDS)


@pytest.mark.parametrize("feed", FEEDS.values(), ids=lambda feed: feed.name)
def test_landing_table_is_the_contract(warehouse: str, feed: Feed) -> None:
    wanted = [Found(c.name, postgres_type(c.type), c.nullable) for c in (*feed, *LANDING_COLUMNS)]
    assert columns(warehouse, "landing", feed.name) == wanted
    assert tuple(c.name for c in wanted) == copy_columns(feed)


@pytest.mark.parametrize("feed", FEEDS.values(), ids=lambda feed: feed.name)
def test_landing_is_partitioned_by_arrival(warehouse: str, feed: Feed) -> None:
    with psycopg.connect(warehouse) as conn:
        row = conn.execute("select pg_get_partkeydef(%s::regclass)", (f"landing.{feed.name}",)).fetchone()
    assert row == ("RANGE (arrived_at)",)


def test_source_holds_exactly_the_entities(warehouse: str) -> None:
    assert tables(warehouse, "source") == {name for e in ENTITIES for name in (e, f"{e}_history")}


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda entity: entity.name)
def test_mirror_has_the_mirrored_columns(warehouse: str, entity: Feed) -> None:
    # Nullable but for the key and the tenant: the order database may drop a column while we run.
    held = {*entity.key, "tenant_id"}
    own = [Found(c.name, postgres_type(c.type), c.name not in held) for c in entity.mirrored]
    added = [Found(name, kind, False) for name, kind, _ in MIRROR_COLUMNS]
    assert columns(warehouse, "source", entity.name) == own + added


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda entity: entity.name)
def test_history_has_the_mirrored_columns(warehouse: str, entity: Feed) -> None:
    own = [Found(c.name, postgres_type(c.type), True) for c in entity.mirrored]
    added = [Found(name, kind, False) for name, kind, _ in HISTORY_COLUMNS]
    assert columns(warehouse, "source", f"{entity.name}_history") == own + added


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda entity: entity.name)
def test_mirror_is_keyed_as_the_contract_says(warehouse: str, entity: Feed) -> None:
    query = """
        select array_agg(a.attname::text order by k.at) from pg_index as i,
        unnest(i.indkey::int2[]) with ordinality as k (attnum, at) join pg_attribute as a using (attnum)
        where i.indrelid = %s::regclass and i.indisprimary and a.attrelid = i.indrelid
    """
    with psycopg.connect(warehouse) as conn:
        assert conn.execute(query, (f"source.{entity.name}",)).fetchone() == ([*entity.key],)


def test_no_personal_column_is_anywhere_in_the_warehouse(warehouse: str) -> None:
    personal = {c.name for entity in ENTITIES.values() for c in entity if c.pii}
    assert personal >= {"full_name", "phone", "licence_number", "plate", "vin"}
    query = """
        select table_schema || '.' || table_name || '.' || column_name from information_schema.columns
        where column_name = any(%s) and table_schema not in ('pg_catalog', 'information_schema')
    """
    with psycopg.connect(warehouse) as conn:
        assert conn.execute(query, (sorted(personal),)).fetchall() == []


@pytest.mark.parametrize("schema", ["landing", "source"])
def test_every_table_of_a_tenant_has_row_security(warehouse: str, schema: str) -> None:
    query = """
        select c.oid::regclass::text from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = %s and c.relkind in ('r', 'p') and not c.relrowsecurity
    """
    with psycopg.connect(warehouse) as conn:
        assert conn.execute(query, (schema,)).fetchall() == []


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda entity: entity.name)
def test_order_database_is_the_contract(orders: str, entity: Feed) -> None:
    wanted = [Found(c.name, postgres_type(c.type), c.nullable) for c in entity]
    assert columns(orders, "public", entity.name) == wanted


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda entity: entity.name)
def test_order_database_checks_the_same_words(orders: str, entity: Feed) -> None:
    query = (
        "select pg_get_constraintdef(oid) from pg_constraint where conrelid = %s::regclass and contype = 'c'"
    )
    with psycopg.connect(orders) as conn:
        checks = [text for (text,) in conn.execute(query, (f"public.{entity.name}",))]
    for column in entity:
        if isinstance(column.type, Choice):
            (check,) = [text for text in checks if text.startswith(f"CHECK (({column.name} = ANY")]
            assert set(check.split("'")[1::2]) == set(column.type.values)


def test_every_described_source_column_is_there(warehouse: str) -> None:
    for source in sources(FEEDS, ENTITIES)["sources"]:
        for table in source["tables"]:
            found = {c.name: c.type for c in columns(warehouse, source["schema"], table["name"])}
            described = {c["name"]: c["data_type"] for c in table["columns"]}
            assert described.items() <= found.items(), f"{source['name']}.{table['name']}"


def test_ledger_vocabulary_is_the_databases(warehouse: str) -> None:
    (source,) = [c.type for c in LEDGER["batch"][1] if c.name == "source"]
    query = "select pg_get_constraintdef(oid) from pg_constraint where conname = 'batch_source_check'"
    with psycopg.connect(warehouse) as conn:
        row = conn.execute(query).fetchone()
    assert isinstance(source, Choice)
    assert row is not None
    assert set(row[0].split("'")[1::2]) == set(source.values)
