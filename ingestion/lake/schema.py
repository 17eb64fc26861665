"""The Iceberg schema of a feed: the contract's columns without personal data, and where a row came from.

Field ids are given once, when a column is added, and never change. A contract may grow by nullable columns and widen a
type; the table follows. Anything else needs a new major version, and is refused here with the difference in words.
"""

from __future__ import annotations

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.sorting import NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

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

PROVENANCE = (
    Column("stream_sequence", Text(), "Sequence number of the record in its stream", nullable=True),
    Column("sub_sequence", Integer(32), "Place of the event in its record", nullable=True),
    Column("batch_id", Integer(64), "The batch of the ledger that landed the row"),
)
"""Where a row came from; no part of its content."""

_FIRST_PARTITION_ID = 1000


class LakeSchemaError(ValueError):
    """The contract and the table differ in a way that no table can follow; the message names each column."""


def iceberg_type(of: Type) -> IcebergType:
    """Return the Iceberg type; all of them are known to Athena and Spark."""
    match of:
        case Text() | Choice():
            return StringType()
        case Integer(bits):
            return LongType() if bits == 64 else IntegerType()
        case Float():
            return DoubleType()
        case Decimal(precision, scale):
            return DecimalType(precision, scale)
        case Boolean():
            return BooleanType()
        case Timestamp():
            return TimestamptzType()
        case Date():
            return DateType()
        case Binary():
            return BinaryType()


def lake_columns(feed: Feed) -> tuple[Column, ...]:
    """Return the columns of a feed's table: its content, then where each row came from, if it landed."""
    return (*feed.mirrored, *PROVENANCE) if feed.lands else feed.mirrored


def iceberg_schema(feed: Feed) -> Schema:
    """Return the schema of a table that is yet to be made."""
    fields = (
        NestedField(number, c.name, iceberg_type(c.type), required=not c.nullable, doc=describe(c))
        for number, c in enumerate(lake_columns(feed), start=1)
    )
    return Schema(*fields)


def day_partition(feed: Feed, schema: Schema) -> PartitionSpec:
    """Return the partitioning: by the UTC day of the event time."""
    source = schema.find_field(feed.event_time).field_id
    return PartitionSpec(
        PartitionField(source, _FIRST_PARTITION_ID, DayTransform(), f"{feed.event_time}_day")
    )


def sort_order(feed: Feed, schema: Schema) -> SortOrder:
    """Return the order of rows in a file: by entity, then by event time."""
    sources = (schema.find_field(name).field_id for name in (feed.entity_key, feed.event_time))
    return SortOrder(
        *(SortField(s, IdentityTransform(), SortDirection.ASC, NullOrder.NULLS_LAST) for s in sources)
    )


def evolve(table: Table, feed: Feed) -> bool:
    """Bring a table in line with the contract: add nullable columns, widen types; return whether it changed.

    Raises:
        LakeSchemaError: the contract asks for more than that.
    """
    has = {field.name: field for field in table.schema().fields}
    added = [column for column in lake_columns(feed) if column.name not in has]
    widened, faults = (
        [],
        [f"{c.name} is new and required, it must be nullable" for c in added if not c.nullable],
    )
    for column in lake_columns(feed):
        field, wanted = has.get(column.name), iceberg_type(column.type)
        if field is None or field.field_type == wanted:
            continue
        if isinstance(field.field_type, IntegerType) and isinstance(wanted, LongType):
            widened.append(column)
        elif not (isinstance(field.field_type, LongType) and isinstance(wanted, IntegerType)):
            faults.append(f"{column.name} is {field.field_type} in the table and {wanted} in the contract")
    if faults:
        raise LakeSchemaError(
            f"{feed.name}: {'; '.join(faults)}: a new major version needs a table of its own"
        )
    if not added and not widened:
        return False
    with table.update_schema() as update:
        for column in added:
            update.add_column(column.name, iceberg_type(column.type), doc=describe(column))
        for column in widened:
            update.update_column(column.name, field_type=iceberg_type(column.type))
    return True


def describe(column: Column) -> str:
    """Return a column's meaning with its unit."""
    return f"{column.doc} [{column.unit}]" if column.unit else column.doc
