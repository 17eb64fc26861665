"""Lines of fields in fixed places, in blocks of columns; places are counted in characters, not bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.contracts.model import Rule
from ingestion.partners.declare.model import FixedWidth
from ingestion.partners.faults import Cause, FileFault
from ingestion.partners.read.block import RAW_BYTES, Block, LineRefusal
from ingestion.partners.read.decoding import Decoder
from ingestion.partners.read.lines import Cut, Cutter, check_text, find_line_ends


class FixedWidthReader:
    """Reads lines of a declared length; a line of another length is refused, as its fields are not where they were."""

    def __init__(self, form: FixedWidth, decoder: Decoder, make_cutter: Callable[..., Cutter]) -> None:
        self.form, self.decoder = form, decoder
        self.cutter = make_cutter(decoder, find_line_ends)
        self.names = tuple(field.name for field in form.fields)
        self.length = max(field.start + field.length - 1 for field in form.fields)
        self._least = max(field.start for field in form.fields) if form.ragged else self.length

    def blocks(self) -> Iterator[Block]:
        """Give the rows block by block.

        Raises:
            FileFault: the file is empty, cut off, of another encoding, or has a line over the limit.
        """
        for cut in self.cutter.cuts():
            last = int(cut.lines[-1])
            cut, refused = check_text(cut, self.decoder)
            block = self._parse(cut, refused)
            if self.cutter.unended and self.form.trailer is None:
                self._check_last(last, block)
            yield block

    def _parse(self, cut: Cut, refused: list[LineRefusal]) -> Block:
        texts = _whole_lines(cut)
        lengths = np.asarray(pc.utf8_length(texts)).astype(np.int64)
        blank_rest = np.asarray(pc.utf8_length(pc.utf8_rtrim_whitespace(texts))) <= self.length
        fine = (lengths >= self._least) & (lengths <= self.length) | (lengths > self.length) & blank_rest
        for i in np.flatnonzero(~fine).tolist():
            wanted = f"{self._least} to {self.length}" if self._least != self.length else f"{self.length}"
            words = f"{lengths[i]} characters long, and {wanted} are declared"
            refused.append(LineRefusal(int(cut.lines[i]), Rule.WRONG_SHAPE, words, cut.record(i)[:RAW_BYTES]))
        kept = np.flatnonzero(fine)
        texts = texts if fine.all() else texts.take(pa.array(kept))
        columns = [
            pc.utf8_slice_codeunits(texts, field.start - 1, field.start - 1 + field.length)
            for field in self.form.fields
        ]
        return Block(self.names, columns, cut.lines[kept], lambda i: cut.record(int(kept[i])), refused)

    def _check_last(self, last: int, block: Block) -> None:
        for refusal in block.refused:
            if refusal.line == last and refusal.rule is Rule.WRONG_SHAPE:
                raise FileFault(
                    Cause.TRUNCATED,
                    f"the last line ({last}) has no line end and is {refusal.detail}: it was cut off",
                )


def _whole_lines(cut: Cut) -> pa.Array:
    """Return the records as texts, sharing their bytes; only the line ends are copied away."""
    if not len(cut.starts):
        return pa.array([], pa.string())
    data = cut.data if cut.data.endswith(b"\n") else cut.data + b"\n"
    signs = np.frombuffer(data, np.uint8)
    offsets = np.append(cut.ends, 0)
    offsets[1:], offsets[0] = cut.ends - np.arange(len(cut.ends)), 0
    return pa.StringArray.from_buffers(
        len(cut.ends), pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(np.delete(signs, cut.ends))
    )
