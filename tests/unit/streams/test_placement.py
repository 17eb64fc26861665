from __future__ import annotations

from collections import Counter

import pytest

from ingestion.streams.placement import (
    HASH_RANGE,
    MAX_LANES,
    explicit_hash_key,
    lane_of,
    lanes_for_shards,
    position_of,
)


def shard_of(hash_key: str, shards: int) -> int:
    """Kinesis' own rule for a uniformly split stream."""
    return int(hash_key) * shards // HASH_RANGE


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 7, 16, 63, 125, 500])
def test_lanes_cover_every_shard_equally(shards: int) -> None:
    lanes = lanes_for_shards(shards)
    assert lanes <= MAX_LANES
    per_shard = Counter(shard_of(explicit_hash_key(lane, lanes), shards) for lane in range(lanes))
    assert set(per_shard) == set(range(shards))
    assert max(per_shard.values()) == min(per_shard.values())


def test_more_shards_than_lanes_still_gives_the_most_lanes() -> None:
    assert lanes_for_shards(2000) == MAX_LANES


def test_no_shard_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one open shard, got 0"):
        lanes_for_shards(0)


@pytest.mark.parametrize("pattern", ["V{:05d}", "veh-{}", "SHP{:08d}", "acme/{:03x}/x"])
def test_numbered_keys_spread_over_the_lanes(pattern: str) -> None:
    lanes, keys = 16, 8000
    counts = Counter(lane_of(position_of(pattern.format(i)), lanes) for i in range(keys))
    assert set(counts) == set(range(lanes))
    # 500 expected a lane; 4 standard deviations of a fair spread are 87.
    assert all(abs(count - keys / lanes) < 120 for count in counts.values()), counts


def test_positions_never_change() -> None:
    # A spool written by an older version holds positions: these values are fixed for ever.
    assert [position_of(k) for k in ("", "V00001", "Ä-\ud800")] == [
        0, 3275632135, 2351600786,
    ]  # fmt: skip


@pytest.mark.parametrize("lanes", [1, 16, 48, 500])
def test_first_and_last_position_have_a_lane(lanes: int) -> None:
    assert lane_of(0, lanes) == 0
    assert lane_of(2**32 - 1, lanes) == lanes - 1


def test_an_entity_keeps_its_shard_when_lanes_are_doubled() -> None:
    for i in range(500):
        position = position_of(f"V{i}")
        shards = {shard_of(explicit_hash_key(lane_of(position, lanes), lanes), 4) for lanes in (16, 32, 64)}
        assert len(shards) == 1
