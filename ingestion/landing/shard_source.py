"""Reads one shard: never blocks longer than one GetRecords call, and keeps its place after the last record given out.

Trusts Kinesis on order within a shard and on closed shards ending with no next iterator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from ingestion.landing.records import Record, read_record

_EXPIRED = "ExpiredIteratorException"
_THROTTLED = {"ProvisionedThroughputExceededException", "LimitExceededException", "ThrottlingException"}


@dataclass(frozen=True)
class Fetched:
    """One answer: records in order, how far behind the tip, whether the shard is closed and read to its end."""

    records: list[Record]
    behind_ms: int
    ended: bool
    throttled: bool = False


class ShardSource:
    """A position in one shard."""

    def __init__(self, kinesis: Any, stream: str, shard: str, after: str | None, limit: int = 2000) -> None:
        self._kinesis = kinesis
        self._stream = stream
        self._shard = shard
        self._after = after
        self._limit = limit
        self._iterator: str | None = None

    def next_batch(self) -> Fetched:
        """Fetch what is there now, possibly nothing.

        Raises:
            botocore.exceptions.ClientError: the stream or shard is missing, or access is refused.
        """
        try:
            return self._fetch()
        except ClientError as fault:
            code = fault.response.get("Error", {}).get("Code", "")
            if code == _EXPIRED:
                self._iterator = None
                return Fetched([], 0, ended=False, throttled=True)
            if code in _THROTTLED:
                return Fetched([], 0, ended=False, throttled=True)
            raise

    def _fetch(self) -> Fetched:
        if self._iterator is None:
            self._iterator = self._open()
        answer = self._kinesis.get_records(ShardIterator=self._iterator, Limit=self._limit)
        records = [read_record(entry) for entry in answer["Records"]]
        self._iterator = answer.get("NextShardIterator")
        if records:
            self._after = records[-1].sequence
        return Fetched(records, int(answer.get("MillisBehindLatest", 0)), ended=self._iterator is None)

    def _open(self) -> str:
        place = (
            {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": self._after}
            if self._after
            else {"ShardIteratorType": "TRIM_HORIZON"}
        )
        answer = self._kinesis.get_shard_iterator(StreamName=self._stream, ShardId=self._shard, **place)
        return str(answer["ShardIterator"])


def list_shards(kinesis: Any, stream: str) -> list[dict[str, Any]]:
    """Return every shard of the stream, open and closed.

    Raises:
        botocore.exceptions.ClientError: the stream is missing.
    """
    call: Callable[..., dict[str, Any]] = kinesis.list_shards
    answer = call(StreamName=stream)
    shards = list(answer["Shards"])
    while token := answer.get("NextToken"):
        answer = call(NextToken=token)
        shards.extend(answer["Shards"])
    return shards
