"""Every place that a signal can have in a payload, against Python's integers of any size."""

from __future__ import annotations

import numpy as np
import pytest

from ingestion.telemetry.extract import PADDING, Payloads, raw_values
from ingestion.telemetry.layout import Field

SIZE = 20
DICE = np.random.default_rng(3)
CONTENT = [DICE.bytes(SIZE) for _ in range(4)] + [bytes(SIZE), b"\xff" * SIZE]


def payloads(lead: int) -> Payloads:
    """The payloads one after the other, `lead` bytes after the beginning of the buffer."""
    buffer = np.frombuffer(bytes(lead) + b"".join(CONTENT) + bytes(PADDING), np.uint8)
    offsets = lead + SIZE * np.arange(len(CONTENT))
    return Payloads(buffer, offsets)


def by_integers(content: bytes, first: int, length: int, big_endian: bool, signed: bool) -> int:
    if big_endian:
        bits = int.from_bytes(content, "big") >> (8 * SIZE - first - length)
    else:
        bits = int.from_bytes(content, "little") >> first
    bits &= (1 << length) - 1
    return bits - (1 << length) if signed and bits >> (length - 1) else bits


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 31, 32, 33, 57, 58, 60, 63, 64])
def test_every_place(length: int, big_endian: bool, signed: bool) -> None:
    for lead in (0, 3):
        there = payloads(lead)
        for first in range(8 * SIZE - length + 1):
            start = 8 * (first // 8) + 7 - first % 8 if big_endian else first
            found = raw_values(there, Field("x", "x", start, length, big_endian, signed)).tolist()
            assert found == [by_integers(one, first, length, big_endian, signed) for one in CONTENT]
