"""A batch decodes to what cantools decodes one message at a time, for any layout that a database can have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from cantools.database.can import Message, Signal
from cantools.database.conversion import BaseConversion
from cantools.database.errors import DecodeError
from cantools.database.errors import Error as DatabaseFault
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.telemetry.decode import decode_frames
from tests.unit.telemetry.can_frames import counts, frame, frames_table, of_messages

BYTE_LENGTHS = (1, 2, 5, 8, 12, 20, 64)
SCALES = (1, 2, 0.25, 0.1, 1 / 256, -0.5, 1000)


def place(start_bit: int, length: int, big_endian: bool) -> int:
    """The DBC start bit of a signal whose first bit along the bytes is `start_bit`."""
    return 8 * (start_bit // 8) + 7 - start_bit % 8 if big_endian else start_bit


@st.composite
def signals(draw: st.DrawFn, name: str, bits: int, first: int = 0, **fixed: Any) -> Signal:
    is_float = draw(st.sampled_from([False, False, False, True]))
    lengths = [n for n in (16, 32, 64) if n <= bits - first] if is_float else []
    if is_float and not lengths:
        is_float = False
    length = draw(st.sampled_from(lengths) if is_float else st.integers(1, min(64, bits - first)))
    begin = draw(st.integers(first, bits - length))
    big_endian = draw(st.booleans())
    signed = not is_float and draw(st.booleans())
    choices = draw(st.dictionaries(st.integers(-4, 20), st.sampled_from(["on", "off", "hot"]), max_size=4))
    conversion = BaseConversion.factory(
        scale=draw(st.sampled_from(SCALES)), offset=draw(st.sampled_from((0, -40, 0.5))),
        choices=None if is_float or not choices else choices, is_float=is_float,
    )  # fmt: skip
    return Signal(
        name, place(begin, length, big_endian), length, byte_order="big_endian" if big_endian else "little_endian",
        is_signed=signed, conversion=conversion, **fixed,
    )  # fmt: skip


@st.composite
def plain_messages(draw: st.DrawFn) -> Message:
    size = draw(st.sampled_from(BYTE_LENGTHS))
    found = [draw(signals(f"s{i}", 8 * size)) for i in range(draw(st.integers(1, 6)))]
    return without_overlaps(size, found)


def without_overlaps(size: int, found: Sequence[Signal]) -> Message:
    """A message of those signals that can be there together; cantools itself judges."""
    message = Message(0x123, "Any", size, [])
    for signal in found:
        with suppress(DatabaseFault):
            message = Message(0x123, "Any", size, [*message.signals, signal], strict=True)
    return message


@st.composite
def multiplexed_messages(draw: st.DrawFn) -> Message:
    """A selector of four bits, another one within some of its cases, and signals of one or several values."""
    size = draw(st.sampled_from((4, 8, 64)))
    found = [
        Signal("page", 0, 4, is_multiplexer=True),
        Signal("sub", 4, 4, is_multiplexer=True, multiplexer_ids=[1, 2], multiplexer_signal="page"),
    ]
    for i in range(draw(st.integers(1, 4))):
        parent = draw(st.sampled_from(["page", "sub"]))
        ids = draw(st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True))
        found.append(
            draw(signals(f"m{i}", 8 * size, first=8, multiplexer_ids=ids, multiplexer_signal=parent))
        )
    found.append(draw(signals("always", 8 * size, first=8)))
    return without_overlaps(size, found)


def cases(messages: st.SearchStrategy[Message]) -> st.SearchStrategy[tuple[Message, list[bytes]]]:
    def payloads(message: Message) -> st.SearchStrategy[list[bytes]]:
        one = st.binary(min_size=message.length, max_size=message.length)
        small = st.lists(st.integers(0, 5), min_size=message.length, max_size=message.length).map(bytes)
        return st.lists(one | small, min_size=1, max_size=8)

    return messages.flatmap(lambda message: st.tuples(st.just(message), payloads(message)))


def expected(message: Message, payload: bytes) -> dict[str, tuple[float | None, str | None]] | None:
    """What cantools says of one payload; None where it refuses it. A number that is none is null."""
    try:
        numbers = message.decode(payload, decode_choices=False)
        texts = message.decode(payload, decode_choices=True)
    except DecodeError:
        return None
    found: dict[str, tuple[float | None, str | None]] = {}
    for name, number in numbers.items():
        value = float(number)
        text = None if isinstance(texts[name], int | float) else str(texts[name])
        found[f"Any.{name}"] = (value, text) if math.isfinite(value) else (None, "not a number")
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases(plain_messages()) | cases(multiplexed_messages()))
def test_a_batch_equals_one_by_one(case: tuple[Message, list[bytes]]) -> None:
    message, payloads = case
    check(message, payloads)


def check(message: Message, payloads: Sequence[bytes]) -> None:
    table = frames_table([frame(0x123, payload, i) for i, payload in enumerate(payloads)])
    decoded = decode_frames(table, of_messages(message))
    found: dict[Any, dict[str, tuple[float | None, str | None]]] = {}
    for row in decoded.signals.to_pylist():
        signals_there = found.setdefault(row["captured_at"], {})
        assert row["name"] not in signals_there
        signals_there[row["name"]] = (row["value"], row["text"])
    refused = {row["captured_at"]: row for row in decoded.raw.to_pylist()}
    for row in table.to_pylist():
        wanted = expected(message, row["payload"])
        if wanted is None:
            assert refused[row["captured_at"]]["reason"] == "unknown_selector"
            assert refused[row["captured_at"]]["payload"] == row["payload"]
            wanted = {}
        there = found.get(row["captured_at"], {})
        assert {name: text for name, (_, text) in there.items()} == {
            name: text for name, (_, text) in wanted.items()
        }
        for name, (value, _) in wanted.items():
            # cantools scales integers exactly, so beyond 2^53 the last bit may differ
            assert there[name][0] == (None if value is None else pytest.approx(value, rel=1e-15, abs=0))
    totals = counts(decoded)
    assert totals.get("undecodable", 0) == len(refused)
    assert totals.get("decoded", 0) == len(payloads) - len(refused)
