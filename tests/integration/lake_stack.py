"""What the lake's tests share: events of several days, their raw objects and ledger entries, the lake as plain rows."""

from __future__ import annotations

import multiprocessing
import os
import random
import secrets
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from domain.contracts import FEEDS
from domain.contracts.arrow import arrow_schema
from domain.contracts.decode import Rows
from fleetflow.bench.scratch import scratch_warehouse, with_database
from fleetflow.lake import Round, compact, open_lake
from fleetflow.runtime import client, connect
from fleetflow.settings import Secret, Settings
from ingestion.lake.read import scan_rows
from ingestion.landing.raw_object import ObjectPlace, encode_rows

DAY = datetime(2026, 3, 10, tzinfo=UTC)
EVER = (datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
Row = dict[str, Any]

# Forks of a process that has imported everything and started no thread: as real as any other, and quick.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [__name__, "ingestion.lake.compact", "ingestion.lake.maintain", "pyiceberg.catalog.sql"]
)


@contextmanager
def lake_of_its_own(stack: Settings) -> Iterator[Settings]:
    """Yield settings of an empty warehouse, an empty raw bucket and an empty lake beside the stack's own."""
    tag = secrets.token_hex(4)
    s3 = client(stack, "s3")
    with scratch_warehouse(stack.dsn("owner")) as name:
        for bucket in (f"raw-{tag}", f"lake-{tag}"):
            s3.create_bucket(Bucket=bucket)
        fresh = {r: Secret(with_database(d.reveal(), name)) for r, d in stack.warehouse.items()}
        yield replace(stack, warehouse=fresh, raw_bucket=f"raw-{tag}", lake_bucket=f"lake-{tag}")


def gps(event_id: str, minutes: float, vehicle: str = "v1", **changes: Any) -> Row:
    """A position, minutes after the start of DAY."""
    at = DAY + timedelta(minutes=minutes)
    return {
        "tenant_id": "acme", "event_id": event_id, "recorded_at": at, "schema_version": 1, "vehicle_id": vehicle,
        "driver_id": None, "fixed_at": at, "lat": 48.2, "lon": 16.4, "speed_kmh": 30.0, "heading_deg": 5.0,
        "altitude_m": None, "accuracy_m": None, "odometer_km": 1.5, "fuel_level_pct": None, "ignition_on": True,
    } | changes  # fmt: skip


def status(event_id: str, minutes: float, shipment: str = "s1", **changes: Any) -> Row:
    """A shipment event, minutes after the start of DAY."""
    at = DAY + timedelta(minutes=minutes)
    return {
        "tenant_id": "acme", "event_id": event_id, "recorded_at": at, "schema_version": 1, "shipment_id": shipment,
        "status": "created", "occurred_at": at, "driver_id": None, "vehicle_id": None, "lat": None, "lon": None,
        "reason_code": None, "sequence": 1, "origin": "device",
    } | changes  # fmt: skip


def some_positions(count: int, seed: int = 1, days: int = 3) -> list[Row]:
    """Positions of several days in no order; one in twenty comes twice, one in fifty again with another content."""
    rnd = random.Random(seed)
    rows = [
        gps(
            f"e{seed}-{i}", rnd.uniform(0, days * 1440), f"v{rnd.randrange(20)}", speed_kmh=rnd.uniform(0, 90)
        )
        for i in range(count)
    ]
    again = [row for row in rows if rnd.random() < 0.05]
    corrected = [row | {"speed_kmh": row["speed_kmh"] + 1} for row in rows if rnd.random() < 0.02]
    rows += again + corrected
    rnd.shuffle(rows)
    return rows


def land(settings: Settings, feed: str, rows: Sequence[Row], source: str = "stream") -> int:
    """Put one raw object as landing does, and its ledger entry; return the batch."""
    contract = FEEDS[feed]
    table = pa.Table.from_pylist(list(rows), schema=arrow_schema(contract))
    numbers = pa.array(range(len(rows)), pa.int32()).to_numpy()
    first = secrets.randbits(60)
    place = ObjectPlace(feed, "test", "shard-0", str(first), str(first + len(rows)), DAY)
    body = encode_rows(
        Rows(contract, table, numbers, numbers * 0), [str(first + i) for i in range(len(rows))], place
    )
    client(settings, "s3").put_object(Bucket=settings.raw_bucket, Key=place.key, Body=body)
    with connect(settings.dsn("loader"), autocommit=True) as conn:
        return int(
            conn.execute(
                "insert into ops.batch (source, feed, stream, shard, first_sequence, last_sequence, events_read,"
                " accepted, rejected, object_key, worker)"
                " values (%s, %s, 'test', 'shard-0', %s, %s, %s, %s, 0, %s, 't') returning batch_id",
                (source, feed, place.first_sequence, place.last_sequence, len(rows), len(rows), place.key),
            ).fetchall()[0][0]
        )  # fmt: skip


def compact_all(settings: Settings, **options: Any) -> list[Round]:
    """Compact until nothing waits."""
    return list(compact(settings, **options))


def expire_claims(settings: Settings) -> None:
    """Let a minute and more pass for runs that died."""
    sql(
        settings,
        "update ops.transform_run set heartbeat_at = heartbeat_at - interval '2 minutes' where state = 'claimed'"
        " returning 1",
    )


def kill_at(work: Callable[..., Any], settings: Settings, step: str) -> int | None:
    """Do the work in a process of its own that kills itself at a step; return its exit code."""
    victim = _FORKS.Process(target=_die_at, args=(work, settings, step))
    victim.start()
    victim.join(120)
    code = victim.exitcode
    victim.kill()
    victim.close() if code is not None else victim.join()
    return code


def _die_at(work: Callable[..., Any], settings: Settings, step: str) -> None:
    def watch(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    work(settings, step=watch)


def lake_rows(settings: Settings, feed: str) -> Counter[tuple[Any, ...]]:
    """Every row of a feed in the lake as the contract's columns."""
    names = list(FEEDS[feed].names)
    batches = scan_rows(open_lake(settings), feed, *EVER, columns=names)
    return contents(feed, [row for batch in batches for row in batch.to_pylist()])


def contents(feed: str, rows: Sequence[Row]) -> Counter[tuple[Any, ...]]:
    """Rows as a multiset of the contract's columns."""
    return Counter(tuple(row[name] for name in FEEDS[feed].names) for row in rows)


def ledger(settings: Settings) -> list[tuple[Any, ...]]:
    """What the commits took in, in all, feed by feed: read, added, repeated."""
    return sql(
        settings,
        "select feed, sum(rows_read)::int, sum(rows_added)::int, sum(rows_repeated)::int from ops.lake_commit"
        " group by feed order by feed",
    )


def sql(settings: Settings, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of a query, as the owner."""
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        return conn.execute(query.encode(), parameters).fetchall()
