"""The first copy of every published table, consistent with the slot that carries on from it.

The slot is made with an exported snapshot; the tables are copied under it; rows, history and position are one
warehouse transaction. So each change is either in the copy or in the slot, never in both.

A repeated snapshot (a new epoch) compares: only rows that differ from the mirror get a history row and a new
version, rows that are gone are marked deleted. An unchanged row stays as it is, so nothing is doubled.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from ingestion.cdc import ledger, publication, slot
from ingestion.cdc.errors import PublicationError, SlotTakenError, SnapshotExistsError
from ingestion.cdc.layout import Layout
from ingestion.cdc.lsn import format_lsn
from ingestion.cdc.mirror import (
    MirrorTable,
    add_columns,
    fit_types,
    identifiers,
    read_mirror,
    with_parameters,
)
from ingestion.cdc.publication import PUBLICATION, SCHEMA, TABLES, Tables
from ingestion.cdc.pull import SLOT, WORKER, PullReport, enter, pull

Connection = psycopg.Connection[tuple[Any, ...]]

_LOCK_WAIT = "30s"


def snapshot(
    source_dsn: str,
    warehouse: Connection,
    *,
    slot_name: str = SLOT,
    publication_name: str = PUBLICATION,
    tables: Tables = TABLES,
    worker: str = WORKER,
    re_create: bool = False,
) -> PullReport:
    """Make the slot and copy every published table as of its first position; return what came.

    Raises:
        SnapshotExistsError: it was done before, and `re_create` does not ask for a new one.
        SlotTakenError: the order database has a slot of this name that this warehouse never announced.
        PublicationError: the publication is missing or publishes something else than the mirrors expect.
        AlreadyRunningError: a pull or another snapshot is at work.
    """
    started_at, started = datetime.now(UTC), time.perf_counter()
    with ExitStack() as stack:
        stack.enter_context(ledger.exclusive(warehouse, slot_name))
        source = stack.enter_context(psycopg.connect(source_dsn, autocommit=True))
        with source.transaction():
            publication.read_layouts(source, publication_name, tables)
        _refuse(source, warehouse, slot_name, re_create)
        epoch = ledger.announce_snapshot(warehouse, slot_name, publication_name)
        slot.drop(source, slot_name)
        layouts = stack.enter_context(_locked(source_dsn, publication_name, tables))
        with _new_slot(source_dsn, source, slot_name) as (lsn, name):
            copy = _Copy(warehouse, slot_name, epoch, worker, lsn)
            with psycopg.connect(source_dsn) as reader, warehouse.transaction():
                reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                reader.execute(sql.SQL("set transaction snapshot {}").format(name))
                slot.plain_output(reader)
                for entity, layout in layouts.items():
                    copy.table(reader, entity, layout)
                ledger.record_snapshot(warehouse, slot_name, lsn)
        state = slot.check(slot.read_state(source, slot_name), slot_name, lsn)
        report = PullReport(
            kind="snapshot", slot=slot_name, epoch=epoch, from_lsn=None, to_lsn=format_lsn(lsn),
            changes=copy.changes, batches=tuple(copy.batches), schema_changes=tuple(copy.followed), rounds=1,
            seconds=time.perf_counter() - started, lag_bytes=state.lag_bytes,
            retained_bytes=state.retained_bytes,
        )  # fmt: skip
        enter(warehouse, report, started_at, None, lsn)
    return report


def sync(
    source_dsn: str,
    warehouse: Connection,
    *,
    slot_name: str = SLOT,
    publication_name: str = PUBLICATION,
    tables: Tables = TABLES,
    worker: str = WORKER,
) -> list[PullReport]:
    """Bring the mirrors up to date: the snapshot if it was never finished, then a pull. What the DAG calls.

    Raises:
        CdcError: as `snapshot` and `pull` say.
    """
    reports = []
    known = ledger.read_source(warehouse, slot_name)
    if known is None or known.applied_lsn is None:
        reports.append(
            snapshot(
                source_dsn, warehouse, slot_name=slot_name, publication_name=publication_name, tables=tables,
                worker=worker,
            )
        )  # fmt: skip
    with psycopg.connect(source_dsn, autocommit=True) as source:
        reports.append(pull(source, warehouse, slot_name=slot_name, tables=tables, worker=worker))
    return reports


def _refuse(source: Connection, warehouse: Connection, name: str, re_create: bool) -> None:
    known, state = ledger.read_source(warehouse, name), slot.read_state(source, name)
    if re_create:
        return
    if known is None and state is not None:
        raise SlotTakenError(
            f"the order database has a slot {name} that this warehouse knows nothing of: another one may"
            " use it; if none does, `fleetflow cdc snapshot --re-create` takes it over"
        )
    if known is None or known.applied_lsn is None:
        return
    slot.check(state, name, known.applied_lsn)
    raise SnapshotExistsError(
        f"slot {name} was snapshotted at {known.snapshot_at}; `fleetflow cdc pull` carries on,"
        " --re-create starts anew"
    )


@contextmanager
def _locked(source_dsn: str, name: str, tables: Tables) -> Iterator[Mapping[str, Layout]]:
    """Hold off changes of schema from before the slot is made until the copy is done; yield the layouts.

    A rewriting ALTER TABLE would make a table look empty to the snapshot. Reading no rows takes the weakest
    lock, and needs no right beyond the published columns.
    """
    with psycopg.connect(source_dsn) as guard:
        guard.execute(sql.SQL("set local lock_timeout = {}").format(_LOCK_WAIT))
        before = publication.read_layouts(guard, name, tables)
        try:
            for table, layout in before.items():
                guard.execute(
                    sql.SQL("select {} from {} limit 0").format(
                        identifiers(layout.names), sql.Identifier(SCHEMA, table)
                    )
                )
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedColumn) as fault:
            raise PublicationError(
                f"{table} cannot be read as it is published ({fault.diag.message_primary}); run prepare() as"
                " the order database's owner"
            ) from fault
        yield publication.read_layouts(guard, name, tables)


@contextmanager
def _new_slot(source_dsn: str, source: Connection, name: str) -> Iterator[tuple[int, str]]:
    """Make the slot and keep its snapshot; a failure inside drops it, lest it keep the log for ever."""
    try:
        with psycopg.connect(source_dsn, autocommit=True, replication="database") as replication:
            yield slot.create(replication, name)
    except BaseException:
        if not source.closed:
            slot.drop(source, name)
        raise


class _Copy:
    """Copies one table after the other into the mirrors, within the snapshot's transaction."""

    def __init__(self, warehouse: Connection, slot_name: str, epoch: int, worker: str, lsn: int) -> None:
        self.warehouse = warehouse
        self.slot_name = slot_name
        self.epoch = epoch
        self.worker = worker
        self.lsn = lsn
        self.changes: dict[str, int] = {}
        self.batches: list[int] = []
        self.followed: list[str] = []
        self._known = self._read_known()

    def _read_known(self) -> dict[str, Layout]:
        with self.warehouse.transaction():
            return ledger.read_layouts(self.warehouse, self.slot_name)

    def table(self, reader: Connection, entity: str, layout: Layout) -> None:
        """Copy one table, and bring its mirror to exactly these rows."""
        table = self._follow(entity, layout)
        stage = sql.Identifier(f"cdc_snapshot_{entity}")
        columns = identifiers(layout.names)
        self.warehouse.execute(
            sql.SQL("create temporary table {} on commit drop as select {} from {} with no data").format(
                stage, columns, table.current
            )
        )
        out = sql.SQL("copy (select {} from {}) to stdout").format(columns, sql.Identifier(SCHEMA, entity))
        into = sql.SQL("copy {} from stdin").format(stage)
        with (
            reader.cursor().copy(out) as rows,
            self.warehouse.cursor() as cursor,
            cursor.copy(into) as copy,
        ):
            for block in rows:
                copy.write(block)
        self.warehouse.execute(sql.SQL("analyze {}").format(stage))
        batch_id = ledger.next_batch_id(self.warehouse)
        if changed := self._merge(table, layout, stage, batch_id):
            self._enter(entity, batch_id, changed)

    def _follow(self, entity: str, layout: Layout) -> MirrorTable:
        table, known = read_mirror(self.warehouse, entity), self._known.get(entity)
        if known is not None and known.to_json() == layout.to_json():
            return table
        new = [column for column in layout.columns if column.name not in table.types]
        table = add_columns(self.warehouse, table, new)
        if known is not None:
            table = fit_types(self.warehouse, table, known, layout)
        words = ("first seen", f"{entity} is mirrored with the columns {', '.join(layout.names)}")
        if known is not None:
            words = ("re-created", f"{entity} is mirrored anew with the columns {', '.join(layout.names)}")
            self.followed.append(f"{entity}: {words[1]}")
        ledger.record_change(self.warehouse, self.slot_name, entity, words, (known, layout), self.lsn)
        return table

    def _merge(self, table: MirrorTable, layout: Layout, stage: sql.Identifier, batch_id: int) -> int:
        """Write what differs; return the number of history rows."""
        key, names, every = map(with_parameters, (table.key, layout.names, tuple(table.types)))
        others = [name for name in names if name not in key]
        forgotten = [name for name in every if name not in names]
        own = ["_lsn", "_committed_at", "_deleted", "batch_id"]
        same_key = sql.SQL(" and ").join(
            sql.SQL("m.{0} = s.{0}").format(sql.Identifier(name)) for name in key
        )
        assignments = sql.SQL(", ").join(
            [
                *(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in [*others, *own]),
                *(sql.SQL("{} = null").format(sql.Identifier(name)) for name in forgotten),
            ]
        )
        parts = {
            "current": table.current, "history": table.history, "stage": stage, "same_key": same_key,
            "columns": identifiers(names), "key": identifiers(key), "own": identifiers(own),
            "every": identifiers(every), "assignments": assignments,
            "staged": _prefixed("s", names), "mirrored": _prefixed("m", names),
        }  # fmt: skip
        values = {"lsn": format_lsn(self.lsn), "batch": batch_id}
        deleted = self.warehouse.execute(sql.SQL(_DELETE).format(**parts), values).rowcount
        return (
            deleted
            + self.warehouse.execute(sql.SQL(_UPSERT).format(**parts), {**values, "offset": deleted}).rowcount
        )

    def _enter(self, entity: str, batch_id: int, changed: int) -> None:
        row = self.warehouse.execute(
            "select (extract(epoch from now() - timestamptz '2000-01-01 00:00:00Z') * 1000000)::bigint"
        ).fetchone()
        assert row is not None
        batch = ledger.Batch(batch_id, entity, changed, self.lsn, self.lsn, row[0], row[0])
        ledger.record_batch(self.warehouse, self.slot_name, self.epoch, self.worker, batch)
        self.changes[entity] = changed
        self.batches.append(batch_id)


def _prefixed(alias: str, names: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, name) for name in names)


_DELETE = """
with gone as (
    update {current} as m set
        _deleted = true, _lsn = %(lsn)s::text::pg_lsn, _committed_at = now(), batch_id = %(batch)s
    where not _deleted and not exists (select from {stage} as s where {same_key})
    returning *
)
insert into {history} ({every}, _op, _lsn, _seq, _committed_at, batch_id)
select {every}, 'd', _lsn, row_number() over (), _committed_at, batch_id from gone
"""

# `*<>` compares the stored bytes, so it serves types without an equality of their own.
_UPSERT = """
with changed as materialized (
    select s.*, row_number() over () + %(offset)s as _seq from {stage} as s
    left join {current} as m on {same_key}
    where m._deleted is not false or row({staged})::record *<> row({mirrored})::record
), written as (
    insert into {current} ({columns}, {own})
    select {columns}, %(lsn)s::text::pg_lsn, now(), false, %(batch)s::bigint from changed
    on conflict ({key}) do update set {assignments}
)
insert into {history} ({columns}, _op, _lsn, _seq, _committed_at, batch_id)
select {columns}, 's', %(lsn)s::text::pg_lsn, _seq, now(), %(batch)s::bigint from changed
"""
