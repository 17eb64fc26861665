"""A sheet of an .xlsx workbook, row by row, in blocks of columns.

Nothing is evaluated: a formula counts as the value that the workbook stores for it, a text that begins with = is a
text. Before anything is unpacked the archive's own sizes are held against the limits, and XML that declares entities
is refused. Numbers become the text that reads back as they are, times `YYYY-MM-DDTHH:MM:SS`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any, BinaryIO
from xml.parsers import expat

import numpy as np
import openpyxl
import pyarrow as pa
from openpyxl.utils.exceptions import InvalidFileException

from domain.contracts.model import Rule
from domain.contracts.wire import MAX_EVENT_BYTES
from ingestion.partners.declare.model import Excel, Limits
from ingestion.partners.faults import Cause, FileFault
from ingestion.partners.read.block import RAW_BYTES, Block, LineRefusal, require_columns

CELL_LAYOUTS = ("iso", "%Y-%m-%d")
"""How a cell that holds a time is written as text."""

BLOCK_ROWS = 10_000
MAX_SHARED_BYTES = 64 << 20
"""Texts of a workbook are read as a whole; more than this has to come as CSV."""


class ExcelReader:
    """Reads one sheet; its first row after `skip_lines` is the header."""

    def __init__(
        self,
        stream: BinaryIO,
        form: Excel,
        limits: Limits,
        decimals: Mapping[str, str],
        block_rows: int = BLOCK_ROWS,
    ) -> None:
        self.form, self._limits, self._decimals = form, limits, decimals
        self._stream, self._block_rows = stream, block_rows
        self.header: tuple[str, ...] = ()
        self.trailer: str | None = None

    def blocks(self) -> Iterator[Block]:
        """Give the rows block by block.

        Raises:
            FileFault: no workbook, damaged, a bomb, without the sheet, or without a header.
        """
        check_archive(self._stream, self._limits)
        try:
            book = openpyxl.load_workbook(self._stream, read_only=True, data_only=True, keep_links=False)
        except (
            InvalidFileException,
            zipfile.BadZipFile,
            KeyError,
            ValueError,
            OSError,
            SyntaxError,
        ) as fault:
            raise FileFault(Cause.DAMAGED, f"no workbook that can be read: {fault}") from None
        try:
            yield from self._rows(self._sheet(book))
        except (zipfile.BadZipFile, SyntaxError, KeyError, ValueError) as fault:
            if isinstance(fault, FileFault):
                raise
            raise FileFault(Cause.DAMAGED, f"the workbook is damaged: {fault}") from None
        finally:
            book.close()

    def _sheet(self, book: Any) -> Any:
        name = self.form.sheet
        if name is None:
            if not book.worksheets:
                raise FileFault(Cause.EMPTY, "the workbook has no sheet")
            return book.worksheets[0]
        if name not in book.sheetnames:
            raise FileFault(
                Cause.MISSING_COLUMN,
                f"the workbook has no sheet {name!r} (format.sheet); it has {', '.join(map(repr, book.sheetnames))}",
            )
        return book[name]

    def _rows(self, sheet: Any) -> Iterator[Block]:
        sheet.reset_dimensions()  # what the file says of its size is not believed
        pending: list[tuple[int, list[str]]] = []
        for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
            if number <= self.form.skip_lines or all(value is None or value == "" for value in values):
                continue
            if not self.header:
                self._take_header(values)
                continue
            pending.append((number, [self._text(value, place) for place, value in enumerate(values)]))
            if len(pending) > self._block_rows:
                yield self._block(pending[:-1])
                pending = pending[-1:]
        if not self.header:
            raise FileFault(Cause.EMPTY, "the sheet has no header: no row holds anything")
        if self.form.trailer is not None and pending:
            self.trailer = " ".join(text for text in pending.pop()[1] if text)
        yield self._block(pending)

    def _take_header(self, values: tuple[Any, ...]) -> None:
        names = [self._text(value, -1).strip() for value in values]
        while names and not names[-1]:
            names.pop()
        require_columns(len(names))
        self.header = tuple(names)

    def _block(self, pending: list[tuple[int, list[str]]]) -> Block:
        width, refused = len(self.header), []
        rows: list[list[str]] = []
        lines: list[int] = []
        for number, texts in pending:
            raw = "\t".join(texts).rstrip("\t").encode()
            if any(texts[width:]):
                words = f"{len(texts)} cells, and the header has {width}"
                refused.append(LineRefusal(number, Rule.WRONG_SHAPE, words, raw[:RAW_BYTES]))
            elif len(raw) > MAX_EVENT_BYTES:
                words = f"{len(raw)} bytes, at most {MAX_EVENT_BYTES} are taken"
                refused.append(LineRefusal(number, Rule.OVERSIZED, words, raw[:RAW_BYTES]))
            else:
                rows.append((texts + [""] * width)[:width])
                lines.append(number)
        columns = [pa.array([row[i] for row in rows], pa.string()) for i in range(width)]
        places = np.asarray(lines, dtype=np.int64)
        return Block(self.header, columns, places, lambda i: "\t".join(rows[i]).encode(), refused)

    def _text(self, value: Any, place: int) -> str:
        match value:
            case None:
                return ""
            case str():
                return value
            case bool():
                return "true" if value else "false"
            case float():
                whole = value.is_integer() and abs(value) < 1e15
                sign = self._decimals.get(self.header[place], ".") if 0 <= place < len(self.header) else "."
                return str(int(value)) if whole else repr(value).replace(".", sign)
            case datetime():
                return value.isoformat(timespec="seconds" if not value.microsecond else "microseconds")
            case date() | time():
                return value.isoformat()
            case _:
                return str(value)


def check_archive(stream: BinaryIO, limits: Limits) -> None:
    """Judge a workbook by its table of contents, before anything is unpacked.

    Raises:
        FileFault: no zip, too large unpacked, packed too well to be a workbook, or with entities in its XML.
    """
    try:
        archive = zipfile.ZipFile(stream)
        members = archive.infolist()
        total = sum(info.file_size for info in members)
        packed = max(1, sum(info.compress_size for info in members))
        shared = sum(
            info.file_size for info in members if info.filename.lower().endswith("sharedstrings.xml")
        )
        if total > limits.max_unpacked_bytes or (total > 10 << 20 and total / packed > limits.max_ratio):
            raise FileFault(
                Cause.BOMB,
                f"the workbook unpacks to {total} bytes, {total / packed:.0f} times its size; at most"
                f" {limits.max_unpacked_bytes} bytes and {limits.max_ratio:g} times are taken (limits)",
            )
        if shared > MAX_SHARED_BYTES:
            raise FileFault(
                Cause.TOO_LARGE,
                f"the workbook's texts are {shared} bytes, and at most {MAX_SHARED_BYTES} are read; send CSV",
            )
        for info in members:
            if info.filename.lower().endswith((".xml", ".rels")):
                _check_xml(archive, info)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError) as fault:
        raise FileFault(Cause.DAMAGED, f"no .xlsx workbook, or it was cut off: {fault}") from None
    stream.seek(0)


def _check_xml(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Refuse a document type, in whatever encoding and behind whatever comments; it ends where the content begins."""
    begun: list[str] = []
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = lambda *_: begun.append("doctype")
    parser.StartElementHandler = lambda *_: begun.append("content")
    with archive.open(info) as file:
        while not begun and (chunk := file.read(1 << 14)):
            try:
                parser.Parse(chunk)
            except expat.ExpatError:
                break  # what is no XML at all fails where it is read
    if "doctype" in begun:
        raise FileFault(
            Cause.BOMB, f"{info.filename} in the workbook declares XML entities, which no workbook needs"
        )
