"""Every check of the house and its thresholds, in one place; those of the vehicle side in `quality.vehicles.suites`.

`gate` runs on what a transform run has claimed, before the marts are touched; `nightly` on the marts and the
last day. Shares are of the rows judged (0.05 = 5 %). Lateness and volume only warn: a replay is late by
nature.
"""

from __future__ import annotations

from datetime import timedelta

from domain.contracts import ENTITIES, FEEDS
from domain.lifecycle import STATUSES
from quality.contract_rules import contract_checks
from quality.model import Check, CheckError
from quality.rules import Between, Distinct, Holds, OneOf, Rows, UniqueTogether, Value
from quality.vehicles import suites as vehicles

MINUTE = 60.0
HOUR = 3600.0
DAY = 86_400.0

LATE_ARRIVAL = timedelta(minutes=15)
LATE_RECORDING = timedelta(hours=24)
EARLY_RECORDING = timedelta(minutes=-5)


def _event_checks(subject: str) -> tuple[Check, ...]:
    return (
        Check(
            "duplicate_event_ids", subject, Distinct("event_key"), "Events sent more than once", 0.05, 0.50
        ),
        Check(
            "late_arrivals",
            subject,
            Holds("arrived_in_time"),
            "Arrived more than 15 minutes after they were sent",
            0.05,
        ),
        Check(
            "late_recordings",
            subject,
            Holds("recorded_in_time"),
            "Sent more than 24 hours after they happened, or 5 minutes before",
            0.05,
        ),
    )


def _missing_drivers(subject: str) -> Check:
    return Check(
        "missing_driver_ids",
        subject,
        Holds("driver_known"),
        "Events from pick-up on that name no driver",
        0.02,
        0.10,
    )


_EVENTS = "landing.shipment_event"
_ASSIGNMENTS = "landing.driver_assignment_event"
_HISTORY = "intermediate.int_shipment_status_history"
_SHIPMENT = "marts.fct_shipment"
_DAILY = "marts.fct_on_time_daily"
_EXCEPTION = "marts.fct_delivery_exception"

GATE: tuple[Check, ...] = (
    Check("volume", "claim", Value("accepted", floor=True), "Rows claimed", error=1),
    Check(
        "complete", "claim", Value("found_share", floor=True), "Claimed rows that landing still has", error=1
    ),
    _missing_drivers(_EVENTS),
    Check(
        "duplicate_shipment_ids",
        "claim.created_shipments",
        Holds("created_once"),
        "Shipments that more than one event creates",
        0.02,
        0.20,
    ),
    *_event_checks(_EVENTS),
    *_event_checks(_ASSIGNMENTS),
    *(
        Check("contract", f"source.{name}", Holds("contract_kept"), "Rows that break their contract", 0, 0.05)
        for name in ENTITIES
    ),
)

_MARTS: tuple[Check, ...] = (
    Check(
        "duplicate_shipment_ids",
        _SHIPMENT,
        UniqueTogether(("tenant_id", "shipment_id")),
        "Shipments with more than one row",
        error=0,
    ),
    Check("status_known", _SHIPMENT, OneOf("status", STATUSES), "Statuses outside the lifecycle", error=0),
    Check("ordered", _SHIPMENT, Holds("ordered"), "Shipments that the order system does not know", 0.01),
    Check("promise_known", _SHIPMENT, Holds("promise_known"), "Ordered shipments without a promise", error=0),
    Check("delivery_timed", _SHIPMENT, Holds("delivery_timed"), "Delivered, but when is not known", error=0),
    Check(
        "delivered_after_pick_up",
        _SHIPMENT,
        Holds("delivered_after_pick_up"),
        "Delivered before pick-up",
        0.01,
    ),
    Check(
        "unique_group",
        _DAILY,
        UniqueTogether(("tenant_id", "promised_date", "region", "carrier_id", "service_level", "mode")),
        "One row a group",
        error=0,
    ),
    Check("adds_up", _DAILY, Holds("adds_up"), "Due and delivered are the sum of their parts", error=0),
    Check("share_in_range", _DAILY, Between("on_time_share", 0, 1), "A share between 0 and 1", error=0),
    Check(
        "unique_event",
        _EXCEPTION,
        UniqueTogether(("tenant_id", "shipment_id", "event_id")),
        "One row an exception",
        error=0,
    ),
    Check("resolved_after", _EXCEPTION, Holds("resolved_after"), "Resolved before it occurred", 0.01),
    Check(
        "invalid_transitions",
        _HISTORY,
        Holds("is_legal"),
        "Statuses that may not follow the one before",
        0.03,
        0.10,
    ),
    Check(
        "unique_event",
        _HISTORY,
        UniqueTogether(("tenant_id", "shipment_id", "event_id")),
        "One row an event",
        error=0,
    ),
)

_HEALTH: tuple[Check, ...] = (
    Check(
        "newest_landed", "freshness", Value("landed_age_s"), "Seconds since anything landed", 15 * MINUTE, DAY
    ),
    Check(
        "newest_transformed",
        "freshness",
        Value("transformed_age_s"),
        "Seconds since a transform run was done",
        15 * MINUTE,
        DAY,
    ),
    Check(
        "oldest_pending",
        "freshness",
        Value("pending_age_s"),
        "Seconds that the oldest batch waits to be transformed",
        3 * MINUTE,
        HOUR,
    ),
    Check(
        "newest_cdc_pull",
        "freshness",
        Value("pulled_age_s"),
        "Seconds since the order database was read",
        15 * MINUTE,
        DAY,
    ),
    Check(
        "volume_low",
        "volume",
        Value("ratio", floor=True),
        "Last full hour against the same hour of the days before",
        0.5,
    ),
    Check(
        "volume_high",
        "volume",
        Value("ratio"),
        "Last full hour against the same hour of the days before",
        2.0,
    ),
)

NIGHTLY: tuple[Check, ...] = (
    *_MARTS,
    *_HEALTH,
    Check("any", "source.shipments", Rows(), "Shipments that the order system has", 1),
    _missing_drivers(_EVENTS),
    *(check for feed in FEEDS.values() if feed.stream for check in _event_checks(f"landing.{feed.name}")),
    *(check for feed in (*FEEDS.values(), *ENTITIES.values()) for check in contract_checks(feed)),
)

SUITES: dict[str, tuple[Check, ...]] = {
    "gate": GATE,
    "nightly": NIGHTLY,
    "vehicles_gate": vehicles.GATE,
    "vehicles": vehicles.NIGHTLY,
}


def read_suite(name: str) -> tuple[Check, ...]:
    """Return a suite's checks.

    Raises:
        CheckError: there is no suite of that name.
    """
    if name not in SUITES:
        raise CheckError(f"no suite {name!r}; there are {', '.join(sorted(SUITES))}")
    return SUITES[name]
