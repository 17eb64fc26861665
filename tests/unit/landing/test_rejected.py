"""A reject of several events lands whole or not at all, or a second replay would land its good half again."""

from __future__ import annotations

import json

import numpy as np

from domain.contracts import FEEDS
from domain.contracts.decode import Decoder
from ingestion.landing.rejected import _without_halves

ARRIVED_MS = 1_772_366_400_000


def gps(event_id: str, lat: float) -> bytes:
    event = {
        "feed": "gps_location", "tenant_id": "acme", "event_id": event_id, "recorded_at": ARRIVED_MS,
        "schema_version": 1, "vehicle_id": "v1", "fixed_at": ARRIVED_MS, "lat": lat, "lon": 0, "speed_kmh": 0,
        "heading_deg": 0,
    }  # fmt: skip
    return json.dumps(event).encode()


def test_only_rejects_that_pass_whole_are_landed() -> None:
    rejects = [[gps("a", 1), gps("b", 91)], [gps("c", 2)], [gps("d", 3), gps("e", 4)], [b"junk"]]
    arrived = np.full(len(rejects), ARRIVED_MS * 1000, dtype=np.int64)
    (rows,) = _without_halves(Decoder([FEEDS["gps_location"]]).decode(rejects, arrived))
    assert rows.table["event_id"].to_pylist() == ["c", "d", "e"]
    assert (rows.record.tolist(), rows.sub.tolist()) == ([1, 2, 2], [0, 0, 1])
