"""What `fleetflow send` does to lines before they go out."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest

from domain.contracts import FEEDS
from fleetflow.commands.send import Tally, paced, write_truth
from ingestion.streams.lines import prepare, read_lines, splice_feed

GPS = FEEDS["gps_location"]
KNOWN = frozenset(FEEDS)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (b'{"a":1}', b'{"feed":"f","a":1}'),
        (b"{}", b'{"feed":"f"}'),
        (b' { "a":1}', b' {"feed":"f", "a":1}'),
        (b"{ }", b'{"feed":"f" }'),
        (b'{"a":', b'{"feed":"f","a":'),
        (b'{"a":"\xff"}', b'{"feed":"f","a":"\xff"}'),
        (b'[{"a":1}]', b'[{"a":1}]'),
        (b"42", b"42"),
        (b"garbage", b"garbage"),
    ],
)
def test_the_feed_goes_behind_a_leading_brace_only(line: bytes, wanted: bytes) -> None:
    assert splice_feed(line, "f") == wanted


def test_a_good_line_is_keyed_by_its_entity_and_named() -> None:
    line = prepare(b'{"event_id":"e1","vehicle_id":"V7"}', GPS, KNOWN)
    assert json.loads(line.data) == {"feed": "gps_location", "event_id": "e1", "vehicle_id": "V7"}
    assert (line.key, line.feed) == ("V7", "gps_location")


@pytest.mark.parametrize("name", ["shipment_event", "driver_assignment_event"])
def test_status_feeds_are_keyed_by_the_shipment(name: str) -> None:
    assert prepare(b'{"shipment_id":"S1","vehicle_id":"V7"}', FEEDS[name], KNOWN).key == "S1"


@pytest.mark.parametrize(
    ("own", "counted"),
    [
        (b'"shipment_event"', "shipment_event"),
        (b'"nope"', "unknown"),
        (b"null", "unknown"),
        (b"3", "unknown"),
    ],
)
def test_a_feed_of_its_own_is_left_as_it_is(own: bytes, counted: str) -> None:
    raw = b'{"feed":%s,"vehicle_id":"V1"}' % own
    line = prepare(raw, GPS, KNOWN)
    assert (line.data, line.feed) == (raw, counted)


def test_a_nested_feed_is_not_the_line_s_own() -> None:
    assert prepare(b'{"x":{"feed":"a"}}', GPS, KNOWN).data.startswith(b'{"feed":"gps_location","x"')


@pytest.mark.parametrize(
    "raw",
    [b"nonsense", b"[1]", b"12", b'{"a":', b'{"a":"\xff"}', b"[" * 100_000, b"9" * 5000, b"\x00", b"null"],
)
def test_what_is_no_object_goes_out_as_unknown_and_spread_by_its_bytes(raw: bytes) -> None:
    line = prepare(raw, GPS, KNOWN)
    assert line.feed == "unknown"
    assert line.data in {raw, splice_feed(raw, "gps_location")}
    assert line.key == prepare(raw, GPS, KNOWN).key != prepare(raw + b"1", GPS, KNOWN).key


@pytest.mark.parametrize("value", ["null", "7", '""', "[1]"])
def test_an_entity_that_is_no_text_is_no_key(value: str) -> None:
    line = prepare(b'{"vehicle_id":%s}' % value.encode(), GPS, KNOWN)
    assert len(line.key) == 32
    assert line.feed == "gps_location"


def test_a_key_with_a_lone_surrogate_is_sent() -> None:
    line = prepare(b'{"event_id":"\\ud800","vehicle_id":"\\ud800"}', GPS, KNOWN)
    assert line.key == "\ud800"


def test_distinct_counts_event_ids_and_whole_lines_without_one() -> None:
    tally = Tally()
    for raw in (
        b'{"event_id":"a","n":1}', b'{"event_id":"a","n":2}', b'{"event_id":"b"}',
        b'{"n":1}', b'{"n":1}', b"x", b"x",
    ):  # fmt: skip
        tally.add(prepare(raw, GPS, KNOWN))
    assert tally.feeds() == {
        "gps_location": {"sent": 5, "distinct": 3, "valid_distinct": None, "invalid": None},
        "unknown": {"sent": 2, "distinct": 1, "valid_distinct": None, "invalid": None},
    }


def test_blank_lines_and_the_byte_order_mark_are_no_lines() -> None:
    source = io.BytesIO(b'\xef\xbb\xbf{"a":1}\n\n  \n\r\n{"b":2}\r\nlast')
    assert list(read_lines(source)) == [b'{"a":1}', b'{"b":2}\r', b"last"]


@pytest.mark.parametrize(("rate", "lines"), [(20.0, 5), (2000.0, 400)])
def test_a_rate_is_kept(rate: float, lines: int) -> None:
    started = time.monotonic()
    assert len(list(paced(iter([b"x"] * lines), rate))) == lines
    assert time.monotonic() - started >= (lines - 1) / rate - 0.03


def test_the_truth_is_written_whole(tmp_path: Path) -> None:
    path = write_truth(tmp_path / "sent", "send-1", {"run": "send-1", "feeds": {}})
    assert json.loads(path.read_text()) == {"run": "send-1", "feeds": {}}
    assert [p.name for p in path.parent.iterdir()] == ["send-1.json"]
