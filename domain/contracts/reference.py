"""The reference page of all feeds and entities, as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from domain.contracts.dbt_sources import bounds
from domain.contracts.model import (
    Binary,
    Boolean,
    Choice,
    Column,
    Date,
    Decimal,
    Feed,
    Float,
    Integer,
    Rule,
    Text,
    Timestamp,
    Type,
)

_EVERY_LINE = (Rule.MALFORMED_JSON, Rule.INVALID_UTF8, Rule.NOT_AN_OBJECT, Rule.OVERSIZED, Rule.UNKNOWN_FEED)
_EVERY_EVENT = (Rule.UNSUPPORTED_VERSION, Rule.MISSING_REQUIRED, Rule.WRONG_TYPE)
_EVERY_TIME = (Rule.TIMESTAMP_WITHOUT_ZONE, Rule.TIME_TOO_OLD, Rule.TIME_IN_FUTURE)

RULES: Mapping[Rule, str] = {
    Rule.MALFORMED_JSON: "The line is not JSON.",
    Rule.INVALID_UTF8: "The line is not UTF-8; in a partner's file, not in the declared encoding.",
    Rule.NOT_AN_OBJECT: "The line is JSON, but no object.",
    Rule.UNKNOWN_FEED: "`feed` names no feed of the stream, or is missing where the stream carries several.",
    Rule.UNSUPPORTED_VERSION: "`schema_version` is newer than the contract.",
    Rule.MISSING_REQUIRED: "A required column is absent or null, or a text is empty.",
    Rule.WRONG_TYPE: "A value is of another type, or a text holds the NUL character.",
    Rule.OUT_OF_RANGE: "A number is outside its range. (NaN and infinities are no JSON: malformed_json.)",
    Rule.UNKNOWN_VALUE: "A word is not of the column's vocabulary.",
    Rule.TOO_LONG: "A text is longer than its limit.",
    Rule.OVERSIZED: "The line is over 64 KiB.",
    Rule.TIMESTAMP_WITHOUT_ZONE: "A time is text without a zone.",
    Rule.TIME_TOO_OLD: "A time is before 2000-01-01.",
    Rule.TIME_IN_FUTURE: "A time is more than an hour after arrival.",
    Rule.POSITION_INCOMPLETE: "Of two columns that belong together, only one is there.",
    Rule.CORRUPT_RECORD: "A record on the stream is a truncated or damaged KPL aggregate.",
    Rule.WRONG_SHAPE: "A line of a partner's file has not the fields of its header, or not the declared length.",
}


def page(feeds: Mapping[str, Feed], entities: Mapping[str, Feed]) -> str:
    """Return the Markdown page, ending in one newline."""
    return "\n".join(_lines(feeds, entities)).rstrip() + "\n"


def reject_rules(feed: Feed) -> tuple[Rule, ...]:
    """Return the rules by which a line of this feed may be refused, in the order of the vocabulary."""
    rules = {*_EVERY_LINE, *_EVERY_EVENT, *(rule for column in feed for rule in _rules_of(column))}
    rules |= {Rule.POSITION_INCOMPLETE} if feed.together else set()
    rules |= {Rule.WRONG_SHAPE} if feed.partner else set()
    return tuple(rule for rule in Rule if rule in rules)


def _rules_of(column: Column) -> tuple[Rule, ...]:
    match column.type:
        case Text() | Binary():
            return (Rule.TOO_LONG,)
        case Choice():
            return (Rule.UNKNOWN_VALUE,)
        case Timestamp():
            return _EVERY_TIME
        case Integer() | Float() | Decimal():
            return (Rule.OUT_OF_RANGE,)
        case Boolean() | Date():
            return ()


def _lines(feeds: Mapping[str, Feed], entities: Mapping[str, Feed]) -> Iterator[str]:
    yield "# Feeds and entities"
    yield ""
    yield "What FleetFlow takes in, column by column. Times are instants in UTC: on the wire epoch"
    yield "milliseconds or RFC 3339 with a zone. One JSON object per line: the columns below and `feed`."
    yield ""
    both = (*feeds.values(), *entities.values())
    yield from (f"- [{feed.name}](#{feed.name}): {feed.doc}" for feed in both)
    yield from ("", "# Streams", "")
    for feed in feeds.values():
        if feed.stream:
            yield from _stream(feed)
    yield from ("# Partner files", "")
    yield "Read from files by the partner's declaration; `shipment_event` comes in them too. Dates, numbers and"
    yield from ("units are the partner's own there and these here.", "")
    for feed in feeds.values():
        if feed.partner:
            yield from _partner(feed)
    yield from ("# Entities of the order database", "")
    yield "Mirrored by CDC into `source.<entity>` (what is) and `source.<entity>_history` (every change)."
    yield from ("Columns with personal data stay in the order database.", "")
    for entity in entities.values():
        yield from (*_heading(entity), *_table(entity), "")
    yield from _vocabulary()


def _heading(feed: Feed) -> Iterator[str]:
    yield from (f"## {feed.name}", "", f"{feed.doc} Version {feed.version}.{feed.minor}.", "")
    yield f"Key: `{', '.join(feed.key)}`. Event time: `{feed.event_time}`. Belongs to: `{feed.entity_key}`."
    yield ""


def _stream(feed: Feed) -> Iterator[str]:
    yield from _heading(feed)
    yield f"Stream: the one that `FLEETFLOW_{str(feed.stream).upper()}_STREAM` names. Partition key:"
    yield from (f"`{feed.entity_key}`. Table: `landing.{feed.name}`.", "")
    yield from (*_table(feed), "")
    yield from (f"Both or neither: `{one}`, `{other}`." for one, other in feed.together)
    yield from ([""] if feed.together else [])
    yield "Refused by: " + ", ".join(f"[{rule}](#reject-rules)" for rule in reject_rules(feed)) + "."
    yield ""


def _partner(feed: Feed) -> Iterator[str]:
    yield from _heading(feed)
    yield from (f"Table: `landing.{feed.name}`.", "", *_table(feed), "")
    yield from (f"Both or neither: `{one}`, `{other}`." for one, other in feed.together)
    yield ""


def _table(feed: Feed) -> Iterator[str]:
    yield "| column | type | unit | range or values | null | personal | meaning |"
    yield "|---|---|---|---|---|---|---|"
    for column in feed:
        cells = (
            f"`{column.name}`",
            _word(column.type),
            column.unit or "",
            _range(column),
            "yes" if column.nullable else "",
            "yes" if column.pii else "",
            column.doc,
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _word(of: Type) -> str:
    match of:
        case Text(max_length):
            return f"text, 1 to {max_length}"
        case Binary(max_length):
            return f"bytes, 0 to {max_length}, base64"
        case Integer(bits):
            return f"integer, {bits} bits"
        case Decimal(precision, scale):
            return f"decimal({precision}, {scale})"
        case _:
            return type(of).__name__.lower()


def _range(column: Column) -> str:
    if isinstance(column.type, Choice):
        return ", ".join(column.type.values)
    return bounds(column.between) if column.between else ""


def _vocabulary() -> Iterator[str]:
    yield from ("# Reject rules", "", "The closed vocabulary of `ops.rejected.rule`.", "")
    yield from ("| rule | meaning |", "|---|---|")
    yield from (f"| `{rule}` | {RULES[rule]} |" for rule in Rule)
