"""Reassembly against a reference that keeps plain lists: any frames, arriving in any order, cut anywhere into batches.

The reference goes through the frames in the order of their capture and knows nothing of batches, tables or eviction.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.telemetry.decode import Decoded, decode_frames
from ingestion.telemetry.j1939_transport import BAM, RTS
from tests.unit.telemetry.can_frames import START_US, decoder, frame, frames_table, in_any_order, manifest

TRUCK = manifest(decoder("j1939"))
DM1 = 0xFECA
SIZES = (9, 10, 14, 15, 18)

senders = st.sampled_from([0, 3])
receivers = st.sampled_from([255, 5])
events = st.one_of(
    st.tuples(st.just("announce"), senders, receivers, st.sampled_from(SIZES)),
    st.tuples(st.just("packet"), senders, receivers, st.integers(0, 4)),
    st.tuples(st.just("packet"), senders, receivers, st.integers(1, 3)),
    st.tuples(st.just("clear"), senders, st.just(5), st.just(0)),
    st.tuples(st.just("abort"), senders, st.just(5), st.just(0)),
    st.tuples(st.just("whole"), senders, receivers, st.sampled_from(SIZES)),
)
gaps = st.sampled_from([1_000, 1_000, 50_000, 600_000, 900_000, 1_300_000])
logs = st.lists(st.tuples(events, gaps), min_size=1, max_size=14)


def written(log: list[tuple[Any, int]]) -> list[dict[str, Any]]:
    """The frames of a log; "whole" is an announcement with all of its packets."""
    frames, at_us = [], 0
    for (kind, sender, receiver, number), gap in log:
        at_us += gap
        if kind == "whole":
            for part in range(-(-number // 7) + 1):
                made = announce(sender, receiver, number) if part == 0 else packet(sender, receiver, part)
                frames.append(frame(*made, at_us + 1_000 * part))
            at_us += 10_000
            continue
        made = {
            "announce": announce(sender, receiver, number),
            "packet": packet(sender, receiver, number),
            "clear": (0x18EC0000 | sender << 8 | receiver, bytes([17, 1, 1, 255, 255, 0xCA, 0xFE, 0])),
            "abort": (0x18EC0000 | sender << 8 | receiver, bytes([255, 3, 255, 255, 255, 0xCA, 0xFE, 0])),
        }[kind]
        frames.append(frame(*made, at_us))
    return frames


def announce(sender: int, receiver: int, size: int) -> tuple[int, bytes]:
    control = BAM if receiver == 255 else RTS
    return 0x18EC0000 | receiver << 8 | sender, bytes([control, size, 0, -(-size // 7), 255, 0xCA, 0xFE, 0])


def packet(sender: int, receiver: int, number: int) -> tuple[int, bytes]:
    return 0x18EB0000 | receiver << 8 | sender, bytes([number, *(16 * (number % 8) + i for i in range(7))])


class Reference:
    """Messages that became whole (sender, capture, bytes), why others did not, and which are still open."""

    def __init__(self, frames: list[dict[str, Any]]) -> None:
        self.going: dict[tuple[int, int], dict[str, Any]] = {}
        self.whole: list[tuple[int, int, bytes]] = []
        self.ended: list[str] = []
        for one in frames:
            self.at_us, self.data = one["captured_at"], one["payload"]
            self.end_silent()
            sender, receiver = one["arbitration_id"] & 0xFF, one["arbitration_id"] >> 8 & 0xFF
            if one["arbitration_id"] >> 16 & 0xFF == 0xEB:
                self.packet(sender, receiver)
            elif self.data[0] in (BAM, RTS):
                self.announced(sender, receiver)
            else:
                self.control(sender, receiver)

    def end_silent(self) -> None:
        for key, there in list(self.going.items()):
            if self.at_us - there["last"] > (750_000 if key[1] == 255 else 1_250_000):
                self.end(key, "timeout")

    def end(self, key: tuple[int, int], reason: str) -> None:
        if self.going.pop(key, None):
            self.ended.append(reason)

    def announced(self, sender: int, receiver: int) -> None:
        self.end((sender, receiver), "restarted")
        self.going[sender, receiver] = {
            "size": self.data[1], "packets": self.data[3], "parts": {}, "last": self.at_us,
        }  # fmt: skip

    def packet(self, sender: int, receiver: int) -> None:
        there = self.going.get((sender, receiver))
        if there is None:
            return
        there["last"] = self.at_us
        number = self.data[0]
        in_turn = receiver != 255 or number == len(there["parts"]) + 1
        if not in_turn or not 1 <= number <= there["packets"]:
            self.end((sender, receiver), "gap")
            return
        there["parts"][number] = self.data[1:]
        if len(there["parts"]) == there["packets"]:
            joined = b"".join(there["parts"][i] for i in sorted(there["parts"]))
            self.whole.append((sender, self.at_us, joined[: there["size"]]))
            del self.going[sender, receiver]

    def control(self, sender: int, receiver: int) -> None:
        if self.data[0] == 255:
            self.end((receiver, sender), "aborted")
            self.end((sender, receiver), "aborted")
        elif (receiver, sender) in self.going:
            self.going[receiver, sender]["last"] = self.at_us


def in_batches(frames: list[dict[str, Any]], cuts: list[int]) -> list[Decoded]:
    batches, open_table = [], None
    for start, end in zip([0, *cuts], [*cuts, len(frames)], strict=True):
        batches.append(decode_frames(frames_table(frames[start:end]), TRUCK, open_table))
        open_table = batches[-1].open
    return batches


@settings(max_examples=60, deadline=None)
@given(log=logs, data=st.data())
def test_whatever_comes(log: list[tuple[Any, int]], data: st.DataObject) -> None:
    frames = written(log)
    expected = Reference(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(frames)), max_size=3)))
    batches = in_batches(frames, cuts)
    signals = pa.concat_tables([one.signals for one in batches]).to_pylist()
    counted = [row for row in signals if row["name"] == "active_trouble_codes"]
    lost = [reason for one in batches for reason in one.lost["reason"].to_pylist()]
    sound = [one for one in expected.whole if (len(one[2]) - 2) % 4 == 0]
    assert sorted((row["source_address"], micros(row)) for row in counted) == sorted(one[:2] for one in sound)
    assert sorted(lost) == sorted([*expected.ended, *["malformed"] * (len(expected.whole) - len(sound))])
    assert batches[-1].open.num_rows == len(expected.going)
    wanted = sorted(
        (sender, at_us, int.from_bytes(message[i : i + 4], "little"))
        for sender, at_us, message in sound
        for i in range(2, len(message), 4)
    )
    codes = pa.concat_tables([one.trouble_codes for one in batches]).to_pylist()
    assert sorted((row["source_address"], micros(row), row["raw"]) for row in codes) == wanted


def micros(row: dict[str, Any]) -> int:
    return START_US + (row["captured_at"] - START).seconds * 1_000_000 + row["captured_at"].microsecond


START = frames_table([frame(0, b"")])["captured_at"][0].as_py()


@settings(max_examples=25, deadline=None)
@given(log=logs, data=st.data())
def test_the_order_of_arrival_says_nothing(log: list[tuple[Any, int]], data: st.DataObject) -> None:
    frames = written(log)
    (straight,) = in_batches(frames, [])
    (shuffled,) = in_batches(data.draw(st.permutations(frames)), [])
    for table in ("signals", "trouble_codes", "counts", "raw", "open", "lost"):
        assert in_any_order(getattr(straight, table)) == in_any_order(getattr(shuffled, table))
