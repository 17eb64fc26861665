"""From a fetched file to its bytes: decrypted, decompressed, never more than declared.

A zip's member is read as a stream, its path is never used. Sizes are counted as bytes come out, not believed from
headers: an archive that unpacks to more than `limits` is refused after that many bytes, whatever it says.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from ingestion.partners.declare.model import Declaration, Excel, Limits
from ingestion.partners.faults import Cause, FileFault
from ingestion.partners.read.pgp import PgpKeys, decrypt, is_encrypted

_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_DEPTH = 4
_RATIO_FREE = 10 << 20
"""Bytes that may come out before the ratio counts: small files compress well."""


class Guarded(io.RawIOBase):
    """A stream that refuses to give more than its limits, and turns damage into a fault."""

    def __init__(self, stream: BinaryIO, packed: int, limits: Limits, what: str) -> None:
        self._stream, self._packed, self._limits, self._what = stream, max(packed, 1), limits, what
        self.given = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what fits into a buffer.

        Raises:
            FileFault: the stream is damaged, ends early, or gives more than it may.
        """
        view = memoryview(buffer)
        try:
            data = self._stream.read(len(view))
        except EOFError as fault:
            raise FileFault(Cause.TRUNCATED, f"the {self._what} ends early: {fault}") from None
        except (OSError, zlib.error, zipfile.BadZipFile) as fault:
            raise FileFault(Cause.DAMAGED, f"the {self._what} is damaged: {fault}") from None
        self.given += len(data)
        if self.given > self._limits.max_unpacked_bytes:
            raise FileFault(
                Cause.BOMB,
                f"the {self._what} unpacks to more than {self._limits.max_unpacked_bytes} bytes"
                " (limits.max_unpacked_bytes)",
            )
        ratio = self.given / self._packed
        if self.given > _RATIO_FREE and ratio > self._limits.max_ratio:
            raise FileFault(
                Cause.BOMB,
                f"the {self._what} has unpacked to {ratio:.0f} times its {self._packed} bytes, and at most"
                f" {self._limits.max_ratio:g} times is taken (limits.max_ratio)",
            )
        view[: len(data)] = data
        return len(data)


@contextmanager
def open_plain(
    path: Path,
    declaration: Declaration,
    scratch: Path,
    keys: PgpKeys | None = None,
    *,
    name: str | None = None,
    approved: bool = False,
) -> Iterator[BinaryIO]:
    """Open a file's own bytes, whatever it came wrapped in.

    Raises:
        FileFault: empty, too large, damaged, wrong key, no or several members, or a bomb.
    """
    size = path.stat().st_size
    if not size:
        raise FileFault(Cause.EMPTY, "the file is empty: not one byte, not even a header")
    if size > declaration.limits.max_bytes:
        raise FileFault(
            Cause.TOO_LARGE,
            f"{size} bytes, and at most {declaration.limits.max_bytes} are taken (limits.max_bytes)",
        )
    made: Path | None = None
    try:
        if is_encrypted(path, name or path.name):
            made = scratch / f"{path.name}.plain"
            decrypt(path, made, keys, declaration)
            path = made
        elif declaration.pgp and declaration.pgp.encrypted and not approved:
            raise FileFault(
                Cause.NOT_ENCRYPTED,
                "the file came in the clear, and encryption was agreed (pgp.encrypted); ask the partner, or approve it",
            )
        with path.open("rb") as file:
            yield from _unwrapped(file, path.stat().st_size, declaration)
    finally:
        if made is not None:
            made.unlink(missing_ok=True)


def _unwrapped(file: io.BufferedReader, packed: int, declaration: Declaration) -> Iterator[BinaryIO]:
    limits = declaration.limits
    stream = file
    for _ in range(_DEPTH):
        head = stream.peek(4)[:4]
        if head.startswith(_GZIP):
            inner = cast(BinaryIO, gzip.GzipFile(fileobj=stream))
            stream = io.BufferedReader(Guarded(inner, packed, limits, "gzip"), 1 << 16)
        elif head.startswith((_ZIP, _EMPTY_ZIP)) and not isinstance(declaration.format, Excel):
            stream = io.BufferedReader(_member(stream, packed, limits), 1 << 16)
        else:
            break
    else:
        raise FileFault(Cause.BOMB, f"the file is packed in itself more than {_DEPTH} times")
    yield stream


def _member(stream: BinaryIO, packed: int, limits: Limits) -> Guarded:
    if not stream.seekable():
        raise FileFault(Cause.BAD_MEMBERS, "a zip inside another archive is not taken: send the zip alone")
    try:
        archive = zipfile.ZipFile(stream)
        members = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError) as fault:
        raise FileFault(Cause.DAMAGED, f"the zip is damaged or was cut off: {fault}") from None
    if len(members) != 1:
        names = ", ".join(repr(info.filename) for info in members[:5]) or "none"
        raise FileFault(Cause.BAD_MEMBERS, f"the zip holds {len(members)} files ({names}), and one is wanted")
    info = members[0]
    if info.flag_bits & 0x1:
        raise FileFault(Cause.WRONG_KEY, "the zip is locked by a password; send it with PGP, or open")
    ratio = info.file_size / max(1, info.compress_size)
    if info.file_size > limits.max_unpacked_bytes or (
        info.file_size > _RATIO_FREE and ratio > limits.max_ratio
    ):
        raise FileFault(
            Cause.BOMB,
            f"the zip's file unpacks to {info.file_size} bytes, {ratio:.0f} times its size; at most"
            f" {limits.max_unpacked_bytes} bytes and {limits.max_ratio:g} times are taken (limits)",
        )
    try:
        inner = archive.open(info)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as fault:
        raise FileFault(Cause.DAMAGED, f"the zip cannot be opened: {fault}") from None
    return Guarded(cast(BinaryIO, inner), info.compress_size or packed, limits, "zip")
