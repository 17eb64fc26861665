"""The Arrow schema of a feed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as Exact

import pyarrow as pa
import pytest

from domain.contracts import ENTITIES, FEEDS
from domain.contracts.arrow import arrow_field, arrow_schema, arrow_type
from domain.contracts.model import (
    Boolean,
    Choice,
    Column,
    Date,
    Decimal,
    Feed,
    Float,
    Integer,
    Text,
    Timestamp,
    Type,
)
from domain.contracts.postgres import copy_columns, postgres_type

EVERY_TYPE: list[tuple[Type, pa.DataType, str, object]] = [
    (Text(64), pa.string(), "text", "é"),
    (Choice(("a", "b")), pa.string(), "text", "a"),
    (Integer(16), pa.int16(), "smallint", 2**15 - 1),
    (Integer(32), pa.int32(), "integer", 2**31 - 1),
    (Integer(64), pa.int64(), "bigint", 2**63 - 1),
    (Float(), pa.float64(), "double precision", 0.1),
    (Decimal(10, 2), pa.decimal128(10, 2), "numeric(10,2)", Exact("12345678.90")),
    (Boolean(), pa.bool_(), "boolean", True),
    (
        Timestamp(),
        pa.timestamp("us", tz="UTC"),
        "timestamp with time zone",
        datetime(2026, 3, 29, 1, tzinfo=UTC),
    ),
    (Date(), pa.date32(), "date", date(2024, 2, 29)),
]


@pytest.mark.parametrize(("declared", "arrow", "sql", "value"), EVERY_TYPE, ids=lambda v: str(v)[:24])
def test_each_type_has_one_arrow_and_one_postgres_type(
    declared: Type, arrow: pa.DataType, sql: str, value: object
) -> None:
    assert (arrow_type(declared), postgres_type(declared)) == (arrow, sql)
    assert pa.array([value, None], arrow_type(declared)).to_pylist() == [value, None]


def test_field_carries_unit_doc_and_nullability() -> None:
    field = arrow_field(Column("speed_kmh", Float(), "Ground speed", nullable=True, unit="km/h"))
    assert field.nullable
    assert field.metadata == {b"doc": b"Ground speed", b"unit": b"km/h"}
    assert arrow_field(Column("a", Text(), "A")).metadata == {b"doc": b"A"}


@pytest.mark.parametrize("feed", [*FEEDS.values(), *ENTITIES.values()], ids=lambda feed: feed.name)
def test_schema_is_the_contract_without_personal_data(feed: Feed) -> None:
    schema = arrow_schema(feed)
    assert schema.names == [c.name for c in feed if not c.pii]
    assert [f.nullable for f in schema] == [c.nullable for c in feed if not c.pii]
    assert schema.metadata[b"feed"] == feed.name.encode()


def test_personal_columns_are_left_out_of_drivers_and_vehicles() -> None:
    assert {"full_name", "phone", "licence_number"}.isdisjoint(arrow_schema(ENTITIES["drivers"]).names)
    assert {"plate", "vin"}.isdisjoint(arrow_schema(ENTITIES["vehicles"]).names)


def test_copy_columns_are_the_feeds_and_where_each_row_came_from() -> None:
    feed = FEEDS["driver_assignment_event"]
    assert copy_columns(feed) == (*feed.names, "batch_id", "line", "arrived_at")
