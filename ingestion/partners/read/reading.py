"""The reader of a declared format, over a file's own bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

from ingestion.partners.declare.model import CsvFormat, Declaration, Excel, FixedWidth, JsonLines
from ingestion.partners.faults import Cause, FileFault
from ingestion.partners.fetch.verify import check_rows
from ingestion.partners.read.block import Reader
from ingestion.partners.read.decoding import Decoder
from ingestion.partners.read.excel import BLOCK_ROWS, CELL_LAYOUTS, ExcelReader
from ingestion.partners.read.fixed_width import FixedWidthReader
from ingestion.partners.read.jsonlines import JsonLinesReader
from ingestion.partners.read.lines import BLOCK_BYTES, Cutter, FindEnds
from ingestion.partners.read.tabular import CsvReader

_COUNT = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Opened:
    """A reader, what its cells' times look like, and whether later blocks may have more columns."""

    reader: Reader
    declaration: Declaration
    decoder: Decoder | None = None
    cutter: Cutter | None = None
    cell_layouts: tuple[str, ...] = ()
    grows: bool = False

    def check_end(self, lines: int, approved: bool) -> None:
        """Judge what only the end of a file shows: its trailer, its last line end, its encoding.

        Raises:
            FileFault: the trailer counts otherwise, the last line has no end, or the encoding is another.
        """
        form, cutter = self.declaration.format, self.cutter
        if self.decoder is not None and self.decoder.doubt and not approved:
            raise FileFault(Cause.ENCODING, self.decoder.doubt, lines=lines)
        if cutter is not None and not isinstance(form, Excel) and form.final_newline and cutter.unended:
            raise FileFault(
                Cause.TRUNCATED,
                "the last line has no line end, and one was agreed (format.final_newline): it was cut off",
            )
        check_rows(self._promised(), lines, "the trailer")

    def _promised(self) -> int | None:
        trailer = self.cutter.trailer if self.cutter else None
        if isinstance(self.reader, ExcelReader) and self.reader.form.trailer is not None:
            pattern, last = self.reader.form.trailer.pattern, self.reader.trailer or ""
            trailer = re.search(pattern, last)
            if trailer is None:
                words = f"the last row must match {pattern!r} and is {last[:120]!r}: it was cut off,"
                words += " or is not whole yet"
                raise FileFault(Cause.TRUNCATED, words)
        count = trailer.groupdict().get("count") if trailer else None
        if count is not None and not _COUNT.fullmatch(count):
            raise FileFault(
                Cause.TRAILER, f"the trailer counts {count[:40]!r} lines, which is no number of lines"
            )
        return int(count) if count is not None else None


def open_reader(
    stream: BinaryIO, declaration: Declaration, *, tolerant: bool = False, block_bytes: int | None = None
) -> Opened:
    """Return the reader of the declared format."""
    form = declaration.format
    decoder = Decoder(declaration.encoding, tolerant)

    def cutter(decoder: Decoder, find_ends: FindEnds) -> Cutter:
        assert not isinstance(form, Excel)
        return Cutter(
            stream,
            decoder,
            find_ends,
            max_line_bytes=declaration.limits.max_line_bytes,
            skip_lines=form.skip_lines,
            comment=form.comment.encode(),
            trailer=form.trailer,
            block_bytes=block_bytes or BLOCK_BYTES,
        )

    match form:
        case CsvFormat():
            csv = CsvReader(form, decoder, cutter)
            return Opened(csv, declaration, decoder, csv.cutter)
        case JsonLines():
            lines = JsonLinesReader(decoder, cutter, _paths(declaration), _decimals(declaration))
            return Opened(lines, declaration, decoder, lines.cutter, grows=True)
        case FixedWidth():
            fixed = FixedWidthReader(form, decoder, cutter)
            return Opened(fixed, declaration, decoder, fixed.cutter)
        case Excel():
            rows = block_bytes or BLOCK_ROWS
            book = ExcelReader(stream, form, declaration.limits, _decimals(declaration), rows)
            return Opened(book, declaration, cell_layouts=CELL_LAYOUTS)


def _paths(declaration: Declaration) -> tuple[str, ...]:
    names = (
        s for column in declaration.columns.values() for s in (*column.sources, column.time_source or "")
    )
    return tuple(dict.fromkeys(name for name in names if "." in name))


def _decimals(declaration: Declaration) -> dict[str, str]:
    """Say how a number cell is to be written, so that the column's own reading takes it back."""
    found: dict[str, str] = {}
    for column in declaration.columns.values():
        found |= dict.fromkeys(column.sources, column.decimal or declaration.numbers.decimal)
    return found
