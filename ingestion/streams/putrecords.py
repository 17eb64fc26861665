"""One PutRecords call: what it confirmed, and what failed, in words that a person can act on.

Never raises: whatever goes wrong is an outcome, so that no record can fall out between a call and its
retry.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import ClientError

from ingestion.streams.lane import Lane, Record
from ingestion.streams.stats import SendFailure

MAX_CALL_RECORDS = 500
MAX_CALL_BYTES = 5 << 20
RETRY_BASE_S = 0.05
CALL_RETRY_CAP_S = 5.0
# A full shard has room again a second later; a service that is away may stay away.
RECORD_RETRY_CAP_S = 1.0

Batch = list[tuple[Lane, Record]]


class PutsRecords(Protocol):
    """The part of a boto3 Kinesis client that writes."""

    def put_records(self, *, StreamName: str, Records: Any) -> Any:  # noqa: N803
        """Write up to 500 records."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each record, in the batch's order; the failures; whether the call itself failed."""

    confirmed: list[bool]
    failures: list[SendFailure]
    call_failed: bool = False


def retry_delay_s(attempts: int, cap_s: float) -> float:
    """Return the wait before the next attempt: full jitter, so that lanes and producers spread out."""
    return random.uniform(0.0, min(cap_s, RETRY_BASE_S * 2.0 ** min(attempts, 16)))


def put_batch(client: PutsRecords, stream: str, batch: Batch, *, fdatasync: bool) -> Outcome:
    """Send one record of each lane in one call; with `fdatasync`, only after their lines are on the disk."""
    try:
        if fdatasync:
            for lane, _ in batch:
                lane.spool.sync()
        answer = client.put_records(
            StreamName=stream, Records=[_entry(lane, record) for lane, record in batch]
        )
        if len(answer["Records"]) != len(batch):
            raise RuntimeError(f"{len(batch)} records sent, {len(answer['Records'])} answered")
    except Exception as error:  # the sending thread's guard: counted, shown and retried
        return Outcome([False] * len(batch), [_whole_call(error, stream, len(batch))], call_failed=True)
    entries = answer["Records"]
    return Outcome([not entry.get("ErrorCode") for entry in entries], _by_code(entries, stream))


def _entry(lane: Lane, record: Record) -> dict[str, Any]:
    return {"Data": record.data, "PartitionKey": lane.partition_key, "ExplicitHashKey": lane.hash_key}


def _by_code(entries: list[dict[str, Any]], stream: str) -> list[SendFailure]:
    found: dict[str, SendFailure] = {}
    for entry in entries:
        if code := entry.get("ErrorCode"):
            seen = found[code].records if code in found else 0
            found[code] = SendFailure(
                code, f"stream {stream}: {code}: {entry.get('ErrorMessage', '')}", seen + 1
            )
    return list(found.values())


def _whole_call(error: Exception, stream: str, records: int) -> SendFailure:
    if isinstance(error, ClientError):
        details = error.response.get("Error", {})
        code = details.get("Code", "ClientError")
        if code == "ResourceNotFoundException":
            return SendFailure(code, f"stream {stream} does not exist; sending again until it does", records)
        return SendFailure(code, f"stream {stream}: {code}: {details.get('Message', '')}", records)
    return SendFailure(type(error).__name__, f"stream {stream}: {type(error).__name__}: {error}", records)
