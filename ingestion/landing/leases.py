"""Shard leases: who reads which shard, fenced by an epoch that grows with each change of hands.

Reads and writes `ops.shard_lease` and `ops.worker`. A shard is taken only when its parents are drained, so an
entity's order holds across a reshard. The checkpoint and the cut are written by the landing transaction, never here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]


class LeaseLost(RuntimeError):
    """Another worker holds the shard now; whatever was about to be written was not."""


@dataclass(frozen=True)
class Lease:
    """One shard in our hands. `checkpoint` is landed; `cut_to` was announced and may or may not be landed."""

    stream: str
    shard: str
    owner: str
    epoch: int
    checkpoint: str | None
    cut_to: str | None


def register_shards(conn: Connection, stream: str, shards: Sequence[dict[str, Any]]) -> None:
    """Add the shards of a ListShards answer; a parent that the stream has forgotten does not hold a child back."""
    known = {shard["ShardId"] for shard in shards}
    rows = [
        (
            stream,
            s["ShardId"],
            [p for p in (s.get("ParentShardId"), s.get("AdjacentParentShardId")) if p in known],
        )
        for s in shards
    ]
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            "insert into ops.shard_lease (stream, shard, parents) values (%s, %s, %s) on conflict do nothing",
            rows,
        )


def fair_share(conn: Connection, owner: str, streams: Sequence[str], lease_s: float) -> int:
    """Say that this worker lives, and return how many shards it should hold: all, spread evenly, rounded up."""
    with conn.transaction():
        conn.execute(
            "insert into ops.worker (worker, heartbeat_at) values (%s, clock_timestamp())"
            " on conflict (worker) do update set heartbeat_at = excluded.heartbeat_at",
            (owner,),
        )
        row = conn.execute(
            "select count(*) filter (where not ended),"
            " (select count(*) from ops.worker where heartbeat_at > clock_timestamp() - %s * interval '1 second')"
            " from ops.shard_lease where stream = any(%s)",
            (lease_s, list(streams)),
        ).fetchone()
    shards, workers = row if row else (0, 1)
    return max(1, -(-int(shards) // max(1, int(workers))))


def take(conn: Connection, owner: str, streams: Sequence[str], lease_s: float, most: int) -> list[Lease]:
    """Take up to `most` shards that nobody holds, whose parents are drained."""
    with conn.transaction():
        rows = conn.execute(
            """
            update ops.shard_lease as taken
            set owner = %(owner)s, epoch = taken.epoch + 1, updated_at = clock_timestamp(),
                expires_at = clock_timestamp() + %(lease_s)s * interval '1 second'
            where (stream, shard) in (
                select free.stream, free.shard from ops.shard_lease as free
                where free.stream = any(%(streams)s) and not free.ended
                and (free.owner is null or free.expires_at < clock_timestamp())
                and not exists (
                    select from ops.shard_lease as parent
                    where parent.stream = free.stream and parent.shard = any(free.parents) and not parent.ended
                )
                order by free.shard limit %(most)s for update skip locked
            )
            returning stream, shard, owner, epoch, checkpoint, cut_to
            """,
            {"owner": owner, "streams": list(streams), "lease_s": lease_s, "most": most},
        ).fetchall()
    return [Lease(*row) for row in rows]


def renew(
    conn: Connection,
    owner: str,
    leases: Iterable[Lease],
    lease_s: float,
    behind_ms: Mapping[tuple[str, str], int] | None = None,
) -> set[tuple[str, str]]:
    """Renew the leases; return the (stream, shard) of those that are still ours.

    `behind_ms` says how far each shard is read behind its newest record, for those that watch; others keep theirs.
    """
    mine, behind = list(leases), behind_ms or {}
    with conn.transaction():
        rows = conn.execute(
            """
            update ops.shard_lease as l
            set expires_at = clock_timestamp() + %s * interval '1 second', updated_at = clock_timestamp(),
                millis_behind = coalesce(m.behind_ms, l.millis_behind)
            from unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[]) as m (stream, shard, epoch, behind_ms)
            where l.stream = m.stream and l.shard = m.shard and l.epoch = m.epoch and l.owner = %s
            returning l.stream, l.shard
            """,
            (
                lease_s,
                [x.stream for x in mine],
                [x.shard for x in mine],
                [x.epoch for x in mine],
                [behind.get((x.stream, x.shard)) for x in mine],
                owner,
            ),
        ).fetchall()
    return {(stream, shard) for stream, shard in rows}


def release(conn: Connection, lease: Lease) -> None:
    """Give a shard back at once, so that nobody waits for the lease to run out."""
    with conn.transaction():
        conn.execute(
            "update ops.shard_lease set owner = null, expires_at = null, updated_at = clock_timestamp()"
            " where stream = %s and shard = %s and owner = %s and epoch = %s",
            (lease.stream, lease.shard, lease.owner, lease.epoch),
        )


def retire(conn: Connection, owner: str) -> None:
    """Say that this worker is gone, so that the others take its share at once."""
    with conn.transaction():
        conn.execute("delete from ops.worker where worker = %s", (owner,))


def all_quiet(conn: Connection, owner: str, streams: Sequence[str], held: int, quiet_s: float) -> bool:
    """Whether `owner` holds `held` open shards, living workers hold all others, and none landed for `quiet_s` seconds.

    What another worker has read and not landed within that time is not seen.
    """
    with conn.transaction():
        row = conn.execute(
            """
            select count(*) filter (where owner = %(owner)s) = %(held)s
                and count(*) filter (where owner is null or expires_at < clock_timestamp()) = 0
                and not exists (
                    select from ops.batch as b where b.source = 'stream' and b.stream = any(%(streams)s)
                    and b.landed_at > clock_timestamp() - %(quiet_s)s * interval '1 second'
                )
            from ops.shard_lease where stream = any(%(streams)s) and not ended
            """,
            {"owner": owner, "held": held, "streams": list(streams), "quiet_s": quiet_s},
        ).fetchone()
    return bool(row and row[0])
