"""The Arrow schema of a feed: what Parquet objects hold, and what a reader of them may rely on.

Columns marked as personal data are left out, so that they cannot reach the lake. Units and docs are field
metadata.
"""

from __future__ import annotations

import pyarrow as pa

from domain.contracts.model import (
    Binary,
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
from domain.contracts.postgres import copy_columns

__all__ = ["arrow_field", "arrow_schema", "arrow_type", "copy_columns"]

_INTEGERS = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}


def arrow_type(of: Type) -> pa.DataType:
    """Return the Arrow type: instants are microseconds in UTC, closed vocabularies are strings."""
    match of:
        case Text() | Choice():
            return pa.string()
        case Integer(bits):
            return _INTEGERS[bits]
        case Float():
            return pa.float64()
        case Decimal(precision, scale):
            return pa.decimal128(precision, scale)
        case Boolean():
            return pa.bool_()
        case Timestamp():
            return pa.timestamp("us", tz="UTC")
        case Date():
            return pa.date32()
        case Binary():
            return pa.binary()


def arrow_field(column: Column) -> pa.Field:
    """Return one field with its nullability; metadata `doc` and, where there is one, `unit`."""
    metadata = {"doc": column.doc} | ({"unit": column.unit} if column.unit else {})
    return pa.field(column.name, arrow_type(column.type), nullable=column.nullable, metadata=metadata)


def arrow_schema(feed: Feed) -> pa.Schema:
    """Return the schema of a feed's own columns, in contract order; metadata `feed`, `version` and `key`."""
    metadata = {"feed": feed.name, "version": f"{feed.version}.{feed.minor}", "key": ",".join(feed.key)}
    return pa.schema([arrow_field(column) for column in feed.mirrored], metadata=metadata)
