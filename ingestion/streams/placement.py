"""Where an entity's lines go: key -> position -> lane -> a point of the stream's hash range.

A position is 32 bits of the entity's key and never changes. Lanes cut the positions into equal slices in
order, and each lane writes to the middle of the matching slice of Kinesis' 128-bit hash range. So lanes
cover all shards evenly, and an entity keeps its shard even when a later run uses another number of lanes,
as long as both are multiples of the shards.
"""

from __future__ import annotations

import logging
import zlib
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger(__name__)

POSITION_BITS = 32
HASH_RANGE = 1 << 128
MAX_LANES = 500
DEFAULT_LANES = 16
LANES_PER_SHARD = 4

_MASK = (1 << POSITION_BITS) - 1
# CRC-32 is linear: keys that differ in their last digits differ in few high bits.
# An odd factor carries every bit upwards.
_SPREAD = 0x9E3779B1


class ListsShards(Protocol):
    """The part of a boto3 Kinesis client that is asked for shards."""

    def get_paginator(self, operation_name: str, /) -> Any:
        """Return boto3's paginator of an operation."""


def position_of(key: str) -> int:
    """Return the 32-bit position of an entity's key; the same in every process and version."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) * _SPREAD & _MASK


def lane_of(position: int, lanes: int) -> int:
    """Return the lane, 0 .. lanes - 1, that serves a position."""
    return position * lanes >> POSITION_BITS


def explicit_hash_key(lane: int, lanes: int) -> str:
    """Return the middle of the lane's slice of the hash range, as PutRecords wants it (decimal text)."""
    return str((2 * lane + 1) * HASH_RANGE // (2 * lanes))


def lanes_for_shards(shards: int) -> int:
    """Return how many lanes serve so many shards evenly: a multiple, four or more each, 500 at most."""
    if shards < 1:
        raise ValueError(f"a stream has at least one open shard, got {shards}")
    each = max(LANES_PER_SHARD, -(-DEFAULT_LANES // shards))
    return min(shards * each, MAX_LANES // shards * shards or MAX_LANES)


def count_open_shards(client: ListsShards, stream: str) -> int:
    """Count the shards that take writes.

    Raises:
        botocore.exceptions.ClientError: the stream is missing or may not be listed.
        botocore.exceptions.BotoCoreError: the service cannot be reached.
    """
    pages = client.get_paginator("list_shards").paginate(StreamName=stream)
    return sum(
        "EndingSequenceNumber" not in s["SequenceNumberRange"] for page in pages for s in page["Shards"]
    )


def choose_lanes(client: ListsShards, stream: str) -> int:
    """Return how many lanes suit the stream as it is now; the default when it cannot be asked."""
    try:
        return lanes_for_shards(count_open_shards(client, stream))
    except (ClientError, BotoCoreError, ValueError) as error:
        log.warning("stream %s cannot be listed (%s); using %d lanes", stream, error, DEFAULT_LANES)
        return DEFAULT_LANES
