"""Small runs for the simulator's tests, and a judge of lines that knows nothing of its counting."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fleetflow.simulator import Faults, SimulationPlan, Streams, Truth, run_simulation
from fleetflow.simulator.pacing import PlannedClock

ROOT = Path(__file__).resolve().parents[3]
START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
ALL_FAULTS = Faults(
    duplicates=0.1, out_of_order=0.08, late=0.08, invalid=0.1, missing_driver=0.1, illegal=0.08
)
TAG = re.compile(rb'"feed"\s*:\s*"([a-z_]{1,64})"')
FEEDS = ("gps_location", "shipment_event", "driver_assignment_event")
TIMES = {
    "gps_location": "fixed_at",
    "shipment_event": "occurred_at",
    "driver_assignment_event": "effective_at",
}
STATUSES = {
    "created",
    "assigned",
    "picked_up",
    "in_transit",
    "out_for_delivery",
    "delivered",
    "failed_attempt",
    "exception",
    "returned",
    "cancelled",
}
NEEDED = {
    "gps_location": ("vehicle_id", "fixed_at", "lat", "lon", "speed_kmh", "heading_deg"),
    "shipment_event": ("shipment_id", "status", "occurred_at", "origin"),
    "driver_assignment_event": (
        "assignment_id",
        "shipment_id",
        "driver_id",
        "action",
        "effective_at",
        "sequence",
    ),
}
TEXTS = ("event_id", "vehicle_id", "driver_id", "shipment_id", "assignment_id", "status", "action")


@dataclass
class ListSink:
    """Keeps the lines in order."""

    lines: list[tuple[str, bytes]] = field(default_factory=list)

    def send(self, key: str, line: bytes) -> None:
        self.lines.append((key, line))

    def flush(self, timeout_s: float) -> bool:
        return True


@dataclass
class Ran:
    """What a run sent, and what it says that it sent."""

    truth: Truth
    gps: list[tuple[str, bytes]]
    status: list[tuple[str, bytes]]

    @property
    def lines(self) -> list[tuple[bytes, str | None]]:
        """Each line with the feed that a line without a tag belongs to."""
        tagged = [(line, "gps_location") for _, line in self.gps]
        return [*tagged, *((line, None) for _, line in self.status)]

    def valid(self, feed: str) -> list[dict[str, Any]]:
        """The feed's valid events in the order of sending, repeats left out."""
        events = {}
        for line, default in self.lines:
            found, rule, event = judge(line, default)
            if found == feed and rule is None:
                events.setdefault(event["event_id"], event)
        return list(events.values())


def small_plan(**changes: Any) -> SimulationPlan:
    wanted: dict[str, Any] = {
        "start": START,
        "rate": 200.0,
        "seconds": 5.0,
        "vehicles": 40,
        "drivers": 60,
        "shipments": 120,
        "history_days": 1,
        "history_shipments": 40,
    }
    return SimulationPlan(**wanted | changes)


def run(plan: SimulationPlan, home: Path | None = None) -> Ran:
    gps, status = ListSink(), ListSink()
    clock = PlannedClock(plan.start_ms)
    truth = run_simulation(plan, None, Streams(gps, status), home, clock=clock)
    return Ran(truth, gps.lines, status.lines)


def judge(line: bytes, default: str | None) -> tuple[str, str | None, Any]:
    """Say the feed that the line counts under, the rule it breaks (None: it is valid), and the event."""
    tag = TAG.search(line)
    named = tag[1].decode() if tag else default
    feed = named if named in FEEDS else "unknown"
    if len(line) > 64 << 10:
        return feed, "oversized", None
    try:
        event = json.loads(line.decode())
    except UnicodeDecodeError:
        return feed, "invalid_utf8", None
    except ValueError:
        return feed, "malformed_json", None
    if not isinstance(event, dict):
        return feed, "not_an_object", None
    if event.get("feed") not in FEEDS:
        return feed, "unknown_feed", None
    return feed, _broken_rule(feed, event), event


def _broken_rule(feed: str, event: dict[str, Any]) -> str | None:
    at = event.get(TIMES[feed])
    number = event.get("speed_kmh", event.get("sequence", 0))
    checks = {
        "unsupported_version": event["schema_version"] != 1,
        "missing_required": any(event.get(name) is None for name in NEEDED[feed]),
        "wrong_type": isinstance(number, str),
        "timestamp_without_zone": isinstance(at, str),
        "too_long": any(len(event.get(name) or "") > 64 for name in TEXTS),
        "unknown_value": (event.get("status") or "created") not in STATUSES
        or (event.get("action") or "assigned") not in ("assigned", "unassigned"),
    }
    if broken := [rule for rule, found in checks.items() if found]:
        return _only(broken)
    checks = {
        "out_of_range": not 0 <= number <= (250 if "speed_kmh" in event else 2**63)
        or abs(event.get("lat") or 0) > 90,
        "position_incomplete": (event.get("lat") is None) != (event.get("lon") is None),
        "time_too_old": at < 946_684_800_000,
        "time_in_future": at > START_MS + 3_600_000 + 120_000,
    }
    return _only([rule for rule, found in checks.items() if found])


def _only(rules: list[str]) -> str | None:
    assert len(rules) <= 1, f"a spoilt line breaks one rule, this one {rules}"
    return rules[0] if rules else None


def recount(lines: Iterable[tuple[bytes, str | None]]) -> dict[str, dict[str, Any]]:
    """Count lines per feed as the truth does, from the lines alone."""
    sent: Counter[str] = Counter()
    different: dict[str, set[bytes]] = {}
    ids: dict[str, set[str]] = {}
    invalid: dict[str, Counter[str]] = {}
    for line, default in lines:
        feed, rule, event = judge(line, default)
        sent[feed] += 1
        different.setdefault(feed, set()).add(line)
        invalid.setdefault(feed, Counter())
        if rule is None:
            ids.setdefault(feed, set()).add(event["event_id"])
        else:
            invalid[feed][rule] += 1
    return {
        feed: {
            "sent": sent[feed],
            "distinct": len(different[feed]),
            "valid_distinct": len(ids.get(feed, ())),
            "invalid": dict(sorted(invalid[feed].items())),
        }
        for feed in sorted(sent)
    }


def counted(truth: Truth) -> dict[str, dict[str, Any]]:
    """The same counts out of the truth."""
    names = ("sent", "distinct", "valid_distinct", "invalid")
    feeds = truth.as_dict()["feeds"]
    return {feed: {name: counts[name] for name in names} for feed, counts in feeds.items() if counts["sent"]}
