"""Bytes of any encoding and line end, cut into blocks of whole records in bounded memory.

A record is a line, or several where the format lets line ends stand inside quotes; the cutter is told by a function
that finds the ends of records. Line ends become LF, also within quotes; a BOM goes. Blank lines, comment lines and
the lines before the header are not records, but count as lines. A record over the limit ends the reading, without
having been read into memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from domain.contracts.model import Rule
from ingestion.partners.declare.model import Trailer
from ingestion.partners.faults import Cause, FileFault
from ingestion.partners.read.block import RAW_BYTES, Int64s, LineRefusal
from ingestion.partners.read.decoding import Decoder

BLOCK_BYTES = 4 << 20


@dataclass
class Cut:
    """A run of whole records, joined as they stood: `starts` and `ends` in `data`, and the line each begins on."""

    data: bytes
    starts: Int64s
    ends: Int64s
    lines: Int64s

    def record(self, index: int) -> bytes:
        """Return one record without its line end."""
        return self.data[self.starts[index] : self.ends[index]]

    def keep(self, mask: np.ndarray) -> Cut:
        """Return the records of a mask, joined anew."""
        if mask.all():
            return self
        if mask[1:].all():
            first = int(self.starts[1]) if len(self.starts) > 1 else len(self.data)
            return Cut(self.data[first:], self.starts[1:] - first, self.ends[1:] - first, self.lines[1:])
        places = np.flatnonzero(mask)
        data = b"".join(self.data[self.starts[i] : self.ends[i]] + b"\n" for i in places.tolist())
        sizes = self.ends[places] - self.starts[places] + 1
        ends = np.cumsum(sizes) - 1
        return Cut(data, ends - sizes + 1, ends, self.lines[places])


FindEnds = Callable[[bytes, bool], Int64s]
"""Given bytes that begin with a record, and whether they are the last, the places of the LF that end a record."""


def find_line_ends(data: bytes, last: bool) -> Int64s:
    """Every LF ends a record."""
    return np.flatnonzero(np.frombuffer(data, np.uint8) == 10)


class Cutter:
    """Cuts a stream into records; `trailer` is what the last line said, `unended` whether it had no line end."""

    def __init__(
        self,
        stream: BinaryIO,
        decoder: Decoder,
        find_ends: FindEnds,
        *,
        max_line_bytes: int,
        skip_lines: int = 0,
        comment: bytes = b"",
        trailer: Trailer | None = None,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self._stream, self._decoder, self._find_ends = stream, decoder, find_ends
        self._limit = max_line_bytes
        self._skip, self._comment = skip_lines, comment
        self._trailer = re.compile(trailer.pattern) if trailer else None
        self._block = max(block_bytes, 1)
        self._line = 1
        self.trailer: re.Match[str] | None = None
        self.unended = False
        self.open_quote: int | None = None
        self.bytes_read = 0

    def cuts(self) -> Iterator[Cut]:
        """Give the records in runs; the trailer is not among them.

        Raises:
            FileFault: empty, a line over the limit, another encoding, a quote that never closes, no trailer.
        """
        held: Cut | None = None
        for cut in self._runs():
            cut = self._without_blanks(cut)
            if not len(cut.starts):
                continue
            if self._trailer is None:
                yield cut
                continue
            if held is not None:
                yield held
            held = cut
        if not self.bytes_read:
            raise FileFault(Cause.EMPTY, "the file is empty: not one byte, not even a header")
        if self._trailer is not None:
            yield from self._take_trailer(held)

    def _take_trailer(self, held: Cut | None) -> Iterator[Cut]:
        pattern = self._trailer
        assert pattern is not None
        last = held.record(len(held.starts) - 1).decode("utf-8", "replace") if held else ""
        self.trailer = pattern.search(last)
        if self.trailer is None or held is None:
            raise FileFault(
                Cause.TRUNCATED,
                f"the trailer line is missing: the last line must match {pattern.pattern!r} and is {last[:120]!r};"
                " the file was cut off, or is not whole yet",
            )
        mask = np.ones(len(held.starts), dtype=np.bool_)
        mask[-1] = False
        if mask.any():
            yield held.keep(mask)

    def _runs(self) -> Iterator[Cut]:
        carry = b""
        while True:
            data = self._stream.read(self._block)
            last = not data
            self.bytes_read += len(data)
            text = carry + self._skipped(self._decoder.decode(data, last))
            if last and text and not text.endswith(b"\n"):
                text, self.unended = text + b"\n", True
            if text:
                ends = self._find_ends(text, last)
                cut_at = int(ends[-1]) + 1 if len(ends) else 0
                if cut_at:
                    yield self._cut(text[:cut_at], ends)
                carry = text[cut_at:]
            self._check_carry(carry, last)
            if last:
                return

    def _skipped(self, text: bytes) -> bytes:
        """Drop the lines before the header; they may hold anything but line ends."""
        while self._skip and text:
            end = text.find(b"\n")
            if end < 0:
                return b""
            text, self._skip, self._line = text[end + 1 :], self._skip - 1, self._line + 1
        return text

    def _check_carry(self, carry: bytes, last: bool) -> None:
        if carry and last:
            self.open_quote = self._line
            raise FileFault(
                Cause.TRUNCATED,
                f"line {self._line} opens a quote that is not closed by the end of the file: it was cut off,"
                " or a quote stands in a text alone",
            )
        if len(carry) > self._limit:
            lines = carry.count(b"\n")
            words = f", which opens a quote and goes on over {lines + 1} lines," if lines else ""
            raise FileFault(
                Cause.LONG_LINE,
                f"line {self._line}{words} is longer than {self._limit} bytes (limits.max_line_bytes)",
            )

    def _cut(self, data: bytes, ends: Int64s) -> Cut:
        starts = np.empty_like(ends)
        starts[0], starts[1:] = 0, ends[:-1] + 1
        newlines = find_line_ends(data, last=False)
        if len(newlines) == len(ends):
            lines = np.arange(self._line, self._line + len(ends), dtype=np.int64)
        else:
            lines = self._line + np.searchsorted(newlines, starts).astype(np.int64)
        self._line += len(newlines)
        longest = int((ends - starts).max())
        if longest > self._limit:
            at = int(lines[int((ends - starts).argmax())])
            raise FileFault(
                Cause.LONG_LINE,
                f"line {at} is {longest} bytes long, and at most {self._limit} are taken (limits.max_line_bytes)",
            )
        return Cut(data, starts, ends, lines)

    def _without_blanks(self, cut: Cut) -> Cut:
        mask = cut.ends > cut.starts
        if self._comment:
            first = np.frombuffer(cut.data, np.uint8)[cut.starts]
            for i in np.flatnonzero(first == self._comment[0]).tolist():
                mask[i] &= not cut.data.startswith(self._comment, cut.starts[i])
        return cut.keep(mask)


def check_text(cut: Cut, decoder: Decoder) -> tuple[Cut, list[LineRefusal]]:
    """Return the records that are text; the others are refused where the decoder goes on.

    Raises:
        FileFault: a record is not of the declared encoding, and the decoder does not go on.
    """
    if cut.data.isascii():
        return cut, []
    if not decoder.replaced:
        try:
            cut.data.decode()
            return cut, []
        except UnicodeDecodeError:
            pass
    found = [i for i in range(len(cut.starts)) if not _is_text(cut.record(i), decoder.replaced)]
    if found and not decoder.tolerant:
        record = cut.record(found[0])
        raise FileFault(
            Cause.ENCODING,
            f"line {cut.lines[found[0]]} is not {decoder.encoding}: {record[:60]!r}{_likely(record)};"
            " declare the encoding that the partner uses, or approve the file: then such lines are refused",
        )
    mask = np.ones(len(cut.starts), dtype=np.bool_)
    mask[found] = False
    words = f"the line is not {decoder.encoding}"
    refused = [
        LineRefusal(int(cut.lines[i]), Rule.INVALID_UTF8, words, cut.record(i)[:RAW_BYTES]) for i in found
    ]
    return cut.keep(mask), refused


def _is_text(record: bytes, replaced: bool) -> bool:
    try:
        text = record.decode()
    except UnicodeDecodeError:
        return False
    return not (replaced and "\ufffd" in text)


def _likely(record: bytes) -> str:
    try:
        return f", {record.decode('cp1252')[:60]!r} if it is cp1252"
    except UnicodeDecodeError:
        return ""
