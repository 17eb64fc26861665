"""One pull: everything that the order database committed up to now, applied to the mirrors.

Each round reads a bounded number of changes and applies them with their position in one warehouse transaction, while
the next is decoded; the slot is advanced after the last of these commits. A crash anywhere loses nothing and doubles
nothing: before a commit nothing of it happened, after it the position says what to skip. Order: an entity's changes
are applied in commit order.

Not guaranteed: the pull ends where the order database stood when it began; what is committed meanwhile comes
next time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from ingestion.cdc import ledger, publication, slot
from ingestion.cdc.apply import Applier
from ingestion.cdc.backfill import backfill
from ingestion.cdc.errors import RECREATE, NoSnapshotError, SchemaDriftError
from ingestion.cdc.layout import Layout
from ingestion.cdc.lsn import format_lsn
from ingestion.cdc.mirror import read_mirror
from ingestion.cdc.pgoutput import BINARY, TEXT, FormError
from ingestion.cdc.publication import TABLES, Tables
from ingestion.cdc.reader import Reader

Connection = psycopg.Connection[tuple[Any, ...]]

SLOT = "fleetflow"
WORKER = "cdc"
ROUND_CHANGES = 100_000


@dataclass(frozen=True)
class PullReport:
    """What a pull or snapshot did; `changes` counts history rows per entity, `batches` are ledger entries."""

    kind: str
    slot: str
    epoch: int
    from_lsn: str | None
    to_lsn: str
    changes: Mapping[str, int]
    batches: tuple[int, ...]
    schema_changes: tuple[str, ...]
    rounds: int
    seconds: float
    lag_bytes: int
    retained_bytes: int

    @property
    def total(self) -> int:
        """All changes together."""
        return sum(self.changes.values())


@dataclass
class _Work:
    """A pull in progress."""

    source: Connection
    warehouse: Connection
    known: ledger.Source
    applied: int
    tables: Tables
    catalog: dict[str, Layout]
    worker: str
    round_changes: int
    drift: SchemaDriftError | None = None
    form: int = BINARY
    rounds: int = 0
    changes: dict[str, int] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    followed: list[str] = field(default_factory=list)

    def run(self, target: int, until: int | None = None) -> None:
        """Make rounds until the target, or the transaction that commits at `until`; then advance the slot."""
        try:
            self._run(target, until)
        except FormError:
            if self.form == TEXT:
                raise
            self.form = TEXT
            self._run(target, until)
        slot.advance(self.source, self.known.slot, self.applied)

    def _run(self, target: int, until: int | None) -> None:
        known = self.known
        with Reader(
            self.source, known.slot, known.publication, target, self.round_changes, binary=self.form == BINARY
        ) as reader:
            while self._round(reader, target, until):
                pass

    def _round(self, reader: Reader, target: int, until: int | None) -> bool:
        """Read, apply, commit; return whether the slot may hold more before the target."""
        before = self.applied
        applier = Applier(
            self.warehouse, self.known.slot, before, self.tables, self.catalog, self.form, until
        )
        with self.warehouse.transaction():
            ended = not applier.run(reader.read_round())
            full = applier.messages >= self.round_changes and not ended
            after = max(before, applier.last_end) if full or ended else max(before, applier.last_end, target)
            self._backfill(applier, after)
            self._record(applier, before, after)
        self.applied = after
        self._count(applier)
        return full

    def _backfill(self, applier: Applier, after: int) -> None:
        for entity, added in applier.computed.items():
            tally, table = applier.tallies[entity], read_mirror(self.warehouse, entity)
            tally.changes += backfill(self.source, self.warehouse, table, added, after, tally.batch_id)

    def _record(self, applier: Applier, before: int, after: int) -> None:
        for entity, tally in applier.tallies.items():
            if tally.changes:
                batch = ledger.Batch(
                    tally.batch_id, entity, tally.changes, tally.first.lsn, tally.last.lsn,
                    tally.first.committed_us, tally.last.committed_us,
                )  # fmt: skip
                ledger.record_batch(self.warehouse, self.known.slot, self.known.epoch, self.worker, batch)
        ledger.record_applied(self.warehouse, self.known, before, after)

    def _count(self, applier: Applier) -> None:
        self.rounds += 1
        self.followed.extend(applier.followed)
        for entity, tally in applier.tallies.items():
            if tally.changes:
                self.changes[entity] = self.changes.get(entity, 0) + tally.changes
                self.batches.append(tally.batch_id)


def pull(
    source: Connection,
    warehouse: Connection,
    *,
    slot_name: str = SLOT,
    tables: Tables = TABLES,
    worker: str = WORKER,
    round_changes: int = ROUND_CHANGES,
) -> PullReport:
    """Apply to the mirrors what was committed since the last pull; return what it brought.

    Both connections have to be outside a transaction. Safe to repeat, after any crash.

    Raises:
        NoSnapshotError: there is no finished snapshot to go on from.
        SlotMissingError, SlotOvertakenError: the slot cannot give what is missing; a re-created snapshot can.
        AlreadyRunningError: another pull is at work.
        PublicationError: the order database publishes something else than the mirrors expect.
        SchemaDriftError: a column was renamed or changed its type, or a table was renamed or is gone; everything
            before that is applied.
    """
    started_at, started = datetime.now(UTC), time.perf_counter()
    ledger.require_idle(source, "source")
    with ledger.exclusive(warehouse, slot_name):
        work = _begin(source, warehouse, slot_name, tables, worker, round_changes)
        first, target = work.applied, slot.flush_lsn(source)
        try:
            work.run(target)
        except SchemaDriftError as drift:
            ledger.record_refusal(warehouse, slot_name, drift)
            work.run(target, until=drift.lsn)
            raise
        if work.drift is not None:
            ledger.record_refusal(warehouse, slot_name, work.drift)
            raise work.drift
        state = slot.check(slot.read_state(source, slot_name), slot_name, work.applied)
        report = PullReport(
            kind="pull", slot=slot_name, epoch=work.known.epoch, from_lsn=format_lsn(first),
            to_lsn=format_lsn(work.applied), changes=work.changes, batches=tuple(work.batches),
            schema_changes=tuple(work.followed), rounds=work.rounds, seconds=time.perf_counter() - started,
            lag_bytes=state.lag_bytes, retained_bytes=state.retained_bytes,
        )  # fmt: skip
        enter(warehouse, report, started_at, first, work.applied)
    return report


def _begin(
    source: Connection, warehouse: Connection, name: str, tables: Tables, worker: str, round_changes: int
) -> _Work:
    """Check that the pull can go on where the last one ended."""
    known = ledger.read_source(warehouse, name)
    if known is None or known.applied_lsn is None:
        raise NoSnapshotError(f"slot {name} has no finished snapshot; `fleetflow cdc snapshot` makes it")
    slot.check(slot.read_state(source, name), name, known.applied_lsn)
    with source.transaction():
        catalog = publication.read_published(source, known.publication)
    with warehouse.transaction():
        layouts = ledger.read_layouts(warehouse, name)
        departed = ledger.read_departed(warehouse, name)
    if departed and departed[0] in catalog:
        raise publication.moved(departed[0], None)
    drift = publication.find_moved(catalog, tables, layouts)
    if drift is None:
        publication.check_published(known.publication, catalog, tables)
    missing = tables.keys() - layouts.keys()
    if missing:
        raise NoSnapshotError(f"{', '.join(sorted(missing))} was never snapshotted; {RECREATE}")
    slot.advance(source, name, known.applied_lsn)
    form = (
        BINARY
        if all(_takes_binary(warehouse, entity, catalog[entity]) for entity in tables if entity in catalog)
        else TEXT
    )
    return _Work(
        source, warehouse, known, known.applied_lsn, tables, catalog, worker, round_changes, drift, form
    )


def _takes_binary(warehouse: Connection, entity: str, layout: Layout) -> bool:
    with warehouse.transaction():
        return read_mirror(warehouse, entity).takes_binary(layout)


def enter(
    warehouse: Connection, report: PullReport, started_at: datetime, first: int | None, last: int
) -> None:
    """Enter a finished pull or snapshot into the ledger."""
    entry = ledger.Pull(
        report.kind,
        started_at,
        report.seconds,
        report.total,
        first,
        last,
        report.lag_bytes,
        report.retained_bytes,
    )
    ledger.record_pull(warehouse, report.slot, report.epoch, entry)
