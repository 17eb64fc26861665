"""Changes of one entity on their way into its mirror: gathered to segments, completed, copied.

A segment is copied into history as it is, row by row; of current the rows of its keys are taken out and the last
version of each is copied in. So no change is written anywhere but where it stays. Current's indexes hold the batch, so
an update of a row in place would write them all the same. Memory: about three segments of SEGMENT_BYTES per entity,
whatever the size of a transaction.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from struct import Struct
from typing import Any

import numpy as np
import psycopg
from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.pq import Format

from ingestion.cdc.encode import (
    COPY_HEADER,
    COPY_TRAILER,
    Heads,
    encode_row,
    encode_rows,
    encode_text_row,
    make_heads,
)
from ingestion.cdc.errors import PublicationError
from ingestion.cdc.lane import Lane
from ingestion.cdc.layout import Layout
from ingestion.cdc.mirror import MirrorTable, identifiers, with_parameters
from ingestion.cdc.pgoutput import (
    BINARY,
    DELETE,
    INSERT,
    KEY,
    UPDATE,
    Begin,
    Values,
    key_reader,
    split_key,
    split_update,
    tells_key,
)
from ingestion.cdc.resolve import complete, link, take_over

Connection = psycopg.Connection[tuple[Any, ...]]

SEGMENT_BYTES = 8 << 20
_FORM = 5
_HISTORY_OWN = ("_op", "_lsn", "_seq", "_committed_at", "batch_id")
_CURRENT_OWN = ("_lsn", "_committed_at", "_deleted", "batch_id")


@dataclass
class Tally:
    """What one entity got in this transaction."""

    batch_id: int
    first: Begin
    last: Begin
    changes: int = 0


_TEXT_OID = 25
# Dimensions, whether nulls are there, type of the elements, number, first index; then the elements.
_ARRAY = Struct(">iiIii")


class _Array(bytes):
    """An array as the server takes it in binary: the keys are not decoded to be encoded again."""


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: _Array) -> bytes:
        return obj


@dataclass
class _Segment:
    """What one go writes: rows that are encoded, and the places of those that are left to be completed first.

    `own` holds the mirror's own columns, each as one array for all rows.
    """

    own: dict[str, Any]
    messages: list[bytes]
    keys: list[bytes]
    previous: list[int]
    last: dict[bytes, int]
    left: set[int]
    history: Sequence[bytes] = ()
    current: Sequence[bytes] = ()


class Stage:
    """Takes the changes of one entity under one layout, in order."""

    def __init__(
        self, warehouse: Connection, lane: Lane, table: MirrorTable, layout: Layout, tally: Tally, form: int
    ) -> None:
        """Begin; values have the form TEXT or BINARY. Lives within the running transaction."""
        self.table = table
        self.layout = layout
        self.tally = tally
        self._warehouse = warehouse
        self._lane = lane
        self._form = form
        self._width = len(layout.columns)
        self._key = tuple(layout.names.index(name) for name in table.key)
        self._key_of = key_reader(self._key)
        self._parts = self._sql_parts()
        self._begin_segment()

    def _begin_segment(self) -> None:
        # One list a column, and none for each change: that would be work for the collector of garbage.
        self.messages: list[bytes] = []
        self.kinds = bytearray()
        self.sequences = array("q")
        self.begin: Begin | None = None
        self._transactions: list[tuple[int, Begin]] = []
        self._gone: list[int] = []
        self._moved: list[int] = []
        self._weighed = self._bytes = 0

    def enter(self, begin: Begin) -> None:
        """Take it that the changes from here on are of this transaction."""
        self.begin = begin
        self._transactions.append((len(self.messages), begin))

    def add(self, kind: int, sequence: int, message: bytes) -> int:
        """Take a change of the transaction entered; `sequence` counts its changes. Return how many versions it made.

        A message of one whole new row may as well be appended to `messages`, `kinds` and `sequences`.

        Raises:
            PublicationError: the stream does not tell the key of a changed row.
        """
        form = message[_FORM]
        if kind == UPDATE and form in b"KO":
            return self._add_update(sequence, message)
        if kind == DELETE:
            self._require_key(message)
            if form == KEY:
                self._gone.append(len(self.messages))
        self.messages.append(message)
        self.kinds.append(kind)
        self.sequences.append(sequence)
        return 1

    def _add_update(self, sequence: int, message: bytes) -> int:
        """Take an update that tells the row before: with another key it is the old row's end and a new row."""
        old, new = split_update(message)
        self._require_key(old)
        if self._key_of(old) == self._key_of(new):
            return self.add(UPDATE, sequence, new)
        self.add(DELETE, sequence, old)
        self._moved.append(len(self.messages))
        return 1 + self.add(INSERT, sequence + 1, new)

    def _require_key(self, message: bytes) -> None:
        if not tells_key(message, self._key):
            raise PublicationError(
                f"{self.table.entity}: the stream does not tell {', '.join(self.table.key)} of a changed row; its"
                " replica identity must be the primary key, or full"
            )

    def spill(self) -> None:
        """Pass the segment on if it is full."""
        self._bytes += sum(map(len, self.messages[self._weighed :]))
        self._weighed = len(self.messages)
        if self._bytes >= SEGMENT_BYTES:
            self._pass_on()

    def apply(self) -> None:
        """Write everything that was taken, and wait for it."""
        self._pass_on()
        self._lane.drain()

    def _pass_on(self) -> None:
        if self.messages:
            self.tally.changes += len(self.messages)
            self.tally.last = self._transactions[-1][1]
            self._lane.submit(partial(self._write, self._seal()))
            self._begin_segment()

    def _seal(self) -> _Segment:
        """Link the versions of each row, and encode what is whole."""
        messages = self.messages
        keys = list(map(self._key_of, messages))
        previous, last = link(keys, self._moved)
        left = take_over(messages, self._gone, previous)
        segment = _Segment(self._own(), messages, keys, previous, last, left)
        if self._form != BINARY:
            segment.left = set(range(len(messages)))
            return segment
        encoded = encode_rows(messages, self._heads(_HISTORY_OWN, segment), self._width, left)
        segment.history = encoded.portions
        left.update(encoded.odd)
        # In the order of the key, because inserting into an index is cheapest that way.
        newest = [place for _, place in sorted(last.items()) if place not in left]
        segment.current = encoded.behind(self._heads(_CURRENT_OWN, segment, newest), newest)
        return segment

    def _own(self) -> dict[str, Any]:
        """Return the mirror's own columns of all rows."""
        kinds = np.frombuffer(bytes(self.kinds), np.uint8)
        first = [place for place, _ in self._transactions]
        counts = np.diff([*first, len(kinds)])
        return {
            "_op": np.frombuffer(bytes(self.kinds).lower(), "S1"),
            "_lsn": np.repeat(np.array([begin.lsn for _, begin in self._transactions], np.uint64), counts),
            "_seq": np.array(self.sequences),
            "_committed_at": np.repeat([begin.committed_us for _, begin in self._transactions], counts),
            "_deleted": kinds == DELETE,
            "batch_id": np.full(len(kinds), self.tally.batch_id),
        }

    def _heads(self, names: Sequence[str], segment: _Segment, places: Sequence[int] | None = None) -> Heads:
        own = segment.own if places is None else {name: segment.own[name][places] for name in names}
        count = len(segment.messages) if places is None else len(places)
        return make_heads(names, own, count, self._width)

    def _write(self, segment: _Segment) -> None:
        """Bring a segment into history and current; in the lane, after the segments before it."""
        whole = complete(
            segment.messages, segment.left, segment.previous, segment.keys, self._form, self._fetch
        )
        self._copy(
            "history", _HISTORY_OWN, segment.history, self._rest(segment, _HISTORY_OWN, whole, list(whole))
        )
        self._take_out(sorted(segment.last))
        newest = [place for place in segment.last.values() if place in whole]
        self._copy("current", _CURRENT_OWN, segment.current, self._rest(segment, _CURRENT_OWN, whole, newest))

    def _rest(
        self, segment: _Segment, own: Sequence[str], whole: dict[int, Values], places: list[int]
    ) -> Iterator[bytes]:
        encode = encode_row if self._form == BINARY else encode_text_row
        for head, place in zip(self._heads(own, segment, places), places, strict=True):
            yield encode(head, whole[place])

    def _copy(self, target: str, own: Sequence[str], rows: Sequence[bytes], rest: Iterable[bytes]) -> None:
        is_binary = self._form == BINARY
        into = sql.SQL("copy {} ({}, {}) from stdin" + (" (format binary)" if is_binary else "")).format(
            self._parts[target], identifiers(own), self._parts["columns"]
        )
        with self._warehouse.cursor() as cursor, cursor.copy(into) as copy:
            if is_binary:
                copy.write(COPY_HEADER)
            for portion in rows:
                copy.write(portion)
            copy.write(b"".join(rest))
            if is_binary:
                copy.write(COPY_TRAILER)

    def _cursor(self) -> psycopg.Cursor[tuple[Any, ...]]:
        cursor = self._warehouse.cursor(binary=self._form == BINARY)
        cursor.adapters.register_dumper(_Array, _ArrayDumper)
        return cursor

    def _take_out(self, keys: Sequence[bytes]) -> None:
        """Delete the current rows of keys: their last versions are copied in next."""
        with self._cursor() as cursor:
            cursor.execute(
                sql.SQL("delete from {current} where {match}").format(**self._parts), self._key_arrays(keys)
            )

    def _fetch(self, keys: Sequence[bytes]) -> dict[bytes, Values]:
        """Return the current rows of keys, in the form of the stream."""
        with self._cursor() as cursor:
            cursor.execute(
                sql.SQL("select {fetched} from {current} where {match}").format(**self._parts),
                self._key_arrays(keys),
            )
            found = cursor.pgresult
            assert found is not None
            rows = [[found.get_value(row, i) for i in range(self._width)] for row in range(found.ntuples)]
        return {b"".join(_with_length(row[i] or b"") for i in self._key): row for row in rows}

    def _key_arrays(self, keys: Sequence[bytes]) -> list[_Array]:
        """Return the keys as parameters: an array for each of their columns."""
        columns = [keys] if len(self._key) == 1 else list(zip(*map(split_key, keys), strict=True))
        oids = [self.table.oids[name] if self._form == BINARY else _TEXT_OID for name in self.table.key]
        return [
            _Array(_ARRAY.pack(1, 0, oid, len(keys), 1) + b"".join(column))
            for oid, column in zip(oids, columns, strict=True)
        ]

    def _sql_parts(self) -> dict[str, sql.Composable]:
        key = [sql.Identifier(name) for name in with_parameters(self.table.key)]
        form = "%b::{}[]" if self._form == BINARY else "%b::text[]::{}[]"
        arrays = [sql.SQL(form).format(self.table.type_of(name)) for name in self.table.key]
        match = (
            sql.SQL("{} = any({})").format(key[0], arrays[0])
            if len(key) == 1
            else sql.SQL("({}) in (select * from unnest({}))").format(
                sql.SQL(", ").join(key), sql.SQL(", ").join(arrays)
            )
        )
        return {
            "current": self.table.current, "history": self.table.history, "match": match,
            "columns": identifiers(self.layout.names), "fetched": identifiers(with_parameters(self.layout.names)),
        }  # fmt: skip


def _with_length(value: bytes) -> bytes:
    return len(value).to_bytes(4) + value
