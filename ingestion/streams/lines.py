"""A file's lines on their way to a stream: which feed they name, whose entity they are. No line is judged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from domain.contracts import Feed

UNKNOWN_FEED = "unknown"
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Prepared:
    """A line as it goes out: whose entity it is, which feed it names, what makes it distinct."""

    data: bytes
    key: str
    feed: str
    identity: bytes


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def parse_object(line: bytes) -> dict[str, Any] | None:
    """Return the line's JSON object; None when it is anything else."""
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def splice_feed(line: bytes, feed: str) -> bytes:
    """Return the line with the feed behind its first brace; one that does not start with a brace as it is."""
    before, brace, rest = line.partition(b"{")
    if not brace or before.strip():
        return line
    comma = b"" if rest.lstrip().startswith(b"}") else b","
    return before + brace + b'"feed":' + json.dumps(feed).encode() + comma + rest


def prepare(line: bytes, feed: Feed, known: frozenset[str]) -> Prepared:
    """Make a line ready to go. Lines without a usable key are spread by their bytes."""
    value = parse_object(line)
    if value is None:
        data = splice_feed(line, feed.name)
        return Prepared(data, _digest(data).hex(), UNKNOWN_FEED, _digest(data))
    data = line if "feed" in value else splice_feed(line, feed.name)
    named = value.get("feed", feed.name)
    key, event_id = value.get(feed.entity_key), value.get("event_id")
    return Prepared(
        data,
        key if isinstance(key, str) and key else _digest(data).hex(),
        named if isinstance(named, str) and named in known else UNKNOWN_FEED,
        _digest(event_id.encode("utf-8", "surrogatepass")) if isinstance(event_id, str) else _digest(data),
    )


def read_lines(source: BinaryIO) -> Iterator[bytes]:
    """Yield the lines that are not blank, without their newline and without the file's byte-order mark."""
    for number, line in enumerate(source):
        stripped = line.removeprefix(_BOM) if number == 0 else line
        if stripped.strip():
            yield stripped.removesuffix(b"\n")
