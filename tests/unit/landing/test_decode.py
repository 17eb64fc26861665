"""Every way in which a line can be bad, each with its rule; the neighbours always land."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest

from domain.contracts import FEEDS
from domain.contracts.decode import Decoded, Decoder
from domain.contracts.wire import MAX_EVENT_BYTES

NOW_MS = int(time.time() * 1000)
GPS: dict[str, Any] = {
    "feed": "gps_location",
    "tenant_id": "acme",
    "event_id": "e1",
    "recorded_at": NOW_MS,
    "schema_version": 1,
    "vehicle_id": "v1",
    "fixed_at": NOW_MS,
    "lat": 52.5,
    "lon": 13.4,
    "speed_kmh": 50,
    "heading_deg": 90.5,
}
STATUS: dict[str, Any] = {
    "feed": "shipment_event",
    "tenant_id": "acme",
    "event_id": "e2",
    "recorded_at": "2024-05-01T10:00:00.123456Z",
    "schema_version": 1,
    "shipment_id": "s1",
    "status": "created",
    "occurred_at": "2024-05-01T12:00:00+02:00",
    "origin": "order_system",
}


def line(event: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({k: v for k, v in {**event, **changes}.items() if v is not ...}).encode()


def decode(lines: list[bytes], *feeds: str) -> Decoded:
    decoder = Decoder([FEEDS[name] for name in feeds or ("gps_location",)])
    return decoder.decode([lines], np.asarray([NOW_MS * 1000], dtype=np.int64))


BAD_GPS: list[tuple[str, bytes, str, str]] = [
    ("cut off", line(GPS)[:-5], "malformed_json", "gps_location"),
    ("NaN", line(GPS).replace(b"52.5", b"NaN"), "malformed_json", "gps_location"),
    ("trailing", line(GPS) + b"x", "malformed_json", "gps_location"),
    ("bare text", b"hello", "malformed_json", "gps_location"),
    ("nested too deep", b"[" * 60_000, "malformed_json", "gps_location"),
    (
        "nested too deep in an unknown column",
        line(GPS, note=...)[:-1] + b',"x":' + b"[" * 9000 + b"]" * 9000 + b"}",
        "malformed_json",
        "gps_location",
    ),
    ("array", b"[1, 2]", "not_an_object", "gps_location"),
    ("number", b"17", "not_an_object", "gps_location"),
    ("not UTF-8", line(GPS).replace(b"acme", b"\xff\xfe"), "invalid_utf8", "gps_location"),
    (
        "not UTF-8 in an unknown column",
        line(GPS, note="?").replace(b"?", b"\xff"),
        "invalid_utf8",
        "gps_location",
    ),
    ("other feed", line(GPS, feed="weather"), "unknown_feed", "unknown"),
    ("feed of another type", line(GPS, feed=5), "unknown_feed", "unknown"),
    ("newer version", line(GPS, schema_version=2, lat="moved"), "unsupported_version", "gps_location"),
    ("version zero", line(GPS, schema_version=0), "out_of_range", "gps_location"),
    ("no vehicle", line(GPS, vehicle_id=...), "missing_required", "gps_location"),
    ("null vehicle", line(GPS, vehicle_id=None), "missing_required", "gps_location"),
    ("empty vehicle", line(GPS, vehicle_id=""), "missing_required", "gps_location"),
    ("text for number", line(GPS, lat="52.5"), "wrong_type", "gps_location"),
    ("number for text", line(GPS, vehicle_id=7), "wrong_type", "gps_location"),
    ("text 'NaN'", line(GPS, speed_kmh="NaN"), "wrong_type", "gps_location"),
    ("NUL character", line(GPS, vehicle_id="v\0"), "wrong_type", "gps_location"),
    ("not a time", line(GPS, fixed_at="yesterday"), "wrong_type", "gps_location"),
    ("fraction of a millisecond", line(GPS, fixed_at=NOW_MS + 0.5), "wrong_type", "gps_location"),
    ("lat 91", line(GPS, lat=91), "out_of_range", "gps_location"),
    ("infinite", line(GPS).replace(b"52.5", b"1e999"), "out_of_range", "gps_location"),
    ("speed 251", line(GPS, speed_kmh=251), "out_of_range", "gps_location"),
    ("65 characters", line(GPS, vehicle_id="v" * 65), "too_long", "gps_location"),
    ("64 KiB and one", line(GPS, note="x" * MAX_EVENT_BYTES), "oversized", "gps_location"),
    ("no zone", line(GPS, fixed_at="2024-05-01T10:00:00"), "timestamp_without_zone", "gps_location"),
    ("1970", line(GPS, fixed_at=0), "time_too_old", "gps_location"),
    ("1999 as text", line(GPS, fixed_at="1999-12-31T23:59:59Z"), "time_too_old", "gps_location"),
    ("year 1 far east", line(GPS, fixed_at="0001-01-01T00:00:00+14:00"), "time_too_old", "gps_location"),
    ("in two hours", line(GPS, fixed_at=NOW_MS + 7_200_000), "time_in_future", "gps_location"),
    ("year 11,000", line(GPS, fixed_at=284_996_620_800_000), "time_in_future", "gps_location"),
    ("beyond 64 bits", line(GPS, fixed_at=10**30), "time_in_future", "gps_location"),
]


@pytest.mark.parametrize(
    ("bad", "rule", "feed"), [case[1:] for case in BAD_GPS], ids=[case[0] for case in BAD_GPS]
)
def test_bad_line_is_refused_and_its_neighbours_land(bad: bytes, rule: str, feed: str) -> None:
    found = decode([line(GPS, event_id="before"), bad, line(GPS, event_id="after")])
    assert [str(r.rule) for r in found.refusals] == [rule]
    refusal = found.refusals[0]
    assert (refusal.raw, refusal.feed, refusal.record, refusal.sub) == (bad, feed, 0, 1)
    assert found.rows[0].table["event_id"].to_pylist() == ["before", "after"]
    assert found.rows[0].sub.tolist() == [0, 2]
    assert found.events == 3


@pytest.mark.parametrize(
    ("bad", "rule", "feed"),
    [
        (line(STATUS, status="teleported"), "unknown_value", "shipment_event"),
        (line(STATUS, origin="rumour"), "unknown_value", "shipment_event"),
        (line(STATUS, lat=1.0), "position_incomplete", "shipment_event"),
        (line(STATUS, sequence=-1), "out_of_range", "shipment_event"),
        (line(STATUS, sequence=2**63), "out_of_range", "shipment_event"),
        (line(STATUS, feed=...), "unknown_feed", "unknown"),
        (b'{"feed":"shipment_event","status":', "malformed_json", "shipment_event"),
        (b"{", "malformed_json", "unknown"),
    ],
)
def test_bad_line_on_a_stream_of_two_feeds(bad: bytes, rule: str, feed: str) -> None:
    found = decode([bad, line(STATUS)], "shipment_event", "driver_assignment_event")
    assert [(str(r.rule), r.feed) for r in found.refusals] == [(rule, feed)]
    assert found.accepted == 1


def test_escaped_backslash_before_u0000_is_no_nul() -> None:
    found = decode([line(GPS, vehicle_id="v\\u0000")])
    assert found.rows[0].table["vehicle_id"].to_pylist() == ["v\\u0000"]


def test_times_of_both_layouts_are_the_same_instant() -> None:
    as_number = 1_714_557_600_123
    found = decode(
        [line(STATUS, recorded_at=as_number), line(STATUS, recorded_at="2024-05-01T12:00:00.123+02:00")],
        "shipment_event",
        "driver_assignment_event",
    )
    stamps = [value.timestamp() for value in found.rows[0].table["recorded_at"].to_pylist()]
    assert stamps == [1_714_557_600.123, 1_714_557_600.123]


def test_unknown_columns_are_left_out_and_missing_optional_ones_are_null() -> None:
    table = decode([line(GPS, colour="red")]).rows[0].table
    assert "colour" not in table.column_names
    assert table["driver_id"].to_pylist() == [None]


def test_places_hold_over_chunks_and_records() -> None:
    records = [[line(GPS, event_id=f"{r}-{i}") for i in range(700)] for r in range(7)]
    records[3][5] = b"nonsense"
    decoder = Decoder([FEEDS["gps_location"]])
    found = decoder.decode(records, np.full(7, NOW_MS * 1000, dtype=np.int64))
    rows = found.rows[0]
    ids = [f"{r}-{s}" for r, s in zip(rows.record.tolist(), rows.sub.tolist(), strict=True)]
    assert rows.table["event_id"].to_pylist() == ids
    assert len(ids) == 7 * 700 - 1
    assert [(r.record, r.sub) for r in found.refusals] == [(3, 5)]


def test_two_broken_lines_do_not_make_a_whole_character() -> None:
    """An unknown column may end in the first byte of a character, and the next line begin with its second."""
    head, tail = b'{"feed":"gps_location","x":"\xc3', b"\xa9"
    found = decode([head, tail, line(GPS)])
    assert [str(r.rule) for r in found.refusals] == ["invalid_utf8", "invalid_utf8"]
    assert found.accepted == 1
