"""What senders sent and when, as their truth files say it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from quality.reconcile import SentWindow, read_sent_windows
from quality.reconcile.sent import sent_within

TEN = datetime(2026, 11, 20, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def write(directory: Path, **truth: Any) -> None:
    (directory / "run.json").write_text(json.dumps({"run": "run", **truth}))


def test_minutes_are_read_and_what_they_leave_out_is_the_runs(tmp_path: Path) -> None:
    write(
        tmp_path,
        started_at="2026-11-20T10:00:00+00:00",
        finished_at="2026-11-20T11:30:00+01:00",
        feeds={"gps_location": {"sent": 12, "minutes": {TEN.isoformat(): 7, "2026-11-20T11:01:00+01:00": 3}}},
    )
    found = read_sent_windows(tmp_path)
    assert found[:2] == [
        SentWindow("gps_location", TEN, TEN + MINUTE, 7),
        SentWindow("gps_location", TEN + MINUTE, TEN + 2 * MINUTE, 3),
    ]
    assert (found[2].lines, found[2].start) == (2, TEN)
    assert sent_within(found, "gps_location", TEN, TEN + MINUTE) == 7
    assert sent_within(found, "gps_location", TEN, TEN + timedelta(hours=1)) == 12
    assert sent_within(found, "gps_location", TEN, TEN + timedelta(minutes=10)) == 10
    assert sent_within(found, "shipment_event", TEN, TEN + timedelta(hours=1)) == 0


def test_a_file_that_is_no_truth_is_named(tmp_path: Path) -> None:
    write(tmp_path, feeds={"gps_location": {"sent": 1, "minutes": {"ten past": 1}}})
    with pytest.raises(ValueError, match=r"run\.json is not a sender's truth"):
        read_sent_windows(tmp_path)
