"""A driver's name within a fold's kept state."""

from __future__ import annotations

import zlib

import msgspec
import pytest

from fleetflow.privacy_states import UnreadableStateError, rename

NAMES = {"drv-1": "erased-9"}
STATE = [1, 2.5, None, True, {"drv-1": ["drv-1", "drv-12", "x drv-1"]}, b"drv-1\x00", ["van"]]
RENAMED = [1, 2.5, None, True, {"erased-9": ["erased-9", "drv-12", "x drv-1"]}, b"drv-1\x00", ["van"]]


def test_only_the_name_itself_is_replaced() -> None:
    content = rename(msgspec.msgpack.encode(STATE), NAMES)
    assert content is not None
    assert msgspec.msgpack.decode(content) == RENAMED


def test_a_packed_state_stays_packed() -> None:
    content = rename(zlib.compress(msgspec.msgpack.encode(STATE)), NAMES)
    assert content is not None
    assert msgspec.msgpack.decode(zlib.decompress(content)) == RENAMED


@pytest.mark.parametrize("state", [["drv-2"], ["drv-12"], []])
def test_a_state_without_the_name_stays_as_it_is(state: list[str]) -> None:
    assert rename(msgspec.msgpack.encode(state), NAMES) is None
    assert rename(zlib.compress(msgspec.msgpack.encode(state)), NAMES) is None


def test_unknown_bytes_with_the_name_are_told() -> None:
    with pytest.raises(UnreadableStateError):
        rename(b"\xc1 drv-1", NAMES)
    assert rename(b"\xc1 drv-2", NAMES) is None
