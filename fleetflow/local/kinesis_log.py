"""One shard's records on disk: append-only segment files and a sparse index in memory.

A record is one frame: CRC-32, lengths, number, partition key, data. Numbers rise strictly within a shard.
An append is handed to the operating system before it returns, so a killed process loses nothing that it
acknowledged (a machine that loses power may). Memory holds one index entry per 64 KiB of log, however many
records there are. At opening only the newest segment is read through; a frame cut off by a crash was never
acknowledged and is removed.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SEGMENT_BYTES = 64 << 20
_INDEX_STEP = 64 << 10
_READ_CHUNK = 1 << 20
_HEAD = struct.Struct("<IIHQ")  # crc of what follows it, data length, key length, number
_CRC_SKIP = 4


@dataclass(frozen=True, slots=True)
class Stored:
    """One record as it was put: its number in the stream, its partition key and its bytes."""

    number: int
    key: str
    data: bytes


def encode(number: int, key: str, data: bytes) -> bytes:
    """Return the frame of one record."""
    name = key.encode()
    frame = _HEAD.pack(0, len(data), len(name), number) + name + data
    return zlib.crc32(memoryview(frame)[_CRC_SKIP:]).to_bytes(4, "little") + frame[_CRC_SKIP:]


@dataclass
class _Segment:
    """One file: all frames with numbers from `first` on; `numbers` and `offsets` are its sparse index."""

    path: Path
    first: int
    size: int = 0
    last: int = 0
    numbers: array[int] = field(default_factory=lambda: array("Q"))
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    scanned: bool = False

    def note(self, number: int, offset: int, size: int) -> None:
        """Take in that a frame of `size` bytes with this number starts at `offset`."""
        if not self.offsets or offset - self.offsets[-1] >= _INDEX_STEP:
            self.numbers.append(number)
            self.offsets.append(offset)
        self.last = number
        self.size = offset + size

    def seek(self, after: int) -> int:
        """Return an offset at or before the first frame whose number is above `after`."""
        at = bisect_right(self.numbers, after) - 1
        return self.offsets[at] if at >= 0 else 0


class ShardLog:
    """The records of one shard; one thread at a time."""

    def __init__(self, directory: Path) -> None:
        """Open the shard's directory, creating it; the newest segment is read through and repaired."""
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        names = sorted(directory.glob("*.log"))
        self._segments = [_Segment(path, int(path.stem), path.stat().st_size) for path in names]
        self._out: int | None = None
        while self._segments and not self._repair(self._segments[-1]):
            self._segments.pop().path.unlink()

    @property
    def last(self) -> int:
        """The number of the newest record that is still kept; 0 when there is none."""
        return self._segments[-1].last if self._segments else 0

    @property
    def first(self) -> int:
        """A number at or below the oldest record kept; 0 when there is none."""
        return self._segments[0].first if self._segments else 0

    def append(self, records: list[Stored]) -> None:
        """Add records, all or none of them.

        Raises:
            OSError: the disk refused them (full, for one); nothing was added.
        """
        if not records:
            return
        segment = self._writable(records[0].number)
        frames = [encode(record.number, record.key, record.data) for record in records]
        self._write(segment, b"".join(frames))
        offset = segment.size
        for record, frame in zip(records, frames, strict=True):
            segment.note(record.number, offset, len(frame))
            offset += len(frame)

    def read(self, after: int, limit: int, max_bytes: int) -> list[Stored]:
        """Return the next records above a number: at most `limit`, and `max_bytes` of data but one."""
        found: list[Stored] = []
        size = 0
        for record in self._scan_from(after):
            size += len(record.data)
            if found and size > max_bytes:
                break
            found.append(record)
            if len(found) >= limit:
                break
        return found

    def next_number(self, after: int) -> int | None:
        """Return the number of the first record above `after`, None when there is none."""
        return next((record.number for record in self._scan_from(after)), None)

    def trim(self, before: int) -> int:
        """Delete the segments that hold only records below a number; return how many."""
        dead = 0
        while dead < len(self._segments) and self._bound(dead) < before:
            self._segments[dead].path.unlink(missing_ok=True)
            dead += 1
        if dead and dead == len(self._segments):
            self.close()
        self._segments = self._segments[dead:]
        return dead

    def close(self) -> None:
        """Close the file that is written to; the log may be used again."""
        if self._out is not None:
            os.close(self._out)
            self._out = None

    def _bound(self, at: int) -> int:
        # At or above the newest number of a segment, and below the numbers of the next one.
        return self._segments[at + 1].first - 1 if at + 1 < len(self._segments) else self._segments[at].last

    def _writable(self, number: int) -> _Segment:
        newest = self._segments[-1] if self._segments else None
        if newest is None or newest.size >= SEGMENT_BYTES:
            self.close()
            newest = _Segment(self._directory / f"{number:020d}.log", number, scanned=True)
            self._segments.append(newest)
        if self._out is None:
            self._out = os.open(newest.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return newest

    def _write(self, segment: _Segment, data: bytes) -> None:
        assert self._out is not None
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._out, view) :]
        except OSError:
            os.ftruncate(self._out, segment.size)
            raise

    def _scan_from(self, after: int) -> Iterator[Stored]:
        for at, segment in enumerate(self._segments):
            if self._bound(at) <= after:
                continue
            self._index(segment)
            for _, _, record in _frames(segment.path, segment.seek(after), segment.size):
                if record.number > after:
                    yield record

    def _index(self, segment: _Segment) -> None:
        if not segment.scanned:
            for offset, size, record in _frames(segment.path, 0, segment.size):
                segment.note(record.number, offset, size)
            segment.scanned = True

    def _repair(self, segment: _Segment) -> bool:
        # True when the segment holds at least one record.
        written, segment.size = segment.size, 0
        for offset, size, record in _frames(segment.path, 0, written):
            segment.note(record.number, offset, size)
        segment.scanned = True
        if segment.size < written:
            os.truncate(segment.path, segment.size)
        return segment.size > 0


def _frames(path: Path, offset: int, end: int) -> Iterator[tuple[int, int, Stored]]:
    """Yield (offset, size, record) of each frame between two offsets, up to the first that is damaged."""
    with path.open("rb", buffering=_READ_CHUNK) as file:
        file.seek(offset)
        while offset + _HEAD.size <= end:
            head = file.read(_HEAD.size)
            crc, data_length, key_length, number = _HEAD.unpack(head)
            size = _HEAD.size + key_length + data_length
            if offset + size > end:
                return
            body = file.read(key_length + data_length)
            if zlib.crc32(body, zlib.crc32(memoryview(head)[_CRC_SKIP:])) != crc:
                return
            yield offset, size, Stored(number, body[:key_length].decode(), body[key_length:])
            offset += size
