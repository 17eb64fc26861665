"""The shapes of the Kinesis protocol: requests read, answers built; no state."""

from __future__ import annotations

import base64
import binascii
import json
import time
from typing import Any

import msgspec

from fleetflow.local.kinesis_backend import Placed
from fleetflow.local.kinesis_errors import InvalidArgumentError, ValidationError
from fleetflow.local.kinesis_stream import Shard, Stream, number_at, sequence_number

Params = dict[str, Any]


class Put(msgspec.Struct):
    """One record of a PutRecords request; `Data` is base64 on the wire."""

    Data: bytes
    PartitionKey: str
    ExplicitHashKey: str | None = None


class PutMany(msgspec.Struct):
    """A PutRecords request."""

    Records: list[Put]
    StreamName: str | None = None
    StreamARN: str | None = None


class PutOne(msgspec.Struct):
    """A PutRecord request."""

    Data: bytes
    PartitionKey: str
    ExplicitHashKey: str | None = None
    StreamName: str | None = None
    StreamARN: str | None = None


class Got(msgspec.Struct):
    """One record of a GetRecords answer."""

    ApproximateArrivalTimestamp: float
    Data: bytes
    PartitionKey: str
    SequenceNumber: str


def text(params: Params, key: str) -> str:
    """Return a required text parameter."""
    value = params.get(key)
    if not isinstance(value, str) or not value:
        raise ValidationError(f"{key} is missing")
    return value


def stream_name(name: str | None, arn: str | None) -> str:
    """Return the stream that a request means, by name or by ARN."""
    found = name or (arn or "").rpartition("/")[2]
    if not found:
        raise InvalidArgumentError("StreamName or StreamARN is missing")
    return found


def placement(placed: Placed, stream: str) -> Params:
    """Return the answer for one record that was put."""
    if placed.number is None:
        return {
            "ErrorCode": "ProvisionedThroughputExceededException",
            "ErrorMessage": refusal(placed, stream),
        }
    number = sequence_number(placed.number, placed.shard.index)
    return {"SequenceNumber": number, "ShardId": placed.shard.name}


def refusal(placed: Placed, stream: str) -> str:
    """Return the words for a record that a shard's limit refused."""
    return f"Rate exceeded for shard {placed.shard.name} in stream {stream}"


def hash_range(shard: Shard) -> Params:
    """Return the hash keys of a shard."""
    return {"StartingHashKey": str(shard.low), "EndingHashKey": str(shard.high)}


def describe(shard: Shard) -> Params:
    """Return a shard as ListShards and DescribeStream show it."""
    numbers = {"StartingSequenceNumber": sequence_number(shard.first, shard.index)}
    if shard.closed_at is not None:
        numbers["EndingSequenceNumber"] = sequence_number(shard.closed_at, shard.index)
    parents = zip(("ParentShardId", "AdjacentParentShardId"), parent_names(shard), strict=False)
    return {
        "ShardId": shard.name,
        **dict(parents),
        "HashKeyRange": hash_range(shard),
        "SequenceNumberRange": numbers,
    }


def child(shard: Shard) -> Params:
    """Return a shard as GetRecords shows it at the end of its parent."""
    return {"ShardId": shard.name, "ParentShards": parent_names(shard), "HashKeyRange": hash_range(shard)}


def parent_names(shard: Shard) -> list[str]:
    """Return the ids of the shards that this one took over from."""
    return [f"shardId-{index:012d}" for index in shard.parents]


def after(shards: list[Shard], start: str | None) -> list[Shard]:
    """Return the shards, by id, that come after one."""
    ordered = sorted(shards, key=lambda shard: shard.name)
    return [shard for shard in ordered if start is None or shard.name > start]


def filtered(stream: Stream, wanted: Params) -> list[Shard]:
    """Return the shards that a ShardFilter lets through.

    Raises:
        InvalidArgumentError: the filter's type is unknown or lacks its value.
    """
    shards = list(stream.shards.values())
    horizon = number_at(time.time() - stream.retention_h * 3600)
    match wanted.get("Type"):
        case None | "FROM_TRIM_HORIZON":
            return shards
        case "AT_LATEST":
            return [shard for shard in shards if shard.is_open]
        case "AT_TRIM_HORIZON":
            return [shard for shard in shards if _open_at(shard, max(horizon, _birth(shards)))]
        case "AFTER_SHARD_ID" if wanted.get("ShardId"):
            return after(shards, wanted["ShardId"])
        case "AT_TIMESTAMP" if wanted.get("Timestamp"):
            return [shard for shard in shards if _open_at(shard, number_at(wanted["Timestamp"]))]
        case "FROM_TIMESTAMP" if wanted.get("Timestamp"):
            start = number_at(wanted["Timestamp"])
            return [shard for shard in shards if shard.closed_at is None or shard.closed_at >= start]
    raise InvalidArgumentError(f"ShardFilter {wanted} is unknown or lacks its value")


def pack_token(values: Params) -> str:
    """Return the token for the next page."""
    return base64.urlsafe_b64encode(json.dumps({**values, "at": time.time()}).encode()).decode()


def unpack_token(token: str) -> Params:
    """Return what a page token holds.

    Raises:
        InvalidArgumentError: it is not one of ours.
    """
    try:
        return dict(json.loads(base64.urlsafe_b64decode(token)))
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidArgumentError("NextToken is invalid") from error


def _birth(shards: list[Shard]) -> int:
    # The first shards of a stream get their numbers one after the other: the stream is whole at the last of
    # them.
    return max((shard.first for shard in shards if not shard.parents), default=0)


def _open_at(shard: Shard, number: int) -> bool:
    return shard.first <= number and (shard.closed_at is None or number <= shard.closed_at)
