"""Reports made of plain Python rows: a full morning, and the pieces to make others."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import vehicle_samples

from serving.report.model import (
    CdcPull,
    DayCount,
    ExceptionReason,
    FailedCheck,
    FeedCount,
    Health,
    Lane,
    MorningReport,
    OpenWindow,
    Reconciliation,
    RejectCount,
    RepairedWindow,
    Risks,
    RiskyShipment,
    RunCounts,
    SlaRow,
    TransformRun,
    VerifiedFeed,
)

DAY = date(2026, 11, 19)
AS_OF = datetime(2026, 11, 20, 5, 45, tzinfo=UTC)
TARGETS = {"express": 0.97, "standard": 0.95, "economy": 0.90}
REGIONS = {"Nord": 1.0, "Rhein-Ruhr": 2.3, "Süd": 1.2, "Île-de-France": 0.8, "Benelux": 0.7}
CARRIERS = {"acme-own": 0.7, "nordfracht": 1.0, "kurier-24": 1.6, "transalp": 2.4, "wetterau-logistik": 1.0}
LANES = (
    ("Hamburg Billbrook Hub", "Dortmund Depot Ost"),
    ("Köln Niehl Hub", "Essen Kray"),
    ("München Riem Depot", "Stuttgart Hafen"),
    ("Paris Gennevilliers Hub", "Lille Lesquin"),
    ("Rotterdam Waalhaven", "Antwerpen Noord"),
    ("Berlin Westhafen", "Leipzig Nord"),
)


@dataclass(frozen=True)
class Shipment:
    """One shipment promised on one day, and what became of it."""

    day: date
    region: str
    carrier: str
    service_level: str
    outcome: str


def shipments(seed: int = 7, per_day: int = 420, days: int = 8) -> list[Shipment]:
    """Make shipments of the days up to DAY; bad regions and carriers miss more, the last day is a bad one."""
    chance = random.Random(seed)
    made = []
    for back in range(days - 1, -1, -1):
        day = DAY - timedelta(days=back)
        for _ in range(round(per_day * chance.uniform(0.85, 1.15))):
            region = chance.choices(list(REGIONS), weights=(5, 6, 4, 3, 2))[0]
            carrier = chance.choices(list(CARRIERS), weights=(8, 5, 3, 2, 2))[0]
            level = chance.choices(list(TARGETS), weights=(3, 6, 2))[0]
            miss = 0.022 * REGIONS[region] * CARRIERS[carrier] * (2.6 if back == 0 else 1)
            drawn = chance.random()
            outcome = (
                "on_time" if drawn > miss else chance.choices(("late", "open", "returned"), (6, 3, 1))[0]
            )
            made.append(Shipment(day, region, carrier, level, outcome))
    return made


def member_of(shipment: Shipment, dimension: str) -> str:
    """Return the shipment's member of a dimension."""
    return {
        "all": "all",
        "region": shipment.region,
        "carrier": shipment.carrier,
        "service_level": shipment.service_level,
    }[dimension]


def sla_rows(made: Iterable[Shipment], day: date = DAY) -> tuple[SlaRow, ...]:
    """Count the SLA rows of a day in plain Python: the reference that pages and tables are held against."""
    made = list(made)
    return tuple(
        _row(dimension, member, [s for s in made if member_of(s, dimension) == member], day)
        for dimension in ("all", "region", "carrier", "service_level")
        for member in sorted({member_of(s, dimension) for s in made if s.day == day})
    )


def _row(dimension: str, member: str, made: list[Shipment], day: date) -> SlaRow:
    due = [s for s in made if s.day == day]
    before = [s for s in made if s.day < day]
    tally: Callable[[str], int] = lambda outcome: sum(s.outcome == outcome for s in due)  # noqa: E731
    return SlaRow(
        dimension,
        member,
        len(due),
        tally("on_time") + tally("late"),
        tally("on_time"),
        tally("late"),
        tally("open"),
        tally("on_time") / len(due) if due else None,
        sum(TARGETS[s.service_level] for s in due) / len(due) if due else None,
        sum(s.outcome == "on_time" for s in before) / len(before) if before else None,
    )


def day_counts(made: Iterable[Shipment]) -> tuple[DayCount, ...]:
    """Count due and on time by day and member."""
    counts: dict[tuple[str, str, date], list[int]] = {}
    for s in made:
        for dimension in ("all", "region", "carrier", "service_level"):
            entry = counts.setdefault((dimension, member_of(s, dimension), s.day), [0, 0])
            entry[0] += 1
            entry[1] += s.outcome == "on_time"
    return tuple(DayCount(*key, *entry) for key, entry in counts.items())


def risky(n: int, **changes: Any) -> RiskyShipment:
    """Make the n-th shipment at risk: each has seven minutes more than the one before."""
    origin, destination = LANES[n % len(LANES)]
    left = 4 + 7 * n
    made = RiskyShipment(
        f"SHP-{4_480_000 + n * 37}",
        list(CARRIERS)[n % 5],
        list(TARGETS)[n % 3],
        "road",
        list(REGIONS)[n % 5],
        origin,
        destination,
        f"VEH-{100 + n}" if n % 4 else None,
        ("out_for_delivery", "in_transit", "failed_attempt", "exception")[n % 4],
        AS_OF - timedelta(minutes=31 + 11 * n),
        AS_OF + timedelta(minutes=left),
        left,
    )
    return replace(made, **changes)


def healthy() -> Health:
    """Make the health of a platform on which nothing is wrong."""
    chance = random.Random(3)
    runs = []
    for n in range(24 * 12):
        at = AS_OF - timedelta(minutes=5 * (24 * 12 - 1 - n), seconds=40)
        busy = 1 + 1.2 * max(0.0, 1 - abs(n - 150) / 60)
        p50 = chance.uniform(17, 24) * busy
        runs.append(
            TransformRun(at, chance.randrange(900, 60_000), p50, p50 * 1.7, p50 * chance.uniform(1.9, 2.2))
        )
    return Health(
        runs=tuple(runs),
        run_counts=RunCounts(288, 0, 0, runs[-1].finished_at, 2, AS_OF - timedelta(seconds=30)),
        feeds=(
            FeedCount("driver_assignment_event", 48_120, 48_118, 2, AS_OF - timedelta(seconds=52)),
            FeedCount("gps_location", 8_911_402, 8_905_190, 6_212, AS_OF - timedelta(seconds=4)),
            FeedCount("shipment_event", 1_204_771, 1_203_902, 869, AS_OF - timedelta(seconds=7)),
        ),
        rejects=(
            RejectCount("gps_location", "out_of_range", 5_102, 5_102),
            RejectCount("gps_location", "time_in_future", 1_110, 1_110),
            RejectCount("shipment_event", "unknown_value", 640, 12),
            RejectCount("shipment_event", "missing_required", 229, 229),
            RejectCount("driver_assignment_event", "malformed_json", 2, 2),
        ),
        checks_total=23,
        cdc=(CdcPull("fleetflow_orders", AS_OF - timedelta(minutes=2), 0.8, 1_412, 18_432, 3 << 20),),
        reconciliation=verified(),
    )


def verified() -> Reconciliation:
    """Make a reconciliation in which all adds up, after a repair in the night."""
    hour, day = AS_OF.replace(hour=5, minute=0), AS_OF.replace(hour=0, minute=0)
    return Reconciliation(
        feeds=(
            *(VerifiedFeed(feed, hour, day, 0) for feed in ("driver_assignment_event", "gps_location")),
            VerifiedFeed("order_database", None, day, 0),
            VerifiedFeed("shipment_event", hour, day, 0),
        ),
        repaired=(
            RepairedWindow(
                "gps_location",
                "hour",
                hour - timedelta(hours=2),
                hour - timedelta(minutes=38),
                ("raw object of batch 48812 rebuilt from the stream",),
            ),
        ),
        checked_at=AS_OF - timedelta(minutes=24),
    )


def differing() -> Reconciliation:
    """Make a reconciliation in which two windows do not add up, one of them since nobody could count."""
    found, hour = verified(), AS_OF.replace(hour=3, minute=0)
    return replace(
        found,
        feeds=(*found.feeds[:3], VerifiedFeed("shipment_event", hour, found.feeds[3].days_through, 2)),
        open=(
            OpenWindow(
                "shipment_event",
                "hour",
                hour,
                "differs",
                3,
                (
                    "batch 48820: 1,204 rows in landing, the ledger says 1,911",
                    "batch 48820: raw/shipment_event/arrival_date=2026-11-20/arrival_hour=03/fleetflow-status-"
                    "shardId-000000000001-4900-4911.parquet is gone, 1,911 rows; gone from the other arm too",
                ),
                4,
            ),
            OpenWindow(
                "gps_location",
                "day",
                hour - timedelta(days=1),
                "not_counted",
                1,
                ("could not ask stream fleetflow-gps",),
                1,
            ),
        ),
        open_total=9,
    )


def morning() -> MorningReport:
    """Make a full morning: a bad day, a few troubles with the data, and a long list of shipments at risk."""
    made = shipments()
    troubled = replace(
        healthy(),
        failed_checks=(
            FailedCheck(
                "marts",
                "late_events_share",
                "landing.shipment_event",
                "warn",
                3,
                288,
                True,
                AS_OF - timedelta(minutes=3),
                "2.4 % of events arrived more than 1 h late, 2 % is usual",
            ),
            FailedCheck(
                "gate",
                "missing_driver_ids",
                "landing.shipment_event",
                "error",
                1,
                288,
                False,
                AS_OF - timedelta(hours=5),
                "612 of 9,001 delivered without a driver",
            ),
        ),
    )
    return MorningReport(
        tenant="acme",
        report_date=DAY,
        as_of=AS_OF,
        generated_at=AS_OF + timedelta(seconds=9),
        sla=sla_rows(made),
        days=day_counts(made),
        lanes=tuple(
            Lane(*LANES[n], 34 - 3 * n, 25 - 2 * n, 6 - n // 2, 2, 44.0 + 31 * n, 190 - 9 * n, 171 - 9 * n)
            for n in range(6)
        ),
        lanes_total=19,
        risks=Risks(tuple(risky(n) for n in range(40)), 40, 611, 23, AS_OF - timedelta(days=2, hours=3)),
        exceptions=(
            ExceptionReason("failed_attempt", "customer_absent", "Customer absent", 31, 4, 205.0, 140),
            ExceptionReason("exception", "traffic", "Traffic", 24, 0, 41.5, 190),
            ExceptionReason("exception", "vehicle_breakdown", "Vehicle breakdown", 9, 3, 312.0, 21),
            ExceptionReason("failed_attempt", "address_problem", "Address problem", 8, 5, None, 49),
            ExceptionReason("exception", None, None, 2, 2, None, 3),
        ),
        health=troubled,
        vehicles=vehicle_samples.morning_sections(),
    )
