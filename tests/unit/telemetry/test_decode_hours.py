"""Vehicle-hours decoded each on its own: in any order, repeated or not, together or alone, the same rows."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from ingestion.telemetry.hours import (
    OUTCOMES,
    WINDOW_FRAMES,
    DecodedHours,
    VehicleHour,
    decode_hours,
    lay_windows,
)
from ingestion.telemetry.manifest import Manifest
from ingestion.telemetry.rollup import code_reports, frame_counts, signal_minutes, unknown_ids
from ingestion.telemetry.routes import BusProtocol, Decoder

HOUR = datetime(2026, 3, 9, 10, tzinfo=UTC)
EEC1, BAM, PACKET = 0x0CF00400, 0x18ECFF00, 0x18EBFF00
STANDARD = Manifest(1, (Decoder("standard", 1, ("truck",), (0, 9999), ("can0",), BusProtocol.J1939),))
Row = dict[str, Any]


def frame(at: datetime, arbitration_id: int, payload: bytes, **changes: Any) -> Row:
    row = {
        "tenant_id": "acme", "vehicle_id": "t", "event_id": f"{at.timestamp()}-{arbitration_id}",
        "recorded_at": at, "captured_at": at, "channel": "can0", "arbitration_id": arbitration_id,
        "is_extended": True, "payload": payload,
    }  # fmt: skip
    return row | changes


def speed(at: datetime, rpm: int, **changes: Any) -> Row:
    return frame(at, EEC1, b"\xff\xff\xff" + (rpm * 8).to_bytes(2, "little") + b"\xff\xff\xff", **changes)


def broadcast(at: datetime, apart: timedelta) -> list[Row]:
    """DM1 with two codes: ten bytes in two packets."""
    message = bytes([0x04, 0xFF, 110, 0, 0, 3, 100, 0, 1, 9])
    announced = frame(at, BAM, bytes([32, 10, 0, 2, 0xFF, 0xCA, 0xFE, 0]))
    packets = [bytes([1]) + message[:7], bytes([2]) + message[7:].ljust(7, b"\xff")]
    return [announced, *(frame(at + apart * (n + 1), PACKET, data) for n, data in enumerate(packets))]


def decoded(
    rows: list[Row], begin: datetime = HOUR, hours: int = 2, since: date | None = None
) -> DecodedHours:
    known = {("acme", vehicle): ("truck", 2020, since) for vehicle in ("t", "u")}
    schema = pa.schema([("tenant_id", pa.string()), ("vehicle_id", pa.string()), *list(WINDOW_FRAMES)[1:]])
    table = pa.Table.from_pylist(rows, schema=schema)
    return decode_hours(*lay_windows(table, begin, begin + timedelta(hours=hours), known), STANDARD)


def rows_of(done: DecodedHours) -> list[Any]:
    def placed(window: int) -> VehicleHour:
        return done.hours[window]

    minutes = [(placed(row.pop("window")), tuple(row.values())) for row in signal_minutes(done).to_pylist()]
    return [
        sorted(minutes, key=str),
        [(placed(one.window), one[1:]) for one in code_reports(done)],
        sorted(zip(done.hours, frame_counts(done), strict=True), key=str),
        sorted(((placed(one.window), one[1:]) for one in unknown_ids(done)), key=str),
    ]


@pytest.fixture
def frames() -> list[Row]:
    dice = random.Random(4)
    rows = [
        speed(HOUR + timedelta(seconds=dice.uniform(0, 7_200)), dice.randrange(600, 2_000))
        for _ in range(300)
    ]
    rows += [row | {"vehicle_id": "u", "event_id": row["event_id"] + "u"} for row in rows[:100]]
    rows += broadcast(HOUR + timedelta(hours=1, milliseconds=-150), timedelta(milliseconds=100))
    rows += [frame(HOUR + timedelta(minutes=n), 0x18FFAA00, bytes([n])) for n in range(5)]
    return rows


@pytest.mark.parametrize("seed", range(5))
def test_neither_order_nor_repetition_shows(frames: list[Row], seed: int) -> None:
    dice = random.Random(seed)
    again = [*frames, *dice.sample(frames, 60)]
    dice.shuffle(again)
    assert rows_of(decoded(again)) == rows_of(decoded(frames))


def test_hours_come_to_the_same_alone_and_together(frames: list[Row]) -> None:
    together = rows_of(decoded(frames))
    one, other = (rows_of(decoded(frames, HOUR + timedelta(hours=n), 1)) for n in (0, 1))
    assert [sorted(a + b, key=str) for a, b in zip(one, other, strict=True)] == [
        sorted(x, key=str) for x in together
    ]


def test_a_broadcast_over_the_hour_is_read_where_it_ends() -> None:
    done = decoded(broadcast(HOUR + timedelta(hours=1, milliseconds=-150), timedelta(milliseconds=100)))
    (report,) = code_reports(done)
    assert done.hours[report.window].hour == HOUR + timedelta(hours=1)
    assert report.codes == '[{"spn": 100, "fmi": 1, "count": 9}, {"spn": 110, "fmi": 0, "count": 3}]'
    assert report.lamps == ["amber_warning_lamp"]
    assert [one.frames for one in frame_counts(done)] == [2, 1]


def test_of_two_contents_of_an_event_the_one_sent_first_counts() -> None:
    at = HOUR + timedelta(minutes=1)
    first, second = speed(at, 800), speed(at, 900, recorded_at=at + timedelta(seconds=1))
    for rows in ([first, second], [second, first]):
        (minute,) = signal_minutes(decoded(rows)).to_pylist()
        assert (minute["samples"], minute["last_value"]) == (1, 800)


def test_times_that_cannot_be_are_counted_and_not_decoded() -> None:
    at = HOUR + timedelta(minutes=1)
    rows = [
        speed(at, 800, event_id="ahead", recorded_at=at - timedelta(seconds=61)),
        speed(at, 800, event_id="off", recorded_at=at - timedelta(seconds=5)),
        speed(at, 800, event_id="right"),
    ]
    (count,) = frame_counts(decoded(rows))
    found = dict(zip(OUTCOMES, count.outcomes, strict=True))
    assert (found["clock_ahead"], found["decoded"], count.clock_off) == (1, 2, 2)
    (count,) = frame_counts(decoded(rows[2:], since=HOUR.date() + timedelta(days=2)))
    assert dict(zip(OUTCOMES, count.outcomes, strict=True))["before_service"] == 1


def test_equal_reports_in_a_row_are_one_run() -> None:
    def report(seconds: int, count: int) -> Row:
        payload = bytes([0, 0xFF, 110, 0, 0, count, 0xFF, 0xFF])
        return frame(HOUR + timedelta(seconds=seconds), 0x18FECA00, payload)

    rows = [report(n, 1) for n in range(5)] + [report(5, 2), report(6, 1)]
    runs = [
        (one.reported_at.second, one.last_reported_at.second, one.reports)
        for one in code_reports(decoded(rows))
    ]
    assert runs == [(0, 4, 5), (5, 5, 1), (6, 6, 1)]
