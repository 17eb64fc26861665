"""One lane's lines on disk, from being accepted until the stream has them.

A spool is a row of segment files, `lane-NNNN-SSSSSSSS.spool`, each preallocated and mapped into memory: a
line is one copy into the page cache, without a system call, and survives the death of the process; `sync`
makes it survive the machine's. A segment is a header (magic, number of the last acknowledged line, its CRC)
and frames that are only ever appended: length, CRC, line number, position of the entity, the line. Line
numbers count up by one from 1. A length of zero ends the segment. Segments whose lines are all acknowledged
are deleted.

Reading stops at the first frame that does not check out: the tail that a crash tore. That line's `append`
never returned, so nobody was told that it was safe.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SEGMENT_BYTES = 2 << 20
SUFFIX = ".spool"
TORN_SUFFIX = ".torn"

_MAGIC = b"FFSPOOL1"
_ACK = struct.Struct("<QI")
_ACK_AT = len(_MAGIC)
_FRAMES_AT = 32
_LENGTH_CRC = struct.Struct("<II")
_NUMBER_POSITION = struct.Struct("<QI")
_LINE_AT = _LENGTH_CRC.size + _NUMBER_POSITION.size


class SpoolError(RuntimeError):
    """The spool cannot be used: directory, disk space or another owner."""


def sync_directory(directory: Path) -> None:
    """Put the directory's entries onto the disk: a synced file that has no name would be lost."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def encode_frame(number: int, position: int, line: bytes) -> bytes:
    """Return the frame of one line; `line` must not be empty."""
    place = _NUMBER_POSITION.pack(number, position)
    return _LENGTH_CRC.pack(len(line), zlib.crc32(line, zlib.crc32(place))) + place + line


@dataclass(slots=True)
class Segment:
    """One mapped file; `last` is the number of the last line in it."""

    path: Path
    view: mmap.mmap
    fd: int
    last: int
    at: int = _FRAMES_AT

    @classmethod
    def create(cls, path: Path, size: int, acked: int) -> Segment:
        """Preallocate and map a new file.

        Raises:
            SpoolError: the directory is not writable, or the disk is full. (Without reserved blocks a full
                disk would kill the process instead, at some later line.)
        """
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SpoolError(f"cannot create spool file {path}: {error.strerror}") from error
        try:
            os.posix_fallocate(fd, 0, size)
            view = mmap.mmap(fd, size)
        except OSError as error:
            os.close(fd)
            path.unlink()
            raise SpoolError(
                f"cannot reserve {size} bytes for spool file {path}: {error.strerror}"
            ) from error
        view[:_ACK_AT] = _MAGIC
        segment = cls(path, view, fd, acked)
        segment.write_ack(acked)
        return segment

    def fits(self, size: int) -> bool:
        """Whether a frame of `size` bytes still fits."""
        return self.at + size <= len(self.view)

    def write(self, frame: bytes, number: int) -> None:
        """Append a frame that fits."""
        end = self.at + len(frame)
        self.view[self.at : end] = frame
        self.at = end
        self.last = number

    def write_ack(self, number: int) -> None:
        """Note in the header that the stream has every line up to `number`."""
        packed = _ACK.pack(number, zlib.crc32(number.to_bytes(8, "little")))
        self.view[_ACK_AT : _ACK_AT + _ACK.size] = packed

    def close(self, *, delete: bool) -> None:
        """Unmap the file and, when nothing in it is owed any more, delete it."""
        self.view.close()
        os.close(self.fd)
        if delete:
            self.path.unlink()


class LaneSpool:
    """A lane's lines that the stream does not have yet. Not thread-safe: the producer's lock guards it."""

    def __init__(
        self, directory: Path, lane: int, *, fdatasync: bool = False, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self._directory = directory
        self._lane = lane
        self._fdatasync = fdatasync
        self._segment_bytes = segment_bytes
        self._segments: deque[Segment] = deque()
        self._made = 0
        self.last = 0
        self.acked = 0

    def append(self, position: int, line: bytes) -> int:
        """Store a line and return its number.

        Raises:
            SpoolError: it cannot be stored; nothing changed.
        """
        number = self.last + 1
        frame = encode_frame(number, position, line)
        if not self._segments or not self._segments[-1].fits(len(frame)):
            self._add_segment(len(frame))
        self._segments[-1].write(frame, number)
        self.last = number
        return number

    def ack(self, number: int) -> None:
        """Note that the stream has every line up to `number`; delete the segments that hold no other."""
        self.acked = number
        self._segments[-1].write_ack(number)
        while len(self._segments) > 1 and self._segments[0].last <= number:
            self._segments.popleft().close(delete=True)

    def sync(self) -> None:
        """Put what was appended onto the disk itself (older segments were synced when they were left).

        Raises:
            OSError: the disk refused.
        """
        if self._segments:
            os.fdatasync(self._segments[-1].fd)

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of frames and headers written to the segments that are kept."""
        return sum(segment.at for segment in self._segments)

    def close(self) -> None:
        """Close the files; deleted when the stream has every line, else kept for the next producer."""
        for segment in self._segments:
            segment.close(delete=self.acked == self.last)
        self._segments.clear()

    def _add_segment(self, frame_bytes: int) -> None:
        size = max(self._segment_bytes, _FRAMES_AT + frame_bytes)
        if self._fdatasync:
            self.sync()
        path = self._directory / f"lane-{self._lane:04d}-{self._made + 1:08d}{SUFFIX}"
        segment = Segment.create(path, size, self.acked)
        self._segments.append(segment)
        self._made += 1
        if self._fdatasync:
            sync_directory(self._directory)


@dataclass(frozen=True, slots=True)
class SpooledLine:
    """A line read back: its number in its lane, its entity's position, its bytes."""

    number: int
    position: int
    line: bytes


@dataclass(slots=True)
class Recovered:
    """What a spool owes the stream, lane by lane and in order, and the files whose end did not check out."""

    lines: list[SpooledLine] = field(default_factory=list)
    torn: list[Path] = field(default_factory=list)


def decode_frames(data: bytes) -> tuple[list[SpooledLine], bool]:
    """Read frames up to the first that does not check out; tell whether bytes are left behind it."""
    lines: list[SpooledLine] = []
    at = 0
    while at + _LINE_AT <= len(data):
        length, crc = _LENGTH_CRC.unpack_from(data, at)
        end = at + _LINE_AT + length
        if not length or end > len(data) or crc != zlib.crc32(data[at + _LENGTH_CRC.size : end]):
            break
        number, position = _NUMBER_POSITION.unpack_from(data, at + _LENGTH_CRC.size)
        if lines and number != lines[-1].number + 1:
            break
        lines.append(SpooledLine(number, position, data[at + _LINE_AT : end]))
        at = end
    return lines, bool(data[at:].strip(b"\0"))


def _read_ack(header: bytes) -> int:
    if len(header) < _FRAMES_AT or header[:_ACK_AT] != _MAGIC:
        return 0
    number, crc = _ACK.unpack_from(header, _ACK_AT)
    # An acknowledgement that a crash tore counts as none: lines come twice rather than never.
    return int(number) if crc == zlib.crc32(number.to_bytes(8, "little")) else 0


def _lane_files(directory: Path) -> Iterator[list[Path]]:
    lanes: dict[str, list[Path]] = {}
    for path in sorted(directory.glob(f"lane-*{SUFFIX}")):
        lanes.setdefault(path.name.split("-")[1], []).append(path)
    yield from lanes.values()


def read_spool(directory: Path) -> Recovered:
    """Read what the spool in `directory` still owes the stream. Nothing is changed on disk."""
    found = Recovered()
    for paths in _lane_files(directory):
        acked = 0
        lines: list[SpooledLine] = []
        for path in paths:
            data = path.read_bytes()
            acked = max(acked, _read_ack(data[:_FRAMES_AT]))
            frames, torn = decode_frames(data[_FRAMES_AT:])
            lines += frames
            if torn:
                found.torn.append(path)
        found.lines += [line for line in lines if line.number > acked]
    return found


def oldest_waiting(directory: Path) -> tuple[float, int] | None:
    """Return since when (Unix seconds) lines in `directory` wait, and in how many lanes; None if none do.

    The time is that of the last write to the oldest segment with such a line, to half a minute: a lane that moves is
    never old. Nothing is changed on disk; a segment that its producer deletes meanwhile is skipped.
    """
    waiting = [since for paths in _lane_files(directory) if (since := _lane_waits(paths)) is not None]
    return (min(waiting), len(waiting)) if waiting else None


def _lane_waits(paths: list[Path]) -> float | None:
    try:
        # All but the newest segment are there only because they hold a line that is not acknowledged.
        if len(paths) == 1:
            data = paths[0].read_bytes()
            frames, _ = decode_frames(data[_FRAMES_AT:])
            if not frames or frames[-1].number <= _read_ack(data[:_FRAMES_AT]):
                return None
        return paths[0].stat().st_mtime
    except FileNotFoundError:
        return None
