"""Whatever bytes come, however they are split: read = accepted + refused, neighbours unharmed, nothing raised.

A plain interpreter on `json` judges the same generated events and must come to the same verdict.
"""

from __future__ import annotations

import base64
import json
import math
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.contracts import FEEDS
from domain.contracts.decode import Decoded, Decoder
from domain.contracts.model import Binary, Boolean, Choice, Column, Feed, Float, Integer, Text, Timestamp
from ingestion.landing.records import CorruptRecord, split_record

ARRIVED_MS = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)
OLDEST_MS = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000)
STATUS = Decoder([FEEDS["shipment_event"], FEEDS["driver_assignment_event"]])
GPS = Decoder([FEEDS["gps_location"]])
TELEMETRY = Decoder([FEEDS["driver_activity"], FEEDS["can_frame"]])
DECODERS = {"gps": GPS, "status": STATUS, "telemetry": TELEMETRY}
GOOD = json.dumps(
    {
        "feed": "shipment_event", "tenant_id": "acme", "event_id": "good", "recorded_at": ARRIVED_MS,
        "schema_version": 1, "shipment_id": "s1", "status": "created", "occurred_at": ARRIVED_MS, "origin": "device",
    }
).encode()  # fmt: skip


def decode(decoder: Decoder, records: list[list[bytes]]) -> Decoded:
    return decoder.decode(records, np.full(len(records), ARRIVED_MS * 1000, dtype=np.int64))


def places(found: Decoded) -> list[tuple[int, int]]:
    """Where every event went, accepted or refused, in order."""
    taken = [
        place for rows in found.rows for place in zip(rows.record.tolist(), rows.sub.tolist(), strict=True)
    ]
    return sorted(taken + [(refusal.record, refusal.sub) for refusal in found.refusals])


fragment = st.sampled_from(
    [
        b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\\u0000", b"\\ud800", b"\xff", b"\xed\xa0\x80", b"\0", b"\r",
        b"null", b"true", b"-0", b"1e999", b"9" * 40, b'"feed"', b'"\\u0066eed"', b'"shipment_event"', b"[" * 3000,
        b'{"a":' * 3000, b" " * 70_000, b"1" * 5000, GOOD, GOOD[:-1] + b',"x":' + b"[" * 3000, b"\xef\xbb\xbf",
    ]
)  # fmt: skip
junk = st.one_of(st.binary(max_size=80), st.lists(fragment, max_size=6).map(b"".join))
line = junk.map(lambda data: data.replace(b"\n", b" "))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.lists(line, max_size=4), max_size=5), st.sampled_from([STATUS, GPS]))
@example([[b"[" * 60_000], [GOOD[:-1] + b',"x":' + b"[" * 9000 + b"]" * 9000 + b"}"]], STATUS)
def test_every_line_is_accepted_or_refused_once(records: list[list[bytes]], decoder: Decoder) -> None:
    found = decode(decoder, records)
    assert places(found) == [(r, s) for r, lines in enumerate(records) for s in range(len(lines))]
    assert found.events == sum(map(len, records))
    for refusal in found.refusals:
        assert refusal.raw == records[refusal.record][refusal.sub]
        assert refusal.feed in {*decoder.feeds, "unknown"}
        refusal.detail.encode()  # goes into a Postgres text
    for rows in found.rows:
        rows.table.validate(full=True)
        values = [value for column in rows.table.to_pydict().values() for value in column]
        assert not any("\0" in value for value in values if isinstance(value, str))


@settings(deadline=None, max_examples=200)
@given(st.lists(line, max_size=4), st.integers(0, 4))
def test_a_good_line_lands_whatever_stands_beside_it(lines: list[bytes], at: int) -> None:
    at = min(at, len(lines))
    found = decode(STATUS, [[*lines[:at], GOOD, *lines[at:]]])
    taken = {
        place for rows in found.rows for place in zip(rows.record.tolist(), rows.sub.tolist(), strict=True)
    }
    assert (0, at) in taken


@settings(deadline=None, max_examples=200)
@given(st.lists(line, min_size=1, max_size=6), st.data())
def test_how_lines_are_cut_into_records_changes_no_verdict(lines: list[bytes], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=3)))
    records = [lines[a:b] for a, b in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    alone = [decode(STATUS, [[one]]) for one in lines]
    together = decode(STATUS, records)
    assert together.accepted == sum(found.accepted for found in alone)
    refused = sorted((r.record, r.sub, str(r.rule)) for r in together.refusals)
    assert [rule for *_, rule in refused] == [str(r.rule) for found in alone for r in found.refusals]


@settings(max_examples=300)
@given(
    st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda tail: b"\xf3\x89\x9a\xc2" + tail))
)
def test_any_record_is_split_or_corrupt(data: bytes) -> None:
    try:
        lines = split_record(data)
    except CorruptRecord:
        return
    assert b"".join(lines) == data.replace(b"\n", b"")
    assert all(lines)


# The reference: plain `json` and the contract's words, none of the decoder's code.


def valid(value: Any, column: Column) -> bool:
    low, high = column.between or (None, None)
    if value is None:
        return column.nullable
    match column.type:
        case Text(longest):
            return isinstance(value, str) and 1 <= len(value) <= longest and "\0" not in value
        case Choice(words):
            return value in words if isinstance(value, str) else False
        case Boolean():
            return isinstance(value, bool)
        case Integer(bits):
            limit = 1 if column.name == "schema_version" else 2 ** (bits - 1) - 1
            return isinstance(value, int) and valid_number(
                value, (low, min(limit, limit if high is None else high))
            )
        case Binary(longest):
            return isinstance(value, str) and is_base64(value) and len(base64.b64decode(value)) <= longest
        case Float():
            return valid_number(value, (low, high))
        case Timestamp():
            return valid_time(value)
        case other:
            raise AssertionError(other)


def valid_number(value: Any, between: tuple[float | None, float | None]) -> bool:
    low, high = between
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return (low is None or value >= low) and (high is None or value <= high)


def is_base64(text: str) -> bool:
    """Whether it is base64 with its padding (RFC 4648, section 4), by its letters alone."""
    return len(text) % 4 == 0 and re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text, re.ASCII) is not None


def valid_time(value: Any) -> bool:
    if isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return False
        return at.tzinfo is not None and OLDEST_MS <= at.timestamp() * 1000 <= ARRIVED_MS + 3_600_000
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return OLDEST_MS <= value <= ARRIVED_MS + 3_600_000


def judge(event: dict[str, Any], feed: Feed) -> bool:
    if event.get("feed", feed.name) != feed.name:
        return False
    apart = any((event.get(one) is None) != (event.get(other) is None) for one, other in feed.together)
    return not apart and all(valid(event.get(column.name), column) for column in feed)


odd = st.sampled_from(
    [None, True, False, 0, -1, 1, 2, 1.0, 0.5, -0.0, 2**15, 2**31, 2**63 - 1, 2**63, 2**70, 1e308, "", "x", "x" * 64,
     "x" * 65, "ä" * 64, "a\0", "\\u0000", [], {}, ["x"], ARRIVED_MS, ARRIVED_MS + 3_600_000, ARRIVED_MS + 3_600_001,
     OLDEST_MS, OLDEST_MS - 1, "2024-05-01T10:00:00Z", "2024-05-01T10:00:00+02:00", "2024-05-01T10:00:00",
     "1999-12-31T23:59:59+00:00", "2000-01-01T00:30:00+01:00", "2026-03-01T12:59:59.999999Z", "created", "device"]
)  # fmt: skip


def plausible(column: Column) -> st.SearchStrategy[Any]:
    low, high = column.between or (None, None)
    match column.type:
        case Text():
            return st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=66)
        case Choice(words):
            return st.sampled_from(words)
        case Boolean():
            return st.booleans()
        case Binary(longest):
            return st.binary(max_size=longest + 2).map(lambda data: base64.b64encode(data).decode())
        case Integer():
            return st.just(1) if column.name == "schema_version" else st.integers(-1, 2**63)
        case Float():
            return st.floats((low or 0) - 1, high + 1 if high is not None else 1e6)
        case _:
            return st.integers(OLDEST_MS, ARRIVED_MS + 3_600_000)


@st.composite
def events(draw: st.DrawFn, feed: Feed) -> dict[str, Any]:
    event = {"feed": feed.name} | {column.name: draw(plausible(column)) for column in feed}
    for name in draw(st.lists(st.sampled_from(feed.names), max_size=2)):
        event[name] = draw(odd)
    for name in draw(
        st.lists(st.sampled_from([c.name for c in feed if c.nullable] + ["event_id"]), max_size=2)
    ):
        event.pop(name, None)
    return event


def as_read(column: Column, value: Any) -> Any:
    return base64.b64decode(value) if isinstance(column.type, Binary) else value


@settings(deadline=None, max_examples=400)
@given(st.data(), st.sampled_from([feed for feed in FEEDS.values() if feed.stream]), st.booleans())
def test_verdict_and_values_are_those_of_a_plain_interpreter(
    data: st.DataObject, feed: Feed, escaped: bool
) -> None:
    batch = data.draw(st.lists(events(feed), min_size=1, max_size=4))
    found = decode(
        DECODERS[str(feed.stream)], [[json.dumps(event, ensure_ascii=escaped).encode() for event in batch]]
    )
    wanted = [event for event in batch if judge(event, feed)]
    assert found.accepted == len(wanted), [r.detail for r in found.refusals]
    plain = [c.name for c in feed if not isinstance(c.type, Timestamp)]
    rows = [row for part in found.rows for row in part.table.select(plain).to_pylist()]
    assert rows == [{name: as_read(feed.column(name), event.get(name)) for name in plain} for event in wanted]
