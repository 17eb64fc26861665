"""The wire form of a feed: one JSON object a line, read by a typed struct that enforces types, ranges and lengths.

A struct is built from the contract, so a column is declared once. Times are epoch milliseconds or RFC 3339 with a
zone. `refuse` is called only for a line that the struct did not take: it says which rule it broke, in the closed
vocabulary of `Rule`, most general rule first (a newer version is that, whatever else is odd about it).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Union

import msgspec
from msgspec import Meta

from domain.contracts.model import (
    Binary,
    Boolean,
    Choice,
    Column,
    ContractError,
    Feed,
    Float,
    Integer,
    Rule,
    Text,
    Timestamp,
)

MAX_EVENT_BYTES = 64 << 10
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
EARLIEST_MS = int(EARLIEST.timestamp() * 1000)
LATEST_MS = 253_402_300_799_999  # the end of year 9999, the last instant that a datetime holds
FUTURE_TOLERANCE_S = 3600
NUL_CHARACTER = "a text holds the NUL character, which no Postgres text can"

# What msgspec says of a value, and the rule that it means; the first that fits counts.
_RULES = (
    ("timezone component", Rule.TIMESTAMP_WITHOUT_ZONE),
    ("Invalid enum value", Rule.UNKNOWN_VALUE),
    ("of length <=", Rule.TOO_LONG),
    ("of length >=", Rule.MISSING_REQUIRED),
    (f">= {EARLIEST_MS}", Rule.TIME_TOO_OLD),
    (f"<= {LATEST_MS}", Rule.TIME_IN_FUTURE),
    ("out of range", Rule.OUT_OF_RANGE),
    (" >= ", Rule.OUT_OF_RANGE),
    (" <= ", Rule.OUT_OF_RANGE),
)

_FEED_TAG = re.compile(rb'"feed"\s*:\s*"([a-z_]{1,64})"')
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
_FIELD = re.compile(r"missing required field `([^`]+)`")


def wire_type(column: Column) -> Any:
    """Return the annotated type by which msgspec reads a column.

    Raises:
        ContractError: the column's type has no wire form.
    """
    low, high = column.between or (None, None)
    match column.type:
        case Text(max_length):
            base: Any = Annotated[str, Meta(min_length=1, max_length=max_length)]
        case Integer(bits):
            limit = 2 ** (bits - 1)
            base = Annotated[int, Meta(ge=int(-limit if low is None else low), le=int(high or limit - 1))]
        case Float():
            base = Annotated[float, Meta(ge=low, le=high)] if column.between else float
        case Boolean():
            base = bool
        case Choice(values):
            base = Literal[values]
        case Binary(max_length):
            base = Annotated[bytes, Meta(max_length=max_length)]
        case Timestamp():
            instant = Annotated[datetime, Meta(tz=True)]
            base = Union[Annotated[int, Meta(ge=EARLIEST_MS, le=LATEST_MS)], instant]  # noqa: UP007
        case other:
            raise ContractError(f"{column.name}: {type(other).__name__} has no wire form")
    return Union[base, None] if column.nullable else base  # noqa: UP007


def event_type(feed: Feed) -> type[msgspec.Struct]:
    """Build the struct of a feed; its fields stand in the contract's order."""
    required = [(c.name, _versioned(feed, c)) for c in feed if not c.nullable]
    optional = [(c.name, wire_type(c), None) for c in feed if c.nullable]
    return msgspec.defstruct(
        feed.name, [*required, *optional], tag=feed.name, tag_field="feed", gc=False, kw_only=False
    )


def _versioned(feed: Feed, column: Column) -> Any:
    if column.name == "schema_version":
        return Annotated[int, Meta(ge=1, le=feed.version)]
    return wire_type(column)


def feed_of(line: bytes, known: Iterable[str], default: str | None) -> str:
    """Return the feed that a bad line names, else the stream's only feed, else `unknown`."""
    match = _FEED_TAG.search(line)
    if match and (name := match[1].decode()) in known:
        return name
    return "unknown" if match or default is None else default


def refuse(
    line: bytes, fault: Exception, feeds: Mapping[str, Feed], default: str | None
) -> tuple[str, Rule, str]:
    """Say why a line was not taken: feed, rule, detail in words."""
    feed = feed_of(line, feeds, default)
    if len(line) > MAX_EVENT_BYTES:
        return feed, Rule.OVERSIZED, f"{len(line)} bytes, at most {MAX_EVENT_BYTES} are taken"
    if isinstance(fault, UnicodeDecodeError) or not _is_utf8(line):
        return feed, Rule.INVALID_UTF8, "not UTF-8"
    try:
        return _refuse_text(line, feed, fault, feeds, default)
    except RecursionError:
        return feed, Rule.MALFORMED_JSON, "nested too deep to be read"


def _refuse_text(
    line: bytes, feed: str, fault: Exception, feeds: Mapping[str, Feed], default: str | None
) -> tuple[str, Rule, str]:
    try:
        whole = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as malformed:
        huge = "out of range" in str(malformed)
        return feed, Rule.OUT_OF_RANGE if huge else Rule.MALFORMED_JSON, str(malformed)
    if not isinstance(whole, dict):
        return feed, Rule.NOT_AN_OBJECT, f"a {type(whole).__name__}, not an object"
    return _refuse_object(whole, fault, feeds, default)


def _refuse_object(
    whole: dict[str, Any], fault: Exception, feeds: Mapping[str, Feed], default: str | None
) -> tuple[str, Rule, str]:
    name = whole.get("feed", default)
    if not isinstance(name, str) or name not in feeds:
        return "unknown", Rule.UNKNOWN_FEED, f"feed {name!r} is none of {', '.join(feeds)}"
    version = whole.get("schema_version")
    if isinstance(version, int) and version > feeds[name].version:
        return (
            name,
            Rule.UNSUPPORTED_VERSION,
            f"schema_version {version}, up to {feeds[name].version} is read",
        )
    if isinstance(fault, RecursionError):
        raise fault
    return name, *_rule_of(str(fault), whole)


def _rule_of(message: str, whole: dict[str, Any]) -> tuple[Rule, str]:
    if missing := _FIELD.search(message):
        return Rule.MISSING_REQUIRED, f"{missing[1]} is missing"
    if message == NUL_CHARACTER:
        return Rule.WRONG_TYPE, message
    place = _PLACE.search(message)
    column = place[1] if place else ""
    value = whole.get(column)
    if value is None:
        return Rule.MISSING_REQUIRED, f"{column} is null"
    rule = next((rule for part, rule in _RULES if part in message), Rule.WRONG_TYPE)
    return rule, f"{column} = {str(value)[:64]!r}: {message}"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
