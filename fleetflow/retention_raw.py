"""Retention of raw objects: a feed's arrival day at a time, marked in the ledger before anything is deleted.

A process that dies between the two leaves objects that the ledger calls expired; the next run lists the day again and
deletes them, with whatever landings that never committed left there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from domain.contracts import FEEDS
from fleetflow.retention import Action, Task
from fleetflow.runtime import Connection, client, connect

_DAY = re.compile(r"arrival_date=(\d{4}-\d{2}-\d{2})/$")
_PER_CALL = 1000

# Batches of the day that may not lose their object: the lake has not taken them in.
_NOT_IN_LAKE = """
select count(*), min(b.batch_id) from ops.batch as b
where b.feed = %(feed)s and b.source <> 'cdc' and b.accepted > 0 and b.object_key is not null
    and b.first_arrived_at >= %(start)s and b.first_arrived_at < %(end)s
    and not exists (
        select from ops.transformed_batch as t
        join ops.lake_commit as c on c.run_id = t.run_id and c.feed = b.feed
        where t.pipeline = 'lake' and t.batch_id = b.batch_id
    )
"""


def drop_objects(task: Task) -> Iterator[Action]:
    """Delete the objects of each day that is past keeping and guarded by nothing."""
    s3 = client(task.settings, "s3")
    bucket, before = task.settings.raw_bucket, task.before("raw").date()
    with connect(task.settings.dsn("loader"), autocommit=True) as conn:
        for feed in FEEDS:
            for day in _days(s3, bucket, feed):
                if day < before:
                    yield from _drop_day(task, conn, s3, feed, day)


def _drop_day(task: Task, conn: Connection, s3: Any, feed: str, day: date) -> Iterator[Action]:
    prefix = _prefix(feed, day)
    size = sum(entry["Size"] for page in _pages(s3, task.settings.raw_bucket, prefix) for entry in page)
    refusal = refuse(conn, feed, day)
    if refusal is not None:
        yield task.keep(conn, Action("raw", prefix, "refused", refusal, None, size))
        return
    values = _values(feed, day)
    row = conn.execute(
        "select coalesce(sum(accepted), 0)::bigint from ops.batch where feed = %(feed)s and object_key is not null"
        " and object_expired_at is null and first_arrived_at >= %(start)s and first_arrived_at < %(end)s",
        values,
    ).fetchone()
    assert row is not None
    done = Action("raw", prefix, "dropped", "past its days", row[0], size)
    if task.dry_run:
        yield task.keep(conn, done)
        return
    with conn.transaction():
        conn.execute(
            "update ops.batch set object_expired_at = clock_timestamp() where feed = %(feed)s"
            " and object_key is not null and object_expired_at is null"
            " and first_arrived_at >= %(start)s and first_arrived_at < %(end)s",
            values,
        )
        done = task.keep(conn, done)
    task.step("raw marked")
    for page in _pages(s3, task.settings.raw_bucket, prefix):
        answer = s3.delete_objects(
            Bucket=task.settings.raw_bucket,
            Delete={"Objects": [{"Key": entry["Key"]} for entry in page], "Quiet": True},
        )
        task.step("raw deleted")
        if answer.get("Errors"):
            raise OSError(
                f"{prefix}: {len(answer['Errors'])} objects were not deleted: {answer['Errors'][0]}"
            )
    yield done


def refuse(conn: Connection, feed: str, day: date) -> str | None:
    """Return why the objects of a day must stay, None where nothing stands against it."""
    values = _values(feed, day)
    row = conn.execute(
        "select coalesce(ops.untransformed(%(feed)s, %(start)s, %(end)s), ops.unverified(%(feed)s, %(end)s),"
        " ops.uncounted(%(feed)s, %(start)s, %(end)s), ops.held_by(%(feed)s, %(start)s, %(end)s))",
        values,
    ).fetchone()
    if row and row[0]:
        return str(row[0])
    missing = conn.execute(_NOT_IN_LAKE, values).fetchone()
    if missing and missing[0]:
        return f"not in the lake: {missing[0]} batches, for example batch {missing[1]}"
    return None


def _values(feed: str, day: date) -> dict[str, Any]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"feed": feed, "start": start, "end": start + timedelta(days=1)}


def _prefix(feed: str, day: date) -> str:
    return f"raw/{feed}/arrival_date={day.isoformat()}/"


def _days(s3: Any, bucket: str, feed: str) -> list[date]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"raw/{feed}/", Delimiter="/")
    prefixes = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
    return sorted(date.fromisoformat(m.group(1)) for prefix in prefixes if (m := _DAY.search(prefix)))


def _pages(s3: Any, bucket: str, prefix: str) -> Iterator[list[dict[str, Any]]]:
    """The objects below a prefix, a call's worth at a time: a day has more than should be held."""
    options = {"PageSize": _PER_CALL}
    for page in s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix, PaginationConfig=options
    ):
        if contents := page.get("Contents"):
            yield contents
