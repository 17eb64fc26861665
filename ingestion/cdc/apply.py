"""Turns a slot's messages into staged changes: transactions, tables, layouts, and what each change means.

One `Applier` serves one target transaction. Transactions at or below the applied position are read and
skipped, so that a slot which was not advanced (a crash after the commit) gives nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from ingestion.cdc import ledger, pgoutput
from ingestion.cdc.errors import PublicationError, SchemaDriftError
from ingestion.cdc.lane import Lane
from ingestion.cdc.layout import Layout, compare
from ingestion.cdc.lsn import format_lsn
from ingestion.cdc.mirror import add_columns, mark_truncated, read_mirror
from ingestion.cdc.pgoutput import Begin, Change, Relation, Tuple
from ingestion.cdc.publication import Tables, check_allowed, moved
from ingestion.cdc.stage import Stage

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass
class Tally:
    """What one entity got in this transaction."""

    batch_id: int
    first: Begin
    last: Begin
    changes: int = 0


@dataclass
class Applier:
    """Takes messages in order; `until` ends the work before the transaction that commits there."""

    warehouse: Connection
    slot: str
    applied: int
    tables: Tables
    catalog: dict[str, Layout]
    until: int | None = None
    last_end: int = 0
    messages: int = 0
    followed: list[str] = field(default_factory=list)
    computed: dict[str, dict[str, int]] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    _lane: Lane = field(default_factory=Lane)
    _layouts: dict[str, Layout] = field(default_factory=dict)
    _relations: dict[int, Relation] = field(default_factory=dict)
    _bound: dict[int, Stage] = field(default_factory=dict)
    _plain: dict[bytes, tuple[Stage, Tally]] = field(default_factory=dict)
    _stages: dict[str, Stage] = field(default_factory=dict)
    _begin: Begin = field(default_factory=lambda: Begin(0, 0))
    _sequence: int = 0
    _skipping: bool = True

    def run(self, messages: Iterable[bytes]) -> bool:
        """Stage and apply a stream of messages; return whether it was read to its end.

        Raises:
            SchemaDriftError: a change cannot be followed; its `lsn` is the commit before which the mirror
                must stop. PublicationError: the stream brings a table or a column that may not be mirrored.
        """
        self._layouts = ledger.read_layouts(self.warehouse, self.slot)
        self.warehouse.execute("set local work_mem = '64MB'")
        with self._lane:
            return self._run(messages)

    def _run(self, messages: Iterable[bytes]) -> bool:
        complete = True
        for data in messages:
            self.messages += 1
            if not self._take(data):
                complete = False
                break
        for entity, stage in self._stages.items():
            self.tallies[entity].changes += stage.apply()
        return complete

    def _take(self, data: bytes) -> bool:
        kind = data[0]
        if kind in (pgoutput.INSERT, pgoutput.UPDATE, pgoutput.DELETE):
            if not self._skipping:
                self._change(kind, data)
        elif kind == pgoutput.BEGIN:
            self._begin, self._sequence = pgoutput.read_begin(data), 0
            self._skipping = self._begin.lsn < self.applied
            return self.until is None or self._begin.lsn < self.until
        elif kind == pgoutput.COMMIT:
            self.last_end = pgoutput.read_commit_end(data)
        elif kind == pgoutput.RELATION:
            relation = pgoutput.read_relation(data)
            self._relations[relation.oid] = relation
            self._bound.pop(relation.oid, None)
            self._plain.pop(data[1:5], None)
        elif kind == pgoutput.TRUNCATE and not self._skipping:
            for oid in pgoutput.read_truncate(data):
                self._truncate(self._stage(oid))
        return True

    def _change(self, kind: int, data: bytes) -> None:
        """Stage a change: as it came, if its message is one row and no more, else decoded."""
        form = data[5]
        if form == pgoutput.NEW or (kind == pgoutput.DELETE and form == pgoutput.KEY):
            stage, tally = self._plain.get(data[1:5]) or self._bind_plain(data[1:5])
            self._sequence += 1
            if kind == pgoutput.DELETE:
                stage.add_gone(self._begin, self._sequence, data)
            else:
                stage.add_plain(b"i" if kind == pgoutput.INSERT else b"u", self._begin, self._sequence, data)
            tally.last = self._begin
        else:
            self._decoded(kind, pgoutput.read_change(data))

    def _bind_plain(self, relation: bytes) -> tuple[Stage, Tally]:
        stage = self._stage(int.from_bytes(relation))
        self._plain[relation] = stage, self.tallies[stage.table.entity]
        return self._plain[relation]

    def _decoded(self, kind: int, change: Change) -> None:
        stage = self._bound.get(change.relation) or self._stage(change.relation)
        new, old = change.new, change.old
        if new is None:
            assert old is not None, "a delete names its row"
            self._put(stage, b"d", stage.gone(old) if change.old_is_key else old)
        elif kind == pgoutput.INSERT:
            self._put(stage, b"i", new)
        elif old is None:
            self._put(stage, b"u", new)
        elif stage.key_of(old) == stage.key_of(new):
            self._put(stage, b"u", new if change.old_is_key else _filled(new, old.fields))
        else:
            self._move(stage, old, new, change.old_is_key)

    def _move(self, stage: Stage, old: Tuple, new: Tuple, old_is_key: bool) -> None:
        """A row changed its key: the old one is deleted, a new one is there."""
        if new.kept and old_is_key:
            self.tallies[stage.table.entity].changes += stage.apply()
            new = _filled(new, stage.fetch_current(old))
        self._put(stage, b"d", stage.gone(old) if old_is_key else old)
        self._put(stage, b"i", new if old_is_key else _filled(new, old.fields))

    def _put(self, stage: Stage, operation: bytes, row: Tuple) -> None:
        self._sequence += 1
        stage.add(operation, self._begin, self._sequence, row)
        self.tallies[stage.table.entity].last = self._begin

    def _truncate(self, stage: Stage) -> None:
        self._sequence += 1
        tally = self.tallies[stage.table.entity]
        tally.changes += stage.apply()
        at = (format_lsn(self._begin.lsn), self._sequence, self._begin.committed_us)
        tally.changes += mark_truncated(self.warehouse, stage.table, at, tally.batch_id)
        tally.last = self._begin

    def _stage(self, oid: int) -> Stage:
        """Return the stage for a table as the stream describes it now; follow its schema if that changed."""
        if (bound := self._bound.get(oid)) is not None:
            return bound
        self._lane.drain()
        relation = self._relations[oid]
        entity = relation.name
        for name, known in self._layouts.items():
            if known.oid == oid and name != entity:
                drift = moved(name, entity)
                drift.lsn = self._begin.lsn
                raise drift
        if entity not in self.tables or entity not in self._layouts:
            raise PublicationError(
                f"the stream brings {relation.schema}.{entity}, which was never snapshotted"
            )
        layout = Layout.from_relation(relation, self.catalog.get(entity))
        check_allowed(entity, layout, self.tables[entity])
        self._follow(entity, layout)
        stage = self._stages.get(entity)
        if stage is None or stage.layout.names != layout.names:
            stage = self._restage(entity, layout, stage)
        self._bound[oid] = stage
        return stage

    def _restage(self, entity: str, layout: Layout, former: Stage | None) -> Stage:
        if former is not None:
            self.tallies[entity].changes += former.apply()
        else:
            self.tallies[entity] = Tally(ledger.next_batch_id(self.warehouse), self._begin, self._begin)
        table = read_mirror(self.warehouse, entity)
        stage = Stage(self.warehouse, self._lane, table, layout, self.tallies[entity].batch_id)
        self._stages[entity] = stage
        self._plain.clear()
        return stage

    def _follow(self, entity: str, layout: Layout) -> None:
        known = self._layouts[entity]
        try:
            difference = compare(entity, known, layout)
        except SchemaDriftError as drift:
            drift.lsn = self._begin.lsn
            raise
        if not (difference.added or difference.dropped):
            return
        if (former := self._stages.get(entity)) is not None:
            self.tallies[entity].changes += former.apply()
        add_columns(self.warehouse, read_mirror(self.warehouse, entity), difference.added)
        computed = {column.name: self._begin.lsn for column in difference.added if column.computed}
        if computed:
            self.computed.setdefault(entity, {}).update(computed)
        for change in difference.in_words():
            ledger.record_change(self.warehouse, self.slot, entity, change, (known, layout), self._begin.lsn)
            self.followed.append(f"{entity}: {change[1]}")
        self._layouts[entity] = layout


def _filled(row: Tuple, before: list[bytes]) -> Tuple:
    """Put the values before in the place of those that the change kept."""
    fields = list(row.fields)
    for position in row.kept:
        fields[position] = before[position]
    return Tuple(fields, ())
