"""The arms that lie in the warehouse: the ledger's sums, landing's rows, rejects, partners' files, pipelines.

Set-based: each statement returns totals and what differs, never a row for what agrees. Landing is looked into between
the window's first and last batch and arrival, so that a day's partition is read by its block ranges.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import sql

from quality.reconcile.model import Cause, Connection, Counted, Difference, Mend, Note, Window

SHOWN = 50
"""How many differences of a kind are named one by one; the others are counted."""

KEPT_OF_A_FILE = 10_000
"""Of a partner's file only so many refused lines are kept; the others are counted, and lie in the archived file."""

_BATCHES = (
    " from ops.batch as b where b.feed = %(feed)s and b.source <> 'cdc'"
    " and b.first_arrived_at >= %(start)s and b.first_arrived_at < %(end)s"
)


def values(window: Window) -> dict[str, Any]:
    """Return a window as statement parameters."""
    return {"feed": window.feed, "start": window.start, "end": window.end}


def count_ledger(conn: Connection, counted: Counted) -> None:
    """Sum the ledger's entries of a window by where they come from."""
    row = conn.execute(
        "select count(*), coalesce(sum(b.events_read) filter (where b.source <> 'backfill'), 0),"
        " coalesce(sum(b.accepted) filter (where b.source <> 'backfill'), 0), coalesce(sum(b.rejected), 0),"
        " coalesce(sum(b.events_read) filter (where b.source = 'stream'), 0),"
        " coalesce(sum(b.events_read) filter (where b.source = 'partner'), 0),"
        " coalesce(sum(b.accepted) filter (where b.source = 'replay'), 0),"
        " coalesce(sum(b.accepted) filter (where b.source = 'backfill'), 0)" + _BATCHES,
        values(counted.window),
    ).fetchone()
    assert row is not None
    names = ("batches", "read", "accepted", "rejected", "streamed", "of_partners", "replayed", "relanded")
    counted.counts |= {name: int(value) for name, value in zip(names, row, strict=True)}


def count_landing(conn: Connection, counted: Counted) -> None:
    """Hold landing's rows against the ledger, batch by batch; days that retention dropped are past counting."""
    window = counted.window
    bounds = conn.execute(
        "select min(b.batch_id), max(b.batch_id), min(b.first_arrived_at), max(b.last_arrived_at)" + _BATCHES,
        values(window),
    ).fetchone()
    assert bounds is not None
    if bounds[0] is None and window.grain == "hour":
        counted.counts["landing_rows"] = 0
        return
    days = _dropped_days(conn, window, "landing")
    rows = conn.execute(_landing_statement(window, bounds), {**values(window), "dropped": days}).fetchall()
    counted.counts["landing_rows"] = sum(row[3] for row in rows)
    gone = 0
    for batch_id, source, accepted, found, object_key, expired in rows:
        if batch_id is None:
            continue
        if expired and found < accepted:
            gone += accepted - found
            continue
        counted.differences.append(_rows_differ(batch_id, source, accepted, found, object_key))
    if gone:
        counted.counts["landing_rows_dropped"] = gone


def _landing_statement(window: Window, bounds: tuple[Any, ...]) -> sql.Composed:
    """One row of totals (batch null), then one for each batch whose rows are not what the ledger says.

    An hour looks between its batches; a day at its whole partition too, and so finds rows of no batch at all.
    """
    first, last, from_at, to_at = bounds
    near: sql.Composable = sql.SQL("false")
    if first is not None:
        near = sql.SQL(
            "(l.batch_id between {} and {} and l.arrived_at between {}::timestamptz and {}::timestamptz)"
        ).format(*(sql.Literal(v) for v in (first, last, from_at, to_at)))
    if window.grain == "day":
        near = sql.SQL("({} or (l.arrived_at >= {}::timestamptz and l.arrived_at < {}::timestamptz))").format(
            near, sql.Literal(window.start), sql.Literal(window.end)
        )
    return sql.SQL(
        "with found as (select l.batch_id, count(*) as rows from {table} as l where {near} group by 1),"
        " batches as materialized (select b.batch_id, b.source, b.accepted, b.object_key,"
        "  (b.first_arrived_at at time zone 'UTC')::date = any(%(dropped)s::date[]) as expired {batches}),"
        " held as (select coalesce(b.batch_id, f.batch_id) as batch_id, b.source, coalesce(b.accepted, 0) as accepted,"
        "  coalesce(f.rows, 0) as rows, b.object_key, coalesce(b.expired, false) as expired,"
        "  b.batch_id is not null as known"
        "  from batches as b full join found as f using (batch_id))"
        " select null, null, 0, coalesce(sum(rows) filter (where rows = accepted and known), 0)::bigint, null, false"
        " from held"
        " union all"
        " select batch_id, source, accepted, rows, object_key, expired from held"
        " where rows <> accepted and (known or not exists ("
        "  select from ops.batch as other where other.batch_id = held.batch_id and other.feed = %(feed)s))"
    ).format(table=sql.Identifier("landing", window.feed), near=near, batches=sql.SQL(_BATCHES))


def _rows_differ(
    batch_id: int, source: str | None, accepted: int, found: int, object_key: str | None
) -> Difference:
    if source is None:
        words = f"{found} rows in landing are of batch {batch_id}, which the ledger does not know"
        return Difference("landing", Cause.EXTRA, words, found)
    words = f"batch {batch_id}: {found} rows in landing, the ledger says {accepted}"
    if found > accepted:
        return Difference("landing", Cause.EXTRA, words, found - accepted)
    mend = Mend.ROWS if object_key else None
    return Difference("landing", Cause.MISSING, words, accepted - found, mend, batch_id)


def _dropped_days(conn: Connection, window: Window, area: str) -> list[Any]:
    """The days of a feed that retention has dropped from `landing` or from the `rejects`, by its own ledger."""
    return [
        row[0]
        for row in conn.execute(
            "select to_date(right(subject, 8), 'YYYYMMDD') from ops.retention_action"
            " where area = %s and action = 'dropped' and subject like %s",
            (area, f"{area}.{window.feed}\\_________"),
        ).fetchall()
    ]


def count_rejects(conn: Connection, counted: Counted) -> None:
    """Hold the rejects kept against the ledger, batch by batch."""
    rows = conn.execute(
        "with kept as (select r.batch_id, count(*) as rows from ops.rejected as r"
        " where r.batch_id in (select b.batch_id" + _BATCHES + ") group by 1)"
        " select b.batch_id, case when b.source = 'partner' then least(b.rejected, %(kept)s) else b.rejected end,"
        "  coalesce(k.rows, 0)"
        " from ops.batch as b left join kept as k using (batch_id)"
        " where b.feed = %(feed)s and b.source <> 'cdc' and b.first_arrived_at >= %(start)s"
        " and b.first_arrived_at < %(end)s and (b.rejected > 0 or k.rows > 0)"
        " and not (k.rows is null and (b.first_arrived_at at time zone 'UTC')::date = any(%(dropped)s::date[]))",
        {
            **values(counted.window),
            "kept": KEPT_OF_A_FILE,
            "dropped": _dropped_days(conn, counted.window, "rejects"),
        },
    ).fetchall()
    counted.counts["rejects"] = sum(row[2] for row in rows)
    for batch_id, rejected, kept in rows:
        if kept != rejected:
            words = f"batch {batch_id}: {kept} rejects are kept, the ledger says {rejected}"
            cause = Cause.MISSING if kept < rejected else Cause.EXTRA
            counted.differences.append(Difference("rejects", cause, words, abs(kept - rejected)))
    if counted.counts["rejects"]:
        counted.notes.append(
            Note(Cause.REJECTED, "events refused by their contract and kept", counted.counts["rejects"])
        )


def count_partner_files(conn: Connection, counted: Counted) -> None:
    """Hold each partner's file against its batches: the lines it had, and what of them landed or was refused."""
    rows = conn.execute(
        "select f.file_id, f.partner, f.name, f.accepted, f.rejected, s.accepted, s.rejected"
        " from ops.partner_file as f left join lateral ("
        "  select sum(b.accepted)::bigint as accepted, sum(b.rejected)::bigint as rejected"
        "  from ops.batch as b where b.partner_file_id = f.file_id and b.source = 'partner') as s on true"
        " where f.state = 'loaded' and f.feed = %(feed)s and f.batches_expired_at is null"
        "  and (coalesce(f.accepted, 0) <> coalesce(s.accepted, 0)"
        "  or coalesce(f.rejected, 0) <> coalesce(s.rejected, 0))"
        " and (f.ended_at >= %(start)s and f.ended_at < %(end)s or exists (select" + _BATCHES + ""
        "  and b.partner_file_id = f.file_id))",
        values(counted.window),
    ).fetchall()
    for _, partner, name, accepted, rejected, landed, refused in rows:
        words = (
            f"file {name} of {partner}: {accepted} lines were accepted and {rejected} refused,"
            f" its batches say {landed or 0} and {refused or 0}"
        )
        counted.differences.append(Difference("partner files", Cause.MISSING, words))
    held = conn.execute(
        "select count(*) from ops.partner_file where feed = %(feed)s and state = 'held'"
        " and seen_at >= %(start)s and seen_at < %(end)s",
        values(counted.window),
    ).fetchone()
    if held and held[0]:
        counted.notes.append(Note(Cause.HELD, "partner files held: nothing of them has landed", held[0]))


def count_pipelines(conn: Connection, counted: Counted) -> None:
    """Ask each pipeline that reads the feed whether it has taken every batch of the window, and what still waits."""
    rows = conn.execute(
        "select pf.pipeline, b.batch_id, b.accepted, case when t.batch_id is not null then 'done'"
        "  when p.batch_id is null then 'nowhere' when r.state = 'held' then 'held' else 'waiting' end as state,"
        " r.error"
        " from ops.batch as b join ops.pipeline_feed as pf on pf.feed = b.feed"
        " left join ops.transformed_batch as t on t.pipeline = pf.pipeline and t.batch_id = b.batch_id"
        " left join ops.pending_batch as p on p.pipeline = pf.pipeline and p.batch_id = b.batch_id"
        " left join ops.transform_run as r on r.run_id = p.run_id"
        " where b.feed = %(feed)s and b.source <> 'cdc' and b.accepted > 0 and b.first_arrived_at >= %(start)s"
        " and b.first_arrived_at < %(end)s and not (pf.pipeline = 'lake' and b.object_key is null)"
        " and not (pf.pipeline = 'lake' and b.source = 'backfill') and (t.batch_id is null or p.batch_id is not null)",
        values(counted.window),
    ).fetchall()
    pipelines = conn.execute("select pipeline from ops.pipeline_feed where feed = %(feed)s order by 1",
                             values(counted.window)).fetchall()  # fmt: skip
    for (pipeline,) in pipelines:
        _judge_pipeline(counted, pipeline, [row[1:] for row in rows if row[0] == pipeline])


def _judge_pipeline(counted: Counted, pipeline: str, rows: list[tuple[Any, ...]]) -> None:
    open_rows = [row for row in rows if row[2] != "done"]
    total = (counted.counts["accepted"] or 0) + (
        (counted.counts["relanded"] or 0) if pipeline != "lake" else 0
    )
    counted.counts[f"{pipeline}_rows"] = total - sum(row[1] for row in open_rows)
    held = [row for row in open_rows if row[2] == "held"]
    waiting = [row for row in rows if row[2] == "waiting" or row[2] == "done"]
    for cause, group, what in (
        (Cause.HELD, held, f"held by the gate of {pipeline}: {held[0][3] if held else ''}"),
        (Cause.IN_FLIGHT, waiting, f"waiting for a run of {pipeline}"),
    ):
        if group:
            number = sum(row[1] for row in group)
            words = f"{number} rows of {len(group)} batches are {what[:300]}"
            counted.differences.append(Difference(pipeline, cause, words, number))
    for batch_id, accepted, state, _ in open_rows:
        if state == "nowhere":
            words = f"batch {batch_id}: neither taken by {pipeline} nor waiting for it"
            counted.differences.append(
                Difference(pipeline, Cause.MISSING, words, accepted, Mend.QUEUE, batch_id, pipeline)
            )


def settled_moment(conn: Connection) -> datetime:
    """Return a moment before which nothing is written any more; ask before the snapshot that is counted.

    A batch is stamped when it is entered and seen when it is committed: what the snapshot does not see was entered by a
    transaction that was open when this was asked, or began after. As a role that sees other roles' transactions.
    """
    row = conn.execute(
        "select least(clock_timestamp(), (select min(a.xact_start) from pg_stat_activity as a"
        " where a.backend_xid is not null and a.datname = current_database() and a.pid <> pg_backend_pid()))"
    ).fetchone()
    assert row is not None
    at: datetime = row[0]
    return at
