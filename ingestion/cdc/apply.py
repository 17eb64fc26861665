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
from ingestion.cdc.pgoutput import Begin, FormError, Relation
from ingestion.cdc.publication import Tables, check_allowed, moved
from ingestion.cdc.slot import plain_output
from ingestion.cdc.stage import Stage, Tally

Connection = psycopg.Connection[tuple[Any, ...]]

_FORM = 5
_ROW_CHANGES = frozenset({pgoutput.INSERT, pgoutput.UPDATE, pgoutput.DELETE})


@dataclass
class Applier:
    """Takes messages in order, whose values have the form TEXT or BINARY.

    `until` ends the work before the transaction that commits there.
    """

    warehouse: Connection
    slot: str
    applied: int
    tables: Tables
    catalog: dict[str, Layout]
    form: int
    until: int | None = None
    last_end: int = 0
    messages: int = 0
    followed: list[str] = field(default_factory=list)
    computed: dict[str, dict[str, int]] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    _lane: Lane = field(default_factory=Lane)
    _layouts: dict[str, Layout] = field(default_factory=dict)
    _relations: dict[bytes, Relation] = field(default_factory=dict)
    _bound: dict[bytes, Stage] = field(default_factory=dict)
    _stages: dict[str, Stage] = field(default_factory=dict)
    _begin: Begin = field(default_factory=lambda: Begin(0, 0))
    _sequence: int = 0
    _skipping: bool = True
    _has_ended: bool = False

    def run(self, portions: Iterable[list[bytes]]) -> bool:
        """Stage and apply a round of messages; return whether it was read to its end.

        Raises:
            SchemaDriftError: a change cannot be followed; its `lsn` is the commit before which the mirror
                must stop. PublicationError: the stream brings a table or a column that may not be mirrored.
            FormError: a column of the mirror does not take the binary form; nothing may be committed.
        """
        self._layouts = ledger.read_layouts(self.warehouse, self.slot)
        # What is read back from the mirror has to be spelled as the stream is.
        plain_output(self.warehouse)
        with self._lane:
            for portion in portions:
                self.messages += len(portion)
                if not self._take(portion):
                    complete = False
                    break
                for stage in self._stages.values():
                    stage.spill()
            else:
                complete = True
            for stage in self._stages.values():
                stage.apply()
        return complete

    def _take(self, portion: Iterable[bytes]) -> bool:
        """Take messages; return False before the transaction that the work ends before."""
        begin, sequence = self._begin, self._sequence
        for data in portion:
            kind = data[0]
            if kind in _ROW_CHANGES:
                if not self._skipping:
                    stage = self._bound.get(data[1:5]) or self._stage(data[1:5])
                    if stage.begin is not begin:
                        stage.enter(begin)
                    if data[_FORM] == pgoutput.NEW:
                        sequence += 1
                        stage.messages.append(data)
                        stage.kinds.append(kind)
                        stage.sequences.append(sequence)
                    else:
                        sequence += stage.add(kind, sequence + 1, data)
            else:
                sequence = self._turn(kind, data, sequence)
                begin = self._begin
                if self._has_ended:
                    return False
        self._sequence = sequence
        return True

    def _turn(self, kind: int, data: bytes, sequence: int) -> int:
        """Take a message that is not of one row; return the number of the last change of the transaction."""
        if kind == pgoutput.BEGIN:
            self._begin, sequence = pgoutput.read_begin(data), 0
            self._skipping = self._begin.lsn < self.applied
            self._has_ended = self.until is not None and self._begin.lsn >= self.until
        elif kind == pgoutput.COMMIT:
            self.last_end = pgoutput.read_commit_end(data)
        elif kind == pgoutput.RELATION:
            self._relations[data[1:5]] = pgoutput.read_relation(data)
            self._bound.pop(data[1:5], None)
        elif kind == pgoutput.TRUNCATE and not self._skipping:
            return self._truncate_all(data, sequence)
        return sequence

    def _truncate_all(self, data: bytes, sequence: int) -> int:
        for oid in pgoutput.read_truncate(data):
            sequence += 1
            self._truncate(self._stage(oid.to_bytes(4)), sequence)
        return sequence

    def _truncate(self, stage: Stage, sequence: int) -> None:
        stage.apply()
        tally = stage.tally
        at = (format_lsn(self._begin.lsn), sequence, self._begin.committed_us)
        tally.changes += mark_truncated(self.warehouse, stage.table, at, tally.batch_id)
        tally.last = self._begin

    def _stage(self, oid: bytes) -> Stage:
        """Return the stage for a table as the stream describes it now; follow its schema if that changed."""
        if (bound := self._bound.get(oid)) is not None:
            return bound
        self._lane.drain()
        relation = self._relations[oid]
        entity = relation.name
        for name, known in self._layouts.items():
            if known.oid == relation.oid and name != entity:
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
            former.apply()
        else:
            self.tallies[entity] = Tally(ledger.next_batch_id(self.warehouse), self._begin, self._begin)
        table = read_mirror(self.warehouse, entity)
        if self.form == pgoutput.BINARY and not table.takes_binary(layout):
            raise FormError(f"a column of {entity} has another type in the mirror than in the order database")
        stage = Stage(self.warehouse, self._lane, table, layout, self.tallies[entity], self.form)
        self._stages[entity] = stage
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
            former.apply()
        add_columns(self.warehouse, read_mirror(self.warehouse, entity), difference.added)
        computed = {column.name: self._begin.lsn for column in difference.added if column.computed}
        if computed:
            self.computed.setdefault(entity, {}).update(computed)
        for change in difference.in_words():
            ledger.record_change(self.warehouse, self.slot, entity, change, (known, layout), self._begin.lsn)
            self.followed.append(f"{entity}: {change[1]}")
        self._layouts[entity] = layout
