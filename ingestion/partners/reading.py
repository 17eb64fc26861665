"""The reader of a declared format, over a file's own bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from ingestion.partners.block import Reader
from ingestion.partners.faults import Cause, FileFault
from ingestion.partners.lines import BLOCK_BYTES, Cutter, Decoder, FindEnds
from ingestion.partners.model import CsvFormat, Declaration, Excel
from ingestion.partners.tabular import CsvReader


@dataclass(frozen=True)
class Opened:
    """A reader, what its cells' times look like, and whether later blocks may have more columns."""

    reader: Reader
    declaration: Declaration
    decoder: Decoder | None = None
    cutter: Callable[[], Cutter | None] = lambda: None
    cell_layouts: tuple[str, ...] = ()
    grows: bool = False

    def check_end(self, lines: int, approved: bool) -> None:
        """Judge what only the end of a file shows: its trailer, its last line end, its encoding.

        Raises:
            FileFault: the trailer counts otherwise, the last line has no end, or the encoding is another.
        """
        form, cutter = self.declaration.format, self.cutter()
        if self.decoder is not None and self.decoder.doubt and not approved:
            raise FileFault(Cause.ENCODING, self.decoder.doubt, lines=lines)
        if cutter is None or isinstance(form, Excel):
            return
        if form.final_newline and cutter.unended:
            raise FileFault(
                Cause.TRUNCATED,
                "the last line has no line end, and one was agreed (format.final_newline): it was cut off",
            )
        count = cutter.trailer.groupdict().get("count") if cutter.trailer else None
        if count is not None and int(count) != lines:
            raise FileFault(
                Cause.TRAILER,
                f"the trailer counts {int(count)} lines, and the file has {lines}; lines were lost or added on the way",
                lines=lines,
            )


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
            reader = CsvReader(form, decoder, cutter)
            return Opened(reader, declaration, decoder, lambda: reader.cutter)
        case _:
            raise NotImplementedError(form.kind)
