"""The mirror of one entity: `source.<entity>` as it is now, `source.<entity>_history` as it came to be.

Reads the mirror's own columns from the catalog, so that a migration or a followed schema change needs no code
here. A column that the order database dropped stays: rows written afterwards hold null there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from ingestion.cdc.errors import PublicationError
from ingestion.cdc.layout import Layout, SourceColumn
from ingestion.cdc.publication import OWN_COLUMNS

Connection = psycopg.Connection[tuple[Any, ...]]

SCHEMA = "source"
# Of these types equal values are spelled alike, so that keys can be told apart by their bytes (1.0 = 1.00 as numeric).
KEY_TYPES = frozenset({"text", "character varying", "uuid", "bigint", "integer", "smallint"})
# Types that are sent and taken as the bytes of their text: name, text, char(n), varchar.
_TEXTUAL = frozenset({19, 25, 1042, 1043})


@dataclass(frozen=True)
class MirrorTable:
    """The entity's columns with their SQL types, in the mirror's order, and its key; `oids` are the types' numbers."""

    entity: str
    types: dict[str, str]
    key: tuple[str, ...]
    oids: dict[str, int]

    @property
    def current(self) -> sql.Identifier:
        """The table of rows as they are."""
        return sql.Identifier(SCHEMA, self.entity)

    @property
    def history(self) -> sql.Identifier:
        """The table of every version."""
        return sql.Identifier(SCHEMA, f"{self.entity}_history")

    def type_of(self, column: str) -> sql.SQL:
        """The SQL type of a column, as the catalog spells it."""
        return sql.SQL(self.types[column])

    def takes_binary(self, layout: Layout) -> bool:
        """Tell whether every value of the layout has one binary form there and here."""
        return all(
            column.type_oid == self.oids[column.name]
            or (self.oids[column.name] in _TEXTUAL and (column.type_oid in _TEXTUAL or column.sends_text))
            for column in layout.columns
            if column.name in self.oids
        )


def read_mirror(warehouse: Connection, entity: str) -> MirrorTable:
    """Return the mirror of an entity.

    Raises:
        PublicationError: there is no mirror, or it has no primary key that can be told apart by its bytes.
    """
    rows = warehouse.execute(
        "select a.attname, format_type(a.atttypid, a.atttypmod),"
        " coalesce(array_position(i.indkey::int2[], a.attnum), -1), a.atttypid"
        " from pg_attribute as a left join pg_index as i on i.indrelid = a.attrelid and i.indisprimary"
        " where a.attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text)) and a.attnum > 0"
        " and not a.attisdropped"
        " order by a.attnum",
        (SCHEMA, entity),
    ).fetchall()
    key = tuple(name for name, _, rank, _ in sorted(rows, key=lambda row: row[2]) if rank >= 0)
    if not key:
        raise PublicationError(
            f"the warehouse has no mirror {SCHEMA}.{entity} with a primary key; `fleetflow migrate`"
        )
    types = {name: kind for name, kind, *_ in rows if name not in OWN_COLUMNS}
    if odd := [name for name in key if types[name].partition("(")[0] not in KEY_TYPES]:
        raise PublicationError(
            f"the key of {SCHEMA}.{entity} has {odd[0]}, a {types[odd[0]]}, of which equal values may be spelled in two"
            f" ways; a key may be {', '.join(sorted(KEY_TYPES))}"
        )
    return MirrorTable(entity, types, key, {name: oid for name, _, _, oid in rows if name in types})


def add_columns(warehouse: Connection, table: MirrorTable, columns: Sequence[SourceColumn]) -> MirrorTable:
    """Give current and history the columns they lack; return the mirror as it is then.

    A plain built-in type is kept, any other becomes text. What older rows of the order database hold in the
    column (the default it was added with) older rows of the mirror hold too.
    """
    for column in columns:
        if column.name in table.types:
            continue
        kind = mirror_type(warehouse, column)
        default = (
            sql.SQL("") if column.missing is None
            else sql.SQL(" default {}::{}").format(sql.Literal(column.missing), sql.SQL(kind))
        )  # fmt: skip
        for target in (table.current, table.history):
            name = sql.Identifier(column.name)
            warehouse.execute(
                sql.SQL("alter table {} add column {} {}{}").format(target, name, sql.SQL(kind), default)
            )
            warehouse.execute(sql.SQL("alter table {} alter column {} drop default").format(target, name))
    return read_mirror(warehouse, table.entity)


def mirror_type(warehouse: Connection, column: SourceColumn) -> str:
    """Return the type of a column in the mirror: the order database's if built in and plain, else text."""
    row = warehouse.execute(
        "select format_type(oid, %s) from pg_type where oid = %s and oid < 16384 and typtype = 'b'"
        " and typname !~ '^_?(reg|pg_|oid|xid|cid|tid)'",
        (column.type_modifier, column.type_oid),
    ).fetchone()
    return "text" if row is None else str(row[0])


def mark_truncated(warehouse: Connection, table: MirrorTable, at: tuple[str, int, int], batch_id: int) -> int:
    """Mark every current row deleted, enter a `t` row per tenant that had rows; return how many tenants had.

    `at` is the LSN, the sequence number and the commit time (microseconds since 2000-01-01 UTC) of the
    TRUNCATE.
    """
    lsn, sequence, committed_us = at
    return warehouse.execute(
        sql.SQL(
            "with gone as (update {current} set _deleted = true, _lsn = %(lsn)s::text::pg_lsn, batch_id = %(batch)s,"
            " _committed_at = timestamptz '2000-01-01 00:00:00Z'"
            " + %(us)s * interval '1 microsecond'"
            " where not _deleted returning tenant_id, _lsn, _committed_at)"
            " insert into {history} (tenant_id, _op, _lsn, _seq, _committed_at, batch_id)"
            " select distinct tenant_id, 't', _lsn, %(seq)s::bigint, _committed_at, %(batch)s::bigint from gone"
        ).format(current=table.current, history=table.history),
        {"lsn": lsn, "seq": sequence, "us": committed_us, "batch": batch_id},
    ).rowcount


def identifiers(names: Sequence[str]) -> sql.Composed:
    """Join column names."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


def with_parameters(names: Sequence[str]) -> tuple[str, ...]:
    """Return names as a statement with parameters has to have them: a % in them is not the sign of one."""
    return tuple(name.replace("%", "%%") for name in names)


def fit_types(warehouse: Connection, table: MirrorTable, known: Layout, seen: Layout) -> MirrorTable:
    """Give a column the type that it has in the order database now, where that changed; for a new snapshot only.

    Raises:
        PublicationError: a value or a view does not allow it; the message says what Postgres says.
    """
    before = known.by_name()
    for column in seen.columns:
        if column.name not in before or before[column.name].type == column.type:
            continue
        kind = sql.SQL(mirror_type(warehouse, column))
        name = sql.Identifier(column.name)
        try:
            for target in (table.current, table.history):
                warehouse.execute(
                    sql.SQL("alter table {0} alter column {1} type {2} using {1}::text::{2}").format(
                        target, name, kind
                    )
                )
        except (psycopg.errors.DataError, psycopg.errors.FeatureNotSupported) as fault:
            raise PublicationError(
                f"{table.entity}.{column.name} cannot take its new type: {fault.diag.message_primary}"
            ) from fault
    return read_mirror(warehouse, table.entity)
