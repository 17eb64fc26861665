"""Drivers' privacy: erase one on request, give all of them new pseudonyms.

Reads the catalog for where drivers stand (`vault.driver_column`), so a table that a later migration or model adds is
treated like the others. Writes as the warehouse's owner. Never touches raw objects and the lake: what comes from there
again is masked on its way into the warehouse, and both end by retention (ADR 32).

Asserted: while rows change, no pipeline runs: a run that began before would write the old name after. Trusted
unchecked: that the order database has erased the driver too; what it sends again is masked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from fleetflow import transform
from fleetflow.faults import UserError
from fleetflow.privacy_states import rename_in_states
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings

PIPELINES = ("shipments", "vehicles")
BUSY_S = 120.0
"""How long a run at work is waited for."""
_LOOK_S = 0.5


@dataclass(frozen=True)
class Erased:
    """What an erasure changed, or would change: rows by table. `token` and `driver_key` replace the driver."""

    tenant_id: str
    dry_run: bool
    rows: Mapping[str, int]
    erasure_id: int | None = None
    token: str | None = None
    driver_key: str | None = None


def erase_driver(
    settings: Settings, tenant: str, driver: str, *, dry_run: bool = False, busy_s: float = BUSY_S
) -> Erased:
    """Replace a driver by a random token everywhere in the warehouse; rows and sums stay.

    Safe to repeat: a crash leaves an entry without an end, and the same call completes it. A driver who was erased
    before and has come again keeps the first token.

    Raises:
        UserError: nothing in the warehouse names the driver, or a pipeline stayed busy for `busy_s` seconds.
    """
    owner = settings.dsn("owner")
    with connect(owner) as conn:
        found = _count(conn, tenant, driver)
        known = conn.execute(
            "select from vault.driver_erasure where tenant_id = %(tenant)s"
            " and fingerprint = vault.fingerprint(%(tenant)s, %(driver)s)",
            {"tenant": tenant, "driver": driver},
        ).fetchone()
    if not found and known is None:
        raise UserError(f"nothing in the warehouse names driver {driver!r} of tenant {tenant!r}")
    if dry_run:
        return Erased(tenant, True, found)
    with connect(owner) as conn, _pipelines_held(conn, busy_s):
        with connect(owner, autocommit=True) as first:
            erasure = _register(first, tenant, driver)
            _wait_for_writers(first)
        entry = conn.execute(
            "select token, driver_key from vault.driver_erasure where erasure_id = %s", (erasure,)
        ).fetchone()
        assert entry is not None
        states = rename_in_states(conn, tenant, {driver: entry[0]}, dry_run=False)
        rows = conn.execute("select relation, row_count from vault.erase_driver(%s, %s)", (erasure, driver))
        changed: dict[str, int] = dict(rows.fetchall())
    return Erased(tenant, False, _with_states(changed, states), erasure, *entry)


def rotate_key(settings: Settings, *, busy_s: float = BUSY_S) -> Mapping[str, int]:
    """Give every driver a new pseudonym under the key of the settings, in one transaction; return rows by table.

    Raises:
        UserError: the key is the one in use, or a pipeline stayed busy for `busy_s` seconds.
    """
    key = settings.pseudonym_key.reveal()
    if len(key) < 32:
        raise UserError("FLEETFLOW_PSEUDONYM_KEY needs at least 32 characters")
    with connect(settings.dsn("owner")) as conn:
        same = conn.execute(
            "select 1 from vault.pseudonym_key where retired_at is null"
            " and inner_pad = vault.pad(convert_to(%s, 'UTF8'), 54)",
            (key,),
        ).fetchone()
        if same:
            raise UserError(
                "FLEETFLOW_PSEUDONYM_KEY is the key in use; set a new one of at least 32 characters first"
            )
        with _pipelines_held(conn, busy_s):
            rows = conn.execute("select relation, row_count from vault.rotate_key(%s)", (key,)).fetchall()
    counts: dict[str, int] = {}
    for table, count in rows:
        counts[table] = counts.get(table, 0) + count
    return counts


def list_erasures(settings: Settings) -> list[dict[str, object]]:
    """Return who was erased, without saying who: newest first."""
    with connect(settings.dsn("owner")) as conn:
        cursor = conn.execute(
            "select erasure_id, tenant_id, token, driver_key, requested_at, requested_by, completed_at, rows_by_table"
            " from vault.driver_erasure order by erasure_id desc"
        )
        assert cursor.description is not None
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def _count(conn: Connection, tenant: str, driver: str) -> dict[str, int]:
    rows = conn.execute(
        "select r.relation, r.row_count from vault.replace_driver(%(tenant)s, %(driver)s,"
        " coalesce(vault.key_of(%(tenant)s, %(driver)s), ''), '', '', true) as r where r.row_count > 0 order by 1",
        {"tenant": tenant, "driver": driver},
    )
    found: dict[str, int] = dict(rows.fetchall())
    return _with_states(found, rename_in_states(conn, tenant, {driver: ""}, dry_run=True))


def _with_states(rows: dict[str, int], states: int) -> dict[str, int]:
    return rows | {"intermediate.fold_state.state": states} if states else rows


def _register(conn: Connection, tenant: str, driver: str) -> int:
    row = conn.execute("select vault.register_erasure(%s, %s)", (tenant, driver)).fetchone()
    assert row is not None
    return int(row[0])


def _wait_for_writers(conn: Connection) -> None:
    """Return when every transaction that may have looked before the entry was there has ended.

    A lock that is had for a moment on each table says so; who lands stands in line for as long as the slowest takes.
    """
    tables = conn.execute(
        "select distinct d.place, d.name from vault.driver_column as d"
        " where d.place in ('landing', 'source') and d.kind = 'id' order by 1, 2"
    ).fetchall()
    for place, name in tables:
        with conn.transaction():
            conn.execute(
                sql.SQL("lock table {} in share row exclusive mode").format(sql.Identifier(place, name))
            )


@contextmanager
def _pipelines_held(conn: Connection, busy_s: float) -> Iterator[None]:
    """Hold every pipeline for one transaction: a run that would begin waits for its end.

    Raises:
        UserError: a run was at work all the time.
    """
    until = time.monotonic() + busy_s
    with conn.transaction():
        runs = [_hold(conn, pipeline, until) for pipeline in PIPELINES]
        yield
        for run in runs:
            conn.execute("update ops.pending_batch set run_id = null where run_id = %s", (run.run_id,))
            conn.execute("delete from ops.transform_run where run_id = %s", (run.run_id,))


def _hold(conn: Connection, pipeline: str, until: float) -> transform.Run:
    while True:
        try:
            run = transform.claim(conn, pipeline, "privacy", even_if_empty=True)
        except transform.PipelineBusyError as fault:
            if time.monotonic() >= until:
                raise UserError(f"{fault}; nothing was changed: try again when it has ended") from fault
            time.sleep(_LOOK_S)
        else:
            assert run is not None
            return run
