"""Where signals lie in a payload: the compiled form of a DBC message, a J1939 parameter group or an OBD-II PID."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

WORD = 8
"""Bytes of the window that a signal is read from; one more is read where a signal spans nine."""


@dataclass(frozen=True)
class Field:
    """One signal: `length` bits from `start` (DBC numbering), value = raw * `scale` + `offset` in `unit`.

    `start` is the least significant bit of a little-endian signal and the most significant one of a big-endian signal,
    bit 0 being the least significant of byte 0. `indicators` asks for the J1939-71 ranges, whose values are null.
    """

    name: str
    source: str
    start: int
    length: int
    big_endian: bool = False
    signed: bool = False
    is_float: bool = False
    scale: float = 1.0
    offset: float = 0.0
    unit: str | None = None
    choices: Mapping[int, str] = field(default_factory=dict, hash=False)
    indicators: bool = False

    @cached_property
    def bits(self) -> tuple[int, int]:
        """First bit and the one after the last, counted along the bytes in the signal's own byte order."""
        first = 8 * (self.start // 8) + 7 - self.start % 8 if self.big_endian else self.start
        return first, first + self.length

    @cached_property
    def window(self) -> int:
        """First byte of the 8-byte window; a multiple of 8 where that holds the signal, so that signals share it."""
        first, end = self.bits
        aligned = first // 8 // WORD * WORD
        return aligned if end <= 8 * (aligned + WORD) else first // 8


@dataclass(frozen=True)
class Layout:
    """Signals that are there together, and what else is there by the raw value of each multiplexer among them."""

    fields: tuple[Field, ...]
    multiplexers: tuple[Multiplexer, ...] = ()

    def every(self) -> Iterator[Field]:
        """Yield all signals, of every case."""
        yield from self.fields
        for multiplexer in self.multiplexers:
            for case in multiplexer.cases.values():
                yield from case.every()


@dataclass(frozen=True)
class Multiplexer:
    """The signal that selects, and the layout that each of its raw values adds. Other values are not decodable."""

    selector: Field
    cases: Mapping[int, Layout] = field(hash=False)


FD_LENGTHS = frozenset((*range(9), 12, 16, 20, 24, 32, 48, 64))
"""Payload lengths that a CAN FD frame can have (ISO 11898-1, DLC)."""


@dataclass(frozen=True, eq=False)
class Message:
    """A payload's layout under the name of its definition. Two messages are equal only if they are the same one."""

    name: str
    length: int
    layout: Layout
    decoder: str
    is_fd: bool = False

    def takes(self, length: int) -> bool:
        """Tell whether a frame of `length` bytes may carry it: not shorter, and of a length that its bus allows."""
        if self.is_fd or self.length > 8:
            return length >= self.length and length in FD_LENGTHS
        return self.length <= length <= 8
