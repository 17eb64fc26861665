"""Spoils lines on purpose: one line, one broken rule of the reject vocabulary, evenly over the rules.

`corrupt_record` is not made here: it is a fault of a whole Kinesis record, not of a line. The feed that a
spoilt line counts under is the one that can be read from it, as the landing attributes it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from fleetflow.simulator.plan import ACTIVITY, ASSIGNMENT, CAN, GPS, SHIPMENT, UNKNOWN

EVENT_TIME = {
    GPS: "fixed_at",
    SHIPMENT: "occurred_at",
    ASSIGNMENT: "effective_at",
    CAN: "captured_at",
    ACTIVITY: "started_at",
}
ENTITY = {
    GPS: "vehicle_id",
    SHIPMENT: "shipment_id",
    ASSIGNMENT: "shipment_id",
    CAN: "vehicle_id",
    ACTIVITY: "driver_id",
}
REQUIRED = {
    GPS: ("vehicle_id", "fixed_at", "lat"),
    SHIPMENT: ("shipment_id", "status", "occurred_at"),
    ASSIGNMENT: ("driver_id", "action", "effective_at"),
    CAN: ("vehicle_id", "captured_at", "payload"),
    ACTIVITY: ("driver_id", "activity", "started_at"),
}
CHOICE = {
    SHIPMENT: ("status", "teleported"),
    ASSIGNMENT: ("action", "borrowed"),
    ACTIVITY: ("activity", "napping"),
}
NUMBER = {
    GPS: ("speed_kmh", 612.5, "fast"),
    SHIPMENT: ("sequence", -1, "first"),
    ASSIGNMENT: ("sequence", -7, "2nd"),
    CAN: ("arbitration_id", 1 << 29, "0x7E8"),
    ACTIVITY: ("slot", 3, "left"),
}
YEAR_1999_MS = 915_148_800_000
YEAR_2100_MS = 4_102_444_800_000
OVERSIZE = 66_000

Fields = dict[str, Any]


def _oversized(feed: str, fields: Fields, n: int) -> None:
    fields["note"] = "x" * OVERSIZE


def _unsupported_version(feed: str, fields: Fields, n: int) -> None:
    fields["schema_version"] = 2 + n % 97


def _missing_required(feed: str, fields: Fields, n: int) -> None:
    names = REQUIRED[feed]
    if n % 2:
        del fields[names[n % len(names)]]
    else:
        fields[names[n % len(names)]] = None


def _wrong_type(feed: str, fields: Fields, n: int) -> None:
    name, _, wrong = NUMBER[feed]
    fields[name] = wrong


def _out_of_range(feed: str, fields: Fields, n: int) -> None:
    name, outside, _ = NUMBER[feed]
    if feed == GPS and n % 2:
        name, outside = "lat", 91.5
    fields[name] = outside


def _unknown_value(feed: str, fields: Fields, n: int) -> None:
    name, word = CHOICE[feed]
    fields[name] = word


def _too_long(feed: str, fields: Fields, n: int) -> None:
    fields[ENTITY[feed]] = f"{fields[ENTITY[feed]]}-{'9' * 64}"


def _timestamp_without_zone(feed: str, fields: Fields, n: int) -> None:
    fields[EVENT_TIME[feed]] = "2026-03-29T02:30:00"


def _time_too_old(feed: str, fields: Fields, n: int) -> None:
    fields[EVENT_TIME[feed]] = YEAR_1999_MS + n


def _time_in_future(feed: str, fields: Fields, n: int) -> None:
    # Not relative to recorded_at, which lies days back for events of the past.
    fields[EVENT_TIME[feed]] = YEAR_2100_MS + n


def _position_incomplete(feed: str, fields: Fields, n: int) -> None:
    fields["lat"], fields["lon"] = (48.2, None) if n % 2 else (None, 16.4)


EDITS: dict[str, Callable[[str, Fields, int], None]] = {
    "unsupported_version": _unsupported_version,
    "missing_required": _missing_required,
    "wrong_type": _wrong_type,
    "out_of_range": _out_of_range,
    "unknown_value": _unknown_value,
    "too_long": _too_long,
    "oversized": _oversized,
    "timestamp_without_zone": _timestamp_without_zone,
    "time_too_old": _time_too_old,
    "time_in_future": _time_in_future,
    "position_incomplete": _position_incomplete,
}
RULES = ("malformed_json", "invalid_utf8", "not_an_object", "unknown_feed", *EDITS)
ELSEWHERE = {
    GPS: {"unknown_value", "position_incomplete"},
    ASSIGNMENT: {"position_incomplete"},
    SHIPMENT: set[str](),
    CAN: {"unknown_value", "position_incomplete"},
    ACTIVITY: {"position_incomplete"},
}


class Spoiler:
    """Chooses the rule used least so far among those that the feed can break.

    Spoilt lines may keep nothing of their own but a number: `first`, an even one, keeps several spoilers' lines apart.
    """

    def __init__(self, first: int = 0) -> None:
        self._used: Counter[str] = Counter()
        self._rules = {feed: [rule for rule in RULES if rule not in ELSEWHERE[feed]] for feed in ELSEWHERE}
        self._count = first

    def spoil(self, feed: str, line: bytes) -> tuple[str, str, bytes]:
        """Spoil a line that nobody sends otherwise; return the feed it counts under, the rule, the line."""
        rule = min(self._rules[feed], key=self._used.__getitem__)
        self._used[rule] += 1
        self._count += 1
        if rule in EDITS:
            fields = json.loads(line)
            EDITS[rule](feed, fields, self._count)
            return feed, rule, json.dumps(fields, separators=(",", ":")).encode()
        if rule == "unknown_feed":
            return UNKNOWN, rule, line.replace(f'"{feed}"'.encode(), f'"{feed}_x"'.encode(), 1)
        if rule == "invalid_utf8":
            return feed, rule, line.replace(b'"tenant_id":"', b'"tenant_id":"\xff\xfe', 1)
        return self._unreadable(feed, rule, line)

    def _unreadable(self, feed: str, rule: str, line: bytes) -> tuple[str, str, bytes]:
        """Lines that are no JSON, or no object; one in four of them has lost its feed tag too."""
        if self._count % 4:
            return feed, rule, b"[" + line + b"]" if rule == "not_an_object" else line[: len(line) * 3 // 4]
        # The gps stream carries one feed: a line without a tag is one of its own.
        owner = GPS if feed == GPS else UNKNOWN
        if rule == "not_an_object":
            return owner, rule, f'[{self._count},"{line[-40:-20].hex()}"]'.encode()
        return owner, rule, f'{{"fee{self._count}'.encode()
