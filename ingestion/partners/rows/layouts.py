"""Layouts of times in text: read over whole columns, and strictly, unlike strptime.

Arrow's strptime (the C library's) takes 30 February for 2 March, a year of two digits for one of four, and blanks
anywhere. So a text must first fit the layout's own expression, and a day that its month does not have is refused.
Where a layout is of digits in fixed places and every text of a column fits it, the digits are put in the order of ISO
8601, which Arrow reads strictly and ten times as fast.
"""

from __future__ import annotations

import re
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.partners.rows.texts import bytes_of, fixed_texts, text_lengths

LETTERS: dict[str, str] = {
    "d": r"[0-9]{1,2}",
    "m": r"[0-9]{1,2}",
    "Y": r"[0-9]{4}",
    "y": r"[0-9]{2}",
    "b": r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
    "B": r"(?i:january|february|march|april|may|june|july|august|september|october|november|december)",
    "H": r"[0-9]{1,2}",
    "I": r"[0-9]{1,2}",
    "M": r"[0-9]{2}",
    "S": r"[0-9]{2}",
    "p": r"(?i:am|pm)",
    "z": r"(?:Z|[+-][0-9]{2}:?[0-9]{2})",
}
NAMED = ("iso", "epoch_s", "epoch_ms")
_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
_ISO_ZONE = r"(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
_US = pa.timestamp("us")
_ISO_PLACES = {"Y": (0, 4), "m": (5, 2), "d": (8, 2), "H": (11, 2), "M": (14, 2), "S": (17, 2)}
_ISO_MIDNIGHT = np.frombuffer(b"0000-00-00T00:00:00", np.uint8)


class LayoutError(ValueError):
    """A layout has a letter that is not read, or lacks a part of a date."""


class Layout:
    """One layout; `has_time` and `has_zone` say what its texts hold."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._order: list[str] = []
        self.expression = self._compile()
        letters = set(self._order)
        self.has_time = text in NAMED or bool(letters & {"H", "I"})
        self.has_zone = text.startswith("epoch") or "z" in letters
        self._digits = DigitLayout(text) if letters and letters <= _ISO_PLACES.keys() else None

    def _compile(self) -> str:
        if self.text == "iso":
            return f"^{_ISO}$"
        if self.text in NAMED:
            return r"^-?[0-9]{1,12}$" if self.text == "epoch_s" else r"^-?[0-9]{1,15}$"
        out = []
        rest = iter(self.text)
        for sign in rest:
            if sign != "%":
                out.append(re.escape(sign))
                continue
            letter = next(rest, "")
            if letter not in LETTERS or letter in self._order:
                raise LayoutError(
                    f"{self.text!r}: %{letter} is not read, or stands twice (there are"
                    f" {' '.join('%' + known for known in LETTERS)}, iso, epoch_s, epoch_ms)"
                )
            self._order.append(letter)
            out.append(f"({LETTERS[letter]})" if letter == "d" else LETTERS[letter])
        letters = set(self._order)
        if "d" not in letters or not letters & {"m", "b", "B"} or not letters & {"Y", "y"}:
            raise LayoutError(f"{self.text!r}: a day, a month and a year are wanted")
        if ("I" in letters) != ("p" in letters):
            raise LayoutError(f"{self.text!r}: %I and %p stand together")
        return "^" + "".join(out) + "$"

    @cached_property
    def _zoned_expression(self) -> str:
        return self.expression[:-1] + _ISO_ZONE + "$"

    def read(self, texts: pa.Array) -> tuple[pa.Array, pa.Array | None]:
        """Return local times and instants (both int64 microseconds, null where the text does not fit).

        A text without a zone gives a local time, one with a zone an instant; never both.
        """
        if self.text == "iso":
            return _read_iso(texts, self.expression), _read_iso(texts, self._zoned_expression, zoned=True)
        if self._digits is not None and (found := self._digits.read(texts)) is not None:
            return found, None
        fits = pc.match_substring_regex(texts, self.expression)
        chosen = pc.if_else(fits, texts, None)
        if self.text in NAMED:
            factor = 1_000_000 if self.text == "epoch_s" else 1_000
            return pa.nulls(len(texts), pa.int64()), pc.multiply(chosen.cast(pa.int64()), factor)
        read = pc.strptime(chosen, format=self.text, unit="us", error_is_null=True).cast(pa.int64())
        if self.has_zone:
            return pa.nulls(len(texts), pa.int64()), read
        return self._without_overflow(chosen, read), None

    def _without_overflow(self, texts: pa.Array, read: pa.Array) -> pa.Array:
        """Take out days that their month does not have: they were read as the 1st to 3rd of the next."""
        day = pc.day(read.cast(_US))
        suspects = np.flatnonzero(np.asarray(pc.fill_null(pc.less_equal(day, 3), False)))
        if not suspects.size:
            return read
        at = pa.array(suspects)
        wanted = pc.struct_field(
            pc.extract_regex(
                texts.take(at), pattern=self.expression.replace("([0-9]{1,2})", "(?P<d>[0-9]{1,2})", 1)
            ),
            "d",
        ).cast(pa.int8())
        over = suspects[np.asarray(pc.greater(wanted, 3))]
        if not over.size:
            return read
        keep = np.ones(len(texts), dtype=np.bool_)
        keep[over] = False
        return pc.if_else(pa.array(keep), read, None)


class DigitLayout:
    """A layout of digits in fixed places: day and month always of two, a year of four."""

    def __init__(self, text: str) -> None:
        self._moves: list[tuple[int, int, int]] = []
        self._signs: list[tuple[int, int]] = []
        self._width = 0
        rest = iter(text.encode())
        for sign in rest:
            if sign != ord("%"):
                self._signs.append((self._width, sign))
                self._width += 1
                continue
            to, size = _ISO_PLACES[chr(next(rest))]
            self._moves.append((self._width, to, size))
            self._width += size

    def read(self, texts: pa.Array) -> pa.Array | None:
        """Return local times (int64 microseconds), null where a text is; None if a text does not fit."""
        given = texts.drop_null() if texts.null_count else texts
        if not len(given) or not bool((text_lengths(given) == self._width).all()):
            return None
        cells = bytes_of(given).reshape(len(given), self._width)
        if any((cells[:, place] != sign).any() for place, sign in self._signs):
            return None
        iso = np.tile(_ISO_MIDNIGHT, (len(given), 1))
        for start, to, size in self._moves:
            iso[:, to : to + size] = cells[:, start : start + size]
        try:
            read = fixed_texts(iso).cast(_US).cast(pa.int64())
        except pa.ArrowInvalid:
            return None
        if not texts.null_count:
            return read
        return pc.replace_with_mask(pa.nulls(len(texts), pa.int64()), texts.is_valid(), read)


def _read_iso(texts: pa.Array, expression: str, *, zoned: bool = False) -> pa.Array:
    chosen = pc.if_else(pc.match_substring_regex(texts, expression), texts, None)
    if chosen.null_count == len(chosen):
        return pa.nulls(len(texts), pa.int64())
    return cast_valid(chosen, pa.timestamp("us", "UTC") if zoned else _US).cast(pa.int64())


def cast_valid(texts: pa.Array, to: pa.DataType) -> pa.Array:
    """Cast texts; those that cannot be become null. Fast where few cannot."""
    try:
        return texts.cast(to)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return pa.nulls(1, to)
    half = len(texts) // 2
    return pa.concat_arrays([cast_valid(texts[:half], to), cast_valid(texts[half:], to)])
