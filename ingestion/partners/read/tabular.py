"""Delimited text (CSV) in blocks of columns: any dialect, line ends in quotes, rows of another length refused alone.

Records are cut by their quotes before Arrow parses them, so that a block holds whole records whatever its size, and
each row keeps its line and its own bytes. Well-formed blocks are parsed by Arrow; a block with a stray quote or an
escape character is split by an expression instead, with the same result for well-formed records, so that where
blocks are cut never shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from domain.contracts.model import Rule
from domain.contracts.wire import MAX_EVENT_BYTES
from ingestion.partners.declare.model import CsvFormat
from ingestion.partners.faults import Cause, FileFault
from ingestion.partners.read.block import RAW_BYTES, Block, Int64s, LineRefusal, require_columns
from ingestion.partners.read.decoding import Decoder
from ingestion.partners.read.lines import Cut, Cutter, check_text, find_line_ends


class Dialect:
    """The signs of a CSV, and how its records are found and split."""

    def __init__(self, form: CsvFormat) -> None:
        self.delimiter = form.delimiter.encode()
        self.quote = form.quote.encode()
        self.escape = form.escape.encode()
        self.comment = form.comment.encode()

    def find_ends(self, data: bytes, last: bool) -> Int64s:
        """Return the places of the LF that end a record; data begins with one."""
        newlines = find_line_ends(data, last)
        if self.comment and self.comment in data:
            return self._walk(data)
        if not self.quote or self.quote not in data:
            if not self.escape or self.escape not in data:
                return newlines
            return self._walk(data)
        if self.escape and self.escape in data:
            return self._walk(data)
        quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == self.quote[0])
        if not self.is_plain(data, quotes):
            return self._walk(data)
        ends: Int64s = newlines[np.searchsorted(quotes, newlines) % 2 == 0]
        return ends

    def is_plain(self, data: bytes, quotes: Int64s | None = None) -> bool:
        """Tell whether every quote opens or closes a field, or is doubled in one: then Arrow reads it as we do."""
        if self.escape and self.escape in data:
            return False
        if not self.quote or self.quote not in data:
            return True
        signs = np.frombuffer(data, np.uint8)
        if quotes is None:
            quotes = np.flatnonzero(signs == self.quote[0])
        opening, closing = quotes[::2], quotes[1::2]
        before = np.where(opening > 0, signs[opening - 1], 10)
        after = np.where(closing + 1 < len(signs), signs[np.minimum(closing + 1, len(signs) - 1)], 10)
        fine = (self.delimiter[0], self.quote[0], 10)
        doubled = before == self.quote[0]
        if doubled.any() and not np.isin(opening[doubled] - 1, closing).all():
            return False
        return bool(np.isin(before, fine).all() and np.isin(after, fine).all())

    @cached_property
    def _field(self) -> re.Pattern[bytes]:
        delimiter, quote, escape = (re.escape(sign) for sign in (self.delimiter, self.quote, self.escape))
        stop = b"[^" + delimiter + b"\\n" + escape + b"]*+"
        plain = stop + (b"(?:" + escape + b"(?s:.)" + stop + b")*+" if escape else b"")
        end = b"(?P<end>" + delimiter + b"|\\n)"
        if not quote:
            return re.compile(b"(?P<plain>" + plain + b")" + end)
        inside = b"[^" + quote + escape + b"]*+"
        odd = quote + quote + (b"|" + escape + b"(?s:.)" if escape else b"")
        # Possessive: a quote that never closes would else be tried again from every quote within, each to the end.
        quoted = quote + b"(?P<quoted>" + inside + b"(?:(?:" + odd + b")" + inside + b")*+)" + quote
        unquoted = b"(?!" + quote + b")" + plain
        return re.compile(b"(?:" + quoted + b"(?P<rest>" + plain + b")|(?P<plain>" + unquoted + b"))" + end)

    def _walk(self, data: bytes) -> Int64s:
        ends, at = [], 0
        match = self._field.match
        begins = True
        while at < len(data):
            if begins and self.comment and data.startswith(self.comment, at):
                end = data.find(b"\n", at)
                if end < 0:
                    break
                ends.append(end)
                at = end + 1
                continue
            found = match(data, at)
            if found is None:
                break
            at = found.end()
            begins = found["end"] == b"\n"
            if begins:
                ends.append(at - 1)
        return np.asarray(ends, dtype=np.int64)

    def split(self, record: bytes) -> list[bytes]:
        """Return the fields of one whole record, given without its line end."""
        fields: list[bytes] = []
        at, data = 0, record + b"\n"
        while at < len(data):
            found = self._field.match(data, at)
            if found is None:  # cannot be in a record that was cut by the same expression
                return [*fields, data[at:-1]]
            at = found.end()
            fields.append(self._text(found))
        return fields

    def _text(self, found: re.Match[bytes]) -> bytes:
        parts = found.groupdict()
        if parts.get("quoted") is None:
            return self._unescaped(parts["plain"])
        text = parts["quoted"]
        if self.escape and self.escape in text:
            sign = re.escape(self.escape) + b"(?s:(.))|" + re.escape(self.quote * 2)
            text = re.sub(sign, lambda m: m[1] if m[1] is not None else self.quote, text)
        else:
            text = text.replace(self.quote * 2, self.quote)
        return text + self._unescaped(parts["rest"])

    def _unescaped(self, text: bytes) -> bytes:
        if self.escape and self.escape in text:
            return re.sub(re.escape(self.escape) + b"(?s:(.))", lambda m: m[1], text)
        return text


class CsvReader:
    """Reads a CSV; `header` are its column names as they stand."""

    def __init__(self, form: CsvFormat, decoder: Decoder, make_cutter: Callable[..., Cutter]) -> None:
        self.form, self.decoder = form, decoder
        self.dialect = Dialect(form)
        self.cutter = make_cutter(decoder, self.dialect.find_ends)
        self.header: tuple[str, ...] = form.names

    def blocks(self) -> Iterator[Block]:
        """Give the rows block by block; the first is there even when no row is, for the header's sake.

        Raises:
            FileFault: the file is empty, cut off, of another encoding, or has a line over the limit.
        """
        for cut in self.cutter.cuts():
            last = int(cut.lines[-1])
            cut, refused = check_text(cut, self.decoder)
            if not self.header and len(cut.starts):
                cut = self._take_header(cut)
            block = self._parse(cut, refused)
            if self.cutter.unended and self.form.trailer is None:
                _check_last(last, block)
            yield block
        if not self.header:
            raise FileFault(Cause.EMPTY, "the file has no header: only blank or comment lines")

    def _take_header(self, cut: Cut) -> Cut:
        self.header = tuple(field.decode().strip() for field in self.dialect.split(cut.record(0)))
        require_columns(len(self.header))
        mask = np.ones(len(cut.starts), dtype=np.bool_)
        mask[0] = False
        return cut.keep(mask)

    def _parse(self, cut: Cut, refused: list[LineRefusal]) -> Block:
        oversized = cut.ends - cut.starts > MAX_EVENT_BYTES
        if oversized.any():
            for i in np.flatnonzero(oversized).tolist():
                words = f"{cut.ends[i] - cut.starts[i]} bytes, at most {MAX_EVENT_BYTES} are taken"
                refused.append(
                    LineRefusal(int(cut.lines[i]), Rule.OVERSIZED, words, cut.record(i)[:RAW_BYTES])
                )
            cut = cut.keep(~oversized)
        if not len(cut.starts):
            empty = [pa.array([], pa.string())] * len(self.header)
            return Block(self.header, empty, cut.lines, cut.record, refused)
        if len(self.header) > 1 and self.dialect.is_plain(cut.data):
            return self._parse_plain(cut, refused)
        return self._parse_fields(cut, refused)

    def _parse_plain(self, cut: Cut, refused: list[LineRefusal]) -> Block:
        odd: list[int] = []

        def skip(row: pacsv.InvalidRow) -> str:
            odd.append(row.number - 1)
            return "skip"

        names = [str(i) for i in range(len(self.header))]
        table = pacsv.read_csv(
            pa.BufferReader(pa.py_buffer(cut.data)),
            pacsv.ReadOptions(use_threads=False, column_names=names, block_size=len(cut.data) + 1),
            pacsv.ParseOptions(
                delimiter=self.form.delimiter,
                quote_char=self.form.quote or False,
                double_quote=True,
                escape_char=False,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            pacsv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
            ),
        )
        if table.num_rows + len(odd) != len(cut.starts):
            return self._parse_fields(cut, refused)
        kept = np.arange(len(cut.starts))
        if odd:
            refused += [self._misshapen(cut, i, len(self.dialect.split(cut.record(i)))) for i in odd]
            kept = np.delete(kept, odd)
        columns = [_flat(column) for column in table.columns]
        return Block(self.header, columns, cut.lines[kept], lambda i: cut.record(int(kept[i])), refused)

    def _parse_fields(self, cut: Cut, refused: list[LineRefusal]) -> Block:
        rows: list[list[bytes]] = []
        kept: list[int] = []
        for i in range(len(cut.starts)):
            fields = self.dialect.split(cut.record(i))
            if len(fields) != len(self.header):
                refused.append(self._misshapen(cut, i, len(fields)))
                continue
            rows.append(fields)
            kept.append(i)
        columns = [
            pa.array(list(values), pa.binary()).cast(pa.string()) for values in zip(*rows, strict=True)
        ]
        if not rows:
            columns = [pa.array([], pa.string())] * len(self.header)
        lines = cut.lines[np.asarray(kept, dtype=np.int64)]
        return Block(self.header, columns, lines, lambda i: cut.record(kept[i]), refused)

    def _misshapen(self, cut: Cut, index: int, width: int) -> LineRefusal:
        words = f"{width} fields, and the header has {len(self.header)}"
        raw = cut.record(index)[:RAW_BYTES]
        return LineRefusal(int(cut.lines[index]), Rule.WRONG_SHAPE, words, raw)


def _check_last(last: int, block: Block) -> None:
    """Refuse a file whose last line has no end and another number of fields: it was cut off."""
    for refusal in block.refused:
        if refusal.line == last and refusal.rule is Rule.WRONG_SHAPE:
            raise FileFault(
                Cause.TRUNCATED,
                f"the last line ({last}) has no line end and {refusal.detail}: the file was cut off",
            )


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
