"""Bytes in a partner's encoding into UTF-8 with LF, over any cut of them; another encoding than declared is noticed.

A one-byte encoding reads any bytes, so UTF-8 would be taken for it and names be garbled: bytes beyond ASCII that read
as UTF-8 throughout speak against it. UTF-8 itself is checked line by line, where lines are known (`lines`).
"""

from __future__ import annotations

import codecs

import numpy as np

from ingestion.partners.faults import Cause, FileFault

# With a change of character set, which some encodings write in ASCII.
_ASCII = bytes(range(0x80)) + b"\x1b$B0!\x1b(B"
_CONTINUATION = bytes(range(0x80, 0xC0))
_WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


class Decoder:
    """Turns a partner's encoding into UTF-8 with LF, over any cut of the bytes.

    Raises FileFault (encoding) where the bytes are of another encoding, unless told to go on: then what cannot be
    decoded becomes U+FFFD in a marked line, which is refused.
    """

    def __init__(self, encoding: str, tolerant: bool) -> None:
        self.encoding = encoding
        self.tolerant = tolerant
        self.replaced = False
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="strict")
        self._keeps_ascii = _ASCII.decode(encoding, "replace") == _ASCII.decode("ascii")
        self._first = True
        self._head = b""
        self._began = False
        self._pending_cr = False
        self._foreign = 0
        self._line = 1

    def decode(self, data: bytes, last: bool) -> bytes:
        """Decode the next bytes."""
        if self._first:
            data, self._head = self._head + data, b""
            if len(data) < len(codecs.BOM_UTF8) and not last:
                self._head = data
                return b""
            data = self._without_bom(data)
            self._first = False
        text = data if self.encoding in ("utf-8", "ascii") else self._transcode(data, last)
        if b"\0" in text:
            line = self._line + text[: text.find(b"\0")].count(b"\n")
            raise FileFault(
                Cause.ENCODING if not self.tolerant else Cause.DAMAGED,
                f"line {line} holds a NUL byte: the file is no {self.encoding} text; it may be utf-16 or binary",
            )
        out = self._with_lf(text, last)
        self._line += out.count(b"\n")
        return out

    def _without_bom(self, data: bytes) -> bytes:
        wide = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
        for bom, name in wide.items():
            if data.startswith(bom) and self.encoding not in _WIDE:
                raise FileFault(
                    Cause.ENCODING,
                    f"the file begins with the byte order mark of {name}, and {self.encoding} is declared",
                )
        if data.startswith(codecs.BOM_UTF8):
            if self.encoding not in ("utf-8", "utf-8-sig") and not self.tolerant:
                raise FileFault(
                    Cause.ENCODING,
                    f"the file begins with the byte order mark of utf-8, and {self.encoding} is declared",
                )
            return data[len(codecs.BOM_UTF8) :]
        return data

    def _transcode(self, data: bytes, last: bool) -> bytes:
        before = self._decoder.getstate()
        if self._keeps_ascii and data.isascii() and not before[0]:
            return data
        try:
            text = self._decoder.decode(data, last)
        except UnicodeDecodeError as fault:
            return self._replace(data, before, fault, last)
        if self.encoding not in _WIDE and not self.encoding.startswith("utf"):
            self._suspect_utf8(data)
        if text and not self._began:
            text, self._began = text.removeprefix("\ufeff"), True
        return text.encode()

    def _replace(
        self, data: bytes, before: tuple[bytes, int], fault: UnicodeDecodeError, last: bool
    ) -> bytes:
        """Decode once more from the state before, which may hold the first bytes of a character."""
        line = self._line + fault.object[: fault.start].count(b"\n")
        if self.encoding in _WIDE:
            raise FileFault(
                Cause.DAMAGED, f"near line {line}: no {self.encoding} text: {fault.reason}"
            ) from None
        if not self.tolerant:
            raise FileFault(
                Cause.ENCODING,
                f"line {line} holds the byte 0x{fault.object[fault.start]:02x}, which {self.encoding} has not; declare"
                " the encoding that the partner uses, or approve the file: then such lines are refused",
            ) from None
        self.replaced = True
        replacing = codecs.getincrementaldecoder(self.encoding)(errors="replace")
        replacing.setstate(before)
        text = replacing.decode(data, last)
        self._decoder.setstate(replacing.getstate())
        return text.encode()

    def _suspect_utf8(self, data: bytes) -> None:
        """Refuse to misread UTF-8 as a one-byte encoding: its pairs of bytes hardly occur by chance."""
        if self.tolerant or self._foreign < 0:
            return
        head = data[:3].lstrip(_CONTINUATION)  # a block may begin within a character
        try:
            (head + data[3:]).decode("utf-8")
        except UnicodeDecodeError as fault:
            if fault.reason != "unexpected end of data":
                self._foreign = -1
                return
        self._foreign += int(np.count_nonzero(np.frombuffer(data, np.uint8) >= 0xC2))

    @property
    def doubt(self) -> str | None:
        """What speaks against the declared encoding after all was read, or None."""
        if self._foreign > 0:
            return (
                f"every one of {self._foreign} characters beyond ASCII reads as utf-8, and {self.encoding} is"
                " declared; names would be garbled"
            )
        return None

    def _with_lf(self, text: bytes, last: bool) -> bytes:
        if self._pending_cr:
            text = b"\r" + text
            self._pending_cr = False
        if text.endswith(b"\r") and not last:
            text, self._pending_cr = text[:-1], True
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return text
