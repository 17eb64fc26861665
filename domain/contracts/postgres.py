"""What a feed is in Postgres: its column types, and the columns that landing and CDC add to it.

Migrations are written by hand; a test holds the migrated database against these.
"""

from __future__ import annotations

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

_INTEGERS = {16: "smallint", 32: "integer", 64: "bigint"}

LANDING_COLUMNS = (
    Column("batch_id", Integer(64), "The batch in ops.batch that landed the row"),
    Column("line", Integer(32), "Position of the row within its batch"),
    Column("arrived_at", Timestamp(), "When the stream took the record in; the partition key"),
)


def postgres_type(of: Type) -> str:
    """Return the Postgres type as `format_type` prints it, for example `timestamp with time zone`."""
    match of:
        case Text() | Choice():
            return "text"
        case Integer(bits):
            return _INTEGERS[bits]
        case Float():
            return "double precision"
        case Decimal(precision, scale):
            return f"numeric({precision},{scale})"
        case Boolean():
            return "boolean"
        case Timestamp():
            return "timestamp with time zone"
        case Date():
            return "date"
        case Binary():
            return "bytea"


def copy_columns(feed: Feed) -> tuple[str, ...]:
    """Return the columns of a COPY into landing: the feed's own, then batch_id, line, arrived_at."""
    return (*feed.names, *(column.name for column in LANDING_COLUMNS))
