"""Signals out of many payloads at once: 64-bit windows, shifts and masks on whole arrays.

A window is read at any byte of the flat payload buffer, so payloads of different lengths need no padding to one width;
bits beyond a payload are read and masked away, never used: the caller passes payloads at least as long as their layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ingestion.telemetry.layout import WORD, Field, Layout

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
PADDING = 2 * WORD
"""Bytes that must follow the last payload in a buffer."""

NOT_AVAILABLE, ERROR, RESERVED, NOT_A_NUMBER = "not available", "error", "reserved", "not a number"


class Payloads:
    """Payloads in one flat buffer, each by its first byte; windows that were read are kept for the next signal."""

    def __init__(self, buffer: npt.NDArray[np.uint8], offsets: Integers, *, aligned: bool = False) -> None:
        self.buffer = buffer
        self.offsets = offsets
        self._aligned = aligned
        self._windows: dict[tuple[int, bool], npt.NDArray[np.uint64]] = {}

    def __len__(self) -> int:
        return len(self.offsets)

    def take(self, chosen: npt.NDArray[Any]) -> Payloads:
        """Return some of them, by position or mask."""
        return Payloads(self.buffer, self.offsets[chosen], aligned=self._aligned)

    def byte(self, position: int) -> npt.NDArray[np.uint64]:
        """Return one byte of each."""
        return self.buffer[self.offsets + position].astype(np.uint64)

    def window(self, position: int, big_endian: bool) -> npt.NDArray[np.uint64]:
        """Return the eight bytes from `position` of each, as a number in the byte order asked for."""
        key = (position, big_endian)
        if key not in self._windows:
            self._windows[key] = (
                self.window(position, False).byteswap() if big_endian else self._read(position)
            )
        return self._windows[key]

    def _read(self, position: int) -> npt.NDArray[np.uint64]:
        if self._aligned and position % WORD == 0:
            whole = len(self.buffer) // WORD * WORD
            return self.buffer[:whole].view("<u8")[self.offsets // WORD + position // WORD]
        everywhere: npt.NDArray[np.uint64] = np.ndarray(
            (len(self.buffer) - WORD + 1,), "<u8", self.buffer, strides=(1,)
        )
        return everywhere[self.offsets + position]


def raw_values(payloads: Payloads, field: Field) -> npt.NDArray[Any]:
    """Return a signal's raw values: uint64, int64 where signed, float64 where the bits are a floating point number."""
    first, end = field.bits
    position = field.window
    word = payloads.window(position, field.big_endian)
    low, high = first - 8 * position, end - 8 * position
    if high > 64:
        return _interpret(_nine_bytes(payloads, field, low, high), field)
    left = low if field.big_endian else 64 - high
    if field.signed and not field.is_float:
        return (word << np.uint64(left)).view(np.int64) >> np.int64(64 - field.length)
    right = 64 - high if field.big_endian else low
    bits = word >> np.uint64(right) if right else word
    if left:
        bits = bits & np.uint64((1 << field.length) - 1)
    return _interpret(bits, field)


def _nine_bytes(payloads: Payloads, field: Field, low: int, high: int) -> npt.NDArray[np.uint64]:
    word = payloads.window(field.window, field.big_endian)
    ninth = payloads.byte(field.window + WORD)
    if field.big_endian:
        bits = word << np.uint64(high - 64) | ninth >> np.uint64(72 - high)
    else:
        bits = word >> np.uint64(low) | ninth << np.uint64(64 - low)
    return bits & np.uint64((1 << field.length) - 1)


def _interpret(bits: npt.NDArray[np.uint64], field: Field) -> npt.NDArray[Any]:
    if field.is_float:
        narrow = bits.astype(f"<u{field.length // 8}").view(f"<f{field.length // 8}")
        with np.errstate(invalid="ignore"):
            return narrow.astype(np.float64)
    if field.signed:
        free = 64 - field.length
        return (bits << np.uint64(free)).view(np.int64) >> np.int64(free)
    return bits


class Words:
    """Distinct texts, each under the number that stands for it in a dictionary-encoded column."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def code(self, text: str) -> int:
        """Return the number of a text, a new one where it is new."""
        return self._codes.setdefault(text, len(self._codes))

    def texts(self) -> list[str]:
        """Return all texts by their numbers."""
        return list(self._codes)


@dataclass(frozen=True)
class Values:
    """A signal's values; which are null, and the code of each one's text or -1, where there are such."""

    numbers: Floats
    null: Flags | None = None
    texts: npt.NDArray[np.int32] | None = None


def scaled_values(raw: npt.NDArray[Any], field: Field, words: Words) -> Values:
    """Scale raw values; those that say that there is no value are null, with the reason as their text."""
    numbers = raw.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if field.scale != 1:
            numbers *= field.scale
        if field.offset != 0:
            numbers += field.offset
    absent = [(~np.isfinite(numbers), NOT_A_NUMBER)] if field.is_float else _absent(raw, field)
    absent = [(flags, reason) for flags, reason in absent if flags.any()]
    texts = _choice_texts(raw, field, words)
    if not absent:
        return Values(numbers, None, texts)
    if texts is None:
        texts = np.full(len(raw), -1, np.int32)
    null = np.zeros(len(raw), np.bool_)
    for flags, reason in absent:
        null |= flags
        texts[flags] = words.code(reason)
    return Values(numbers, null, texts)


def _choice_texts(raw: npt.NDArray[Any], field: Field, words: Words) -> npt.NDArray[np.int32] | None:
    named = _named(field)
    if not named:
        return None
    keys = np.array([number for number, _ in named], raw.dtype)
    codes = np.array([words.code(text) for _, text in named], np.int32)
    place = np.minimum(np.searchsorted(keys, raw), len(keys) - 1)
    return np.where(keys[place] == raw, codes[place], np.int32(-1))


def _named(field: Field) -> list[tuple[int, str]]:
    """Return the raw values that have names, ascending, without those that the bits cannot hold."""
    low, high = -(1 << (field.length - 1)), 1 << (field.length - 1)
    if not field.signed:
        low, high = 0, 1 << field.length
    return sorted((number, text) for number, text in field.choices.items() if low <= number < high)


def _absent(raw: npt.NDArray[Any], field: Field) -> list[tuple[Flags, str]]:
    """Return which values are no values, and why (SAE J1939-71, tables of transmitted signal ranges).

    From 8 bits on the uppermost byte says it: 0xFF not available, 0xFE error, 0xFB to 0xFD reserved unless the
    database names the value. Below, all ones are not available; of two bits, 10 is an error. One bit says nothing.
    """
    if not field.indicators or field.signed or field.length < 2:
        return []
    if field.length < 8:
        ones = [(raw == (1 << field.length) - 1, NOT_AVAILABLE)]
        return ones + ([(raw == 2, ERROR)] if field.length == 2 else [])
    top = np.uint64(field.length - 8)
    if not (raw >= np.uint64(0xFB) << top).any():
        return []
    upper = raw >> top
    named = np.array([number for number, _ in _named(field)], np.uint64)
    reserved = (upper >= 0xFB) & (upper <= 0xFD) & ~np.isin(raw, named)
    return [(upper == 0xFF, NOT_AVAILABLE), (upper == 0xFE, ERROR), (reserved, RESERVED)]


@dataclass(frozen=True)
class Part:
    """A layout and the payloads (by position) that have it."""

    layout: Layout
    chosen: Integers | None
    """None: all."""


def parts_of(payloads: Payloads, layout: Layout) -> tuple[list[Part], Flags | None]:
    """Follow the multiplexers; return each layout with its payloads, and which payloads select what is not defined.

    The latter have a layout in no part: as cantools refuses such a frame as a whole, none of its signals is returned.
    """
    if not layout.multiplexers:
        return [Part(layout, None)], None
    found: list[tuple[Layout, Integers]] = []
    unknown = np.zeros(len(payloads), np.bool_)
    _follow(payloads, layout, np.arange(len(payloads)), found, unknown)
    parts = []
    for case, chosen in found:
        left = chosen[~unknown[chosen]]
        if len(left):
            parts.append(Part(case, left))
    return parts, unknown


def _follow(
    payloads: Payloads, layout: Layout, chosen: Integers, found: list[tuple[Layout, Integers]], unknown: Flags
) -> None:
    found.append((layout, chosen))
    for multiplexer in layout.multiplexers:
        raw = raw_values(payloads.take(chosen), multiplexer.selector)
        order = np.argsort(raw, kind="stable")
        there = raw[order]
        known = np.zeros(len(raw), np.bool_)
        for value, case in multiplexer.cases.items():
            start, stop = np.searchsorted(there, np.array([value, value + 1], there.dtype))
            if start < stop:
                same = order[start:stop]
                known[same] = True
                _follow(payloads, case, chosen[same], found, unknown)
        unknown[chosen[~known]] = True
