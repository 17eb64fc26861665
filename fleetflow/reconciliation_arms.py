"""Opens the arms outside the warehouse for a reconciliation: the raw bucket, the lake, the streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import botocore.exceptions

from fleetflow.landing import feeds_of
from fleetflow.runtime import client, connect, raw_filesystem
from fleetflow.settings import Settings
from ingestion.landing.rebuild import frontier
from ingestion.landing.shard_source import list_shards
from quality.reconcile.lake import LakeCount, read_books
from quality.reconcile.model import CouldNotCount
from quality.reconcile.objects import Listed
from quality.reconcile.stream import Unlanded

_TRIES = 5


class RawBucket:
    """The raw bucket, as `quality.reconcile` asks for it."""

    def __init__(self, settings: Settings) -> None:
        self._bucket = settings.raw_bucket
        self._s3 = client(settings, "s3")
        self._files = raw_filesystem(settings)

    def listing(self, prefix: str) -> Mapping[str, Listed]:
        """Return size, time of change and tag of each object below a prefix, by key.

        Raises:
            CouldNotCount: the bucket cannot be listed.
        """
        found = {}
        try:
            for page in self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            ):
                for entry in page.get("Contents", []):
                    found[entry["Key"]] = Listed(int(entry["Size"]), entry["LastModified"], entry["ETag"])
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as fault:
            raise CouldNotCount(f"could not list s3://{self._bucket}/{prefix}: {fault}") from fault
        return found

    def rows(self, key: str) -> int:
        """Return the rows that the footer of an object tells.

        Raises:
            FileNotFoundError: there is no such object.
            ValueError: it is no whole Parquet file.
            OSError: it cannot be read.
        """
        import pyarrow.parquet as pq

        return int(pq.read_metadata(f"{self._bucket}/{key}", filesystem=self._files).num_rows)

    def table(self, key: str) -> Any:
        """Return an object's rows as an Arrow table.

        Raises:
            FileNotFoundError: there is no such object.
            ValueError: it is no whole Parquet file.
            OSError: it cannot be read.
        """
        import pyarrow.parquet as pq

        return pq.ParquetFile(f"{self._bucket}/{key}", filesystem=self._files).read()


class LakeBooks:
    """The lake's own counts, each feed's once: by the metadata of its files, at a moment when its books stand still."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, LakeCount] = {}

    def count(self, feed: str) -> LakeCount:
        """Count a feed.

        Raises:
            CouldNotCount: the catalog or its files cannot be read, or commits came in all the while.
        """
        if feed not in self._known:
            self._known[feed] = self._count(feed)
        return self._known[feed]

    def _count(self, feed: str) -> LakeCount:
        from fleetflow.lake import open_lake
        from ingestion.lake.read import days

        with connect(self._settings.dsn("ops"), autocommit=True) as conn:
            for _ in range(_TRIES):
                before = read_books(conn, feed)
                try:
                    lake = open_lake(self._settings, "ops")
                    found = sum(day.rows for day in days(lake, feed)) if lake.find(feed) is not None else None
                except Exception as fault:  # the catalog's, the files' and Arrow's faults have no common kind
                    raise CouldNotCount(
                        f"could not count {feed} in the lake: {type(fault).__name__}: {fault}"
                    ) from fault
                if read_books(conn, feed) == before:
                    return LakeCount(found, *before)
        raise CouldNotCount(f"could not count {feed} in the lake: commits came in all the while")


def read_frontier(settings: Settings) -> dict[str, Sequence[Unlanded] | CouldNotCount]:
    """Ask each stream, by feed, from when on its shards hold records that are not landed."""
    found: dict[str, Sequence[Unlanded] | CouldNotCount] = {}
    kinesis = client(settings, "kinesis")
    for stream, feeds in feeds_of(settings).items():
        shards = _unlanded(settings, kinesis, stream)
        found |= {feed.name: shards for feed in feeds}
    return found


def _unlanded(settings: Settings, kinesis: Any, stream: str) -> Sequence[Unlanded] | CouldNotCount:
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        rows = conn.execute(
            "select shard, checkpoint from ops.shard_lease where stream = %s", (stream,)
        ).fetchall()
    checkpoints: dict[str, str | None] = dict(rows)
    try:
        shards = [shard["ShardId"] for shard in list_shards(kinesis, stream)]
        oldest = frontier(kinesis, stream, checkpoints, shards)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as fault:
        return CouldNotCount(f"could not ask stream {stream}: {fault}")
    return [Unlanded(stream, shard, oldest[shard], shard in checkpoints) for shard in shards]
