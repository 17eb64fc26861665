"""Changes of one entity on their way into its mirror: buffered, copied to a temporary table, applied as sets.

Every change becomes a history row; per key the last one becomes the current row. A value that a change did
not touch (an unchanged TOAST value, every column of a deleted row but the key) is taken from the version
before it: the latest in the stage, else the current row. Memory: one buffer of about BUFFER_BYTES per entity,
whatever the size of a transaction.
"""

from __future__ import annotations

from functools import partial
from struct import Struct
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from ingestion.cdc.encode import encode_rows
from ingestion.cdc.lane import Lane
from ingestion.cdc.layout import Layout
from ingestion.cdc.mirror import MirrorTable, identifiers
from ingestion.cdc.pgoutput import NULL_FIELD, Begin, Tuple, read_tuple
from ingestion.cdc.resolve import resolve

Connection = psycopg.Connection[tuple[Any, ...]]

BUFFER_BYTES = 4 << 20
SEGMENT_CHANGES = 50_000
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
# Columns: how many follow, then length and value of _n, _op, _seq, _lsn, _committed_at.
_HEAD = Struct(">hiqi1siqiQiq")
_LENGTH = Struct(">i")
_OWN = 6

# The same, as an array of them; what was kept stands last, for its length differs.
_HEADS = [
    ("fields", ">i2"), ("n_size", ">i4"), ("n", ">i8"), ("op_size", ">i4"), ("op", "S1"), ("seq_size", ">i4"),
    ("seq", ">i8"), ("lsn_size", ">i4"), ("lsn", ">u8"), ("us_size", ">i4"), ("us", ">i8"),
]  # fmt: skip

# Each value is read from its text once, and the rows are sorted once: in the order of the key, because inserting into
# an index is cheapest that way.
_WRITE = """
with typed as materialized (
    select {typed}, _op, _lsn, _seq, _committed_at,
        lead(_n) over (partition by {key} order by _n) is null as _is_last
    from {stage}
), remembered as (
    insert into {history} ({columns}, _op, _lsn, _seq, _committed_at, batch_id)
    select {staged}, _op, _lsn, _seq, _committed_at, {batch} from typed
)
insert into {current} ({columns}, {own})
select {staged}, _lsn, _committed_at, _op = 'd', {batch} from typed where _is_last
on conflict ({conflict}) do update set {assignments}
"""


class Stage:
    """Collects the changes of one entity under one layout."""

    def __init__(
        self, warehouse: Connection, lane: Lane, table: MirrorTable, layout: Layout, batch_id: int
    ) -> None:
        """Make the temporary table; the stage lives within the running transaction."""
        self.table = table
        self.layout = layout
        self.batch_id = batch_id
        self.key = tuple(layout.names.index(name) for name in table.key)
        self._warehouse = warehouse
        self._lane = lane
        self._name = sql.Identifier("pg_temp", f"cdc_{table.entity}")
        self._width = len(layout.columns)
        self._fields = _OWN + self._width
        self._rows: list[bytes] = []
        self._plain: list[tuple[bytes, bytes, int, Begin, int]] = []
        self._gone: list[tuple[bytes, bytes, int, Begin, int]] = []
        self._others = tuple(i for i in range(self._width) if i not in self.key)
        self._bytes = 0
        self._staged = 0
        self._applied = 0
        self._kept: set[int] = set()
        self._parts = self._sql_parts()
        self._make()

    def _make(self) -> None:
        columns = [sql.SQL("{} text").format(_column(i)) for i in range(self._width)]
        self._warehouse.execute(sql.SQL("drop table if exists {}").format(self._name))
        self._warehouse.execute(
            sql.SQL(
                "create temporary table {} (_n bigint, _op text, _seq bigint, _lsn pg_lsn,"
                " _committed_at timestamptz,"
                " _kept text, {}) on commit drop"
            ).format(sql.Identifier(f"cdc_{self.table.entity}"), sql.SQL(", ").join(columns))
        )

    def add(self, operation: bytes, begin: Begin, sequence: int, row: Tuple) -> None:
        """Take one version of a row; `sequence` counts the changes of its transaction."""
        self._staged += 1
        self._encode(operation, begin, sequence, row, self._staged)
        self._spill()

    def add_plain(self, operation: bytes, begin: Begin, sequence: int, message: bytes) -> None:
        """Take a message that holds one new row and nothing else; it is decoded with thousands of others."""
        self._staged += 1
        self._plain.append((message, operation, sequence, begin, self._staged))
        self._bytes += len(message)
        if self._bytes >= BUFFER_BYTES:
            self._spill()

    def add_gone(self, begin: Begin, sequence: int, message: bytes) -> None:
        """Take a message of a deletion that holds the row's key."""
        self._staged += 1
        self._gone.append((message, b"d", sequence, begin, self._staged))
        self._bytes += len(message)
        if self._bytes >= BUFFER_BYTES:
            self._spill()

    def _encode(self, operation: bytes, begin: Begin, sequence: int, row: Tuple, number: int) -> None:
        head = _HEAD.pack(
            self._fields, 8, number, 1, operation, 8, sequence, 8, begin.lsn, 8, begin.committed_us
        )
        kept = NULL_FIELD
        if row.kept:
            self._kept.update(row.kept)
            kept = _mask(row.kept, self._width)
        encoded = b"".join((head, kept, *row.fields))
        self._rows.append(encoded)
        self._bytes += len(encoded)

    def _encode_many(self, waiting: list[tuple[bytes, bytes, int, Begin, int]], kept: bytes) -> None:
        """Encode messages at once; those that hold more than text and nulls are encoded one by one."""
        messages = [entry[0] for entry in waiting]
        heads = np.empty(len(waiting), np.dtype([*_HEADS, ("kept", f"V{len(kept)}")]))
        heads["fields"] = self._fields
        for name, size in (("n_size", 8), ("op_size", 1), ("seq_size", 8), ("lsn_size", 8), ("us_size", 8)):
            heads[name] = size
        heads["op"] = [entry[1] for entry in waiting]
        heads["seq"] = [entry[2] for entry in waiting]
        heads["lsn"] = [entry[3].lsn for entry in waiting]
        heads["us"] = [entry[3].committed_us for entry in waiting]
        heads["n"] = [entry[4] for entry in waiting]
        heads["kept"] = np.void(kept)
        encoded, left_out = encode_rows(messages, heads, self._width)
        self._rows += encoded
        for place in left_out:
            message, operation, sequence, begin, number = waiting[place]
            row = read_tuple(message, 6)[0]
            self._encode(operation, begin, sequence, self.gone(row) if operation == b"d" else row, number)

    def _spill(self) -> None:
        """Pass on a buffer that is full, and a segment that is large enough."""
        if self._bytes >= BUFFER_BYTES:
            self._copy()
            if self._staged >= SEGMENT_CHANGES:
                self._write()

    def key_of(self, row: Tuple) -> tuple[bytes, ...]:
        """The key of a row, as COPY fields."""
        return tuple(row.fields[position] for position in self.key)

    def gone(self, row: Tuple) -> Tuple:
        """A deleted row of which only the key is known: everything else is kept from the version before."""
        return Tuple(row.fields, self._others)

    def apply(self) -> int:
        """Apply what is left to history and current; return the number of changes since the last call."""
        self._copy()
        self._write()
        self._lane.drain()
        applied, self._applied = self._applied, 0
        return applied

    def _copy(self) -> None:
        """Hand the buffer to the lane."""
        if self._plain:
            self._encode_many(self._plain, NULL_FIELD)
        if self._gone:
            self._kept.update(self._others)
            self._encode_many(self._gone, _mask(self._others, self._width) if self._others else NULL_FIELD)
        self._plain, self._gone = [], []
        rows, self._rows, self._bytes = self._rows, [], 0
        if rows:
            self._lane.submit(partial(self._copy_rows, rows))

    def _copy_rows(self, rows: list[bytes]) -> None:
        into = sql.SQL("copy {} from stdin (format binary)").format(self._name)
        with self._warehouse.cursor() as cursor, cursor.copy(into) as copy:
            copy.write(_COPY_HEADER)
            copy.write(b"".join(rows))
            copy.write(_COPY_TRAILER)

    def _write(self) -> None:
        """Have the lane apply the segment staged so far, and begin another."""
        if self._staged:
            self._lane.submit(partial(self._write_segment, sorted(self._kept)))
        self._applied += self._staged
        self._staged = 0
        self._kept = set()

    def _write_segment(self, kept: list[int]) -> None:
        if kept:
            resolve(self._warehouse, self._parts, self.layout.names, kept)
        for statement in (_WRITE, "truncate {stage}"):
            self._warehouse.execute(sql.SQL(statement).format(**self._parts))

    def _sql_parts(self) -> dict[str, sql.Composable | int]:
        """What the statements are put together from; a key is compared by its type, not by its spelling."""
        names, types, current = self.layout.names, self.table.types, self.table.current
        casts = [sql.SQL("{}::{}").format(_column(i), self.table.type_of(n)) for i, n in enumerate(names)]
        own = ["_lsn", "_committed_at", "_deleted", "batch_id"]
        assignments = [
            *(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(n)) for n in [*names, *own]),
            *(sql.SQL("{} = null").format(sql.Identifier(n)) for n in types if n not in names),
        ]
        same_key = [sql.SQL("held.{} = t.{}").format(sql.Identifier(names[i]), casts[i]) for i in self.key]
        return {
            "stage": self._name, "current": current, "history": self.table.history, "batch": self.batch_id,
            "columns": identifiers(names), "own": identifiers(own), "typed": sql.SQL(", ").join(
                sql.SQL("{} as {}").format(cast, _column(i)) for i, cast in enumerate(casts)
            ),
            "staged": sql.SQL(", ").join(map(_column, range(self._width))),
            "key_columns": sql.SQL(", ").join(map(_column, self.key)),
            "key": sql.SQL(", ").join(casts[i] for i in self.key), "conflict": identifiers(self.table.key),
            "assignments": sql.SQL(", ").join(assignments), "same_key": sql.SQL(" and ").join(same_key),
        }  # fmt: skip

    def fetch_current(self, key: Tuple) -> list[bytes]:
        """Return the current row of a key as COPY fields; used after `apply`, for a row whose key changes."""
        columns = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(n)) for n in self.layout.names)
        where = sql.SQL(" and ").join(
            sql.SQL("{}::text = %s").format(sql.Identifier(self.layout.names[i])) for i in self.key
        )
        row = self._warehouse.execute(
            sql.SQL("select {} from {} where {}").format(columns, self.table.current, where),
            [key.fields[i][4:].decode() for i in self.key],
        ).fetchone()
        return [NULL_FIELD] * self._width if row is None else [_field(value) for value in row]


def _column(position: int) -> sql.Identifier:
    return sql.Identifier(f"c{position}")


def _field(value: str | None) -> bytes:
    if value is None:
        return NULL_FIELD
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _mask(kept: tuple[int, ...], width: int) -> bytes:
    flags = bytearray(b"0" * width)
    for position in kept:
        flags[position] = ord("1")
    return _LENGTH.pack(width) + bytes(flags)
