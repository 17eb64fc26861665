"""Sections on vehicles and drivers made of plain Python rows: a full morning, and the pieces to make others."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from serving.report.vehicles import model

DAY = date(2026, 11, 19)
TODAY = DAY + timedelta(days=1)
MORNING = datetime(2026, 11, 20, 5, 45, tzinfo=UTC)
SITES = (
    "Hamburg Billbrook Hub",
    "Dortmund Depot Ost",
    "München Riem Depot",
    "Rotterdam Waalhaven",
    "Lille Lesquin",
)
KEYS = tuple(f"{random.Random(n).getrandbits(128):032x}" for n in range(12))


def vehicle(n: int) -> model.VehicleDay:
    """Make the n-th vehicle; each idles nine minutes less than the one before."""
    idle = 3600.0 * 3.4 - 540 * n
    return model.VehicleDay(
        f"VEH-{1042 + 17 * n}",
        ("tractor", "truck", "van")[n % 3],
        SITES[n % 5],
        0.34 - 0.01 * n,
        3600 * 8.2 - 600 * n,
        idle,
        idle + 3600 * 7.9,
        2400 + 300 * n,
        512.4 - 31 * n,
        0.18,
        6,
    )


def utilization() -> model.Utilization:
    """Make a week in which the last day is a little better than those before."""
    chance = random.Random(5)
    days = []
    for back in range(7, -1, -1):
        vehicles = 212
        share = 0.29 + chance.uniform(-0.02, 0.02) + (0.02 if back == 0 else 0)
        days.append(
            model.FleetDay(
                DAY - timedelta(days=back),
                vehicles,
                chance.randrange(14, 30),
                vehicles * 86_400.0,
                vehicles * 86_400.0 * share,
                vehicles * 3600 * chance.uniform(0.9, 1.3),
                vehicles * 3600 * chance.uniform(1.0, 1.6),
                vehicles * chance.uniform(280, 330),
                vehicles * chance.uniform(50, 60),
            )
        )
    sites = tuple(
        model.SiteUse(site, 60 - 9 * n, 5 - n, 0.33 - 0.03 * n, 0.30, 19_000 - 3100 * n)
        for n, site in enumerate(SITES)
    )
    return model.Utilization(tuple(days), sites, tuple(vehicle(n) for n in range(16)), silent=3)


def compliance() -> model.Compliance:
    """Make a week with a most serious infringement on its last day."""
    chance = random.Random(9)
    days = tuple(
        model.DutyDay(
            DAY - timedelta(days=back),
            chance.randrange(160, 190),
            {
                "MSI": int(back == 0),
                "VSI": chance.randrange(3),
                "SI": chance.randrange(1, 5),
                "MI": chance.randrange(3, 9),
            },
            int(back == 0),
        )
        for back in range(7, -1, -1)
    )
    rules = (
        model.RuleCount("DAILY_REST", "8(2)", {"MSI": 1, "SI": 1, "MI": 2}, 0, 1, 21),
        model.RuleCount("BREAK", "7", {"VSI": 1, "SI": 1, "MI": 3}, 0, 0, 34),
        model.RuleCount("DAILY_DRIVING", "6(1)", {"MI": 2}, 0, 0, 12),
        model.RuleCount("WEEKLY_REST_PATTERN", "8(6)", {}, 1, 0, 2),
        model.RuleCount("UNPROVEN_REST", "8", {}, 0, 6, 0),
        model.RuleCount("FERRY_REST", "9(1)", {}, 0, 2, 0),
    )
    offenders = (
        model.Offender(KEYS[0], {"MSI": 1, "MI": 1}, 0, ("DAILY_REST", "BREAK")),
        model.Offender(KEYS[1], {"VSI": 1}, 1, ("BREAK", "WEEKLY_REST_PATTERN")),
        *(
            model.Offender(
                KEYS[n],
                {"SI": 1} if n < 4 else {"MI": 2},
                0,
                ("DAILY_DRIVING", "BREAK", "DAILY_REST", "X")[: n % 4 + 1],
            )
            for n in range(2, 9)
        ),
    )
    findings = tuple(finding(n) for n in range(9))
    remaining = tuple(
        model.LittleLeft(
            KEYS[n],
            11 * n,
            ("day", "break", "week", "rest", "fortnight")[n % 5],
            MORNING + timedelta(hours=n),
        )
        for n in range(7)
    )
    return model.Compliance(days, rules, offenders, findings, remaining, 19)


def finding(n: int) -> model.DriverFinding:
    """Make the n-th finding; the fifth needs evidence."""
    severity = ("MSI", "VSI", "SI", "MI", None)[n % 5]
    reason = "a second driver drove" if n == 4 else None
    at = MORNING - timedelta(hours=9 + n)
    return model.DriverFinding(KEYS[n], "BREAK", "7", severity, at, 301 + n, 270, n == 4, reason)


CAUSES = (
    (
        model.Cause(
            "theft", "very likely", "96 l within 6 min, faster than any engine; driving shows it too"
        ),
        model.Cause("leak", "unlikely", "too quick for anything but a burst line or tank"),
    ),
    (
        model.Cause("leak", "likely", "31 l in 22 h of standing, a little at a time"),
        model.Cause("weather", "possible", "down to -4 degC; 1.4 l/h is what a parking heater burns"),
    ),
    (
        model.Cause("theft", "likely", "120 l paid for and not seen in the tank"),
        model.Cause("sensor", "possible", "unless the level sensor missed it"),
    ),
)


def anomaly(n: int) -> model.FuelAnomaly:
    """Make the n-th anomaly; the first ones are the gravest."""
    kinds = (
        "drain_parked",
        "leak",
        "purchase_without_rise",
        "purchase_elsewhere",
        "drain_moving",
        "consumption_high",
        "sensor",
    )
    return model.FuelAnomaly(
        f"VEH-{1042 + 17 * n}",
        kinds[n % 7],
        ("high", "high", "medium", "medium", "low", "low", "info")[n % 7],
        MORNING - timedelta(hours=8 + n),
        None if n % 7 == 6 else 96.0 - 7 * n,
        0.9 - 0.05 * n,
        CAUSES[n % 3],
    )


def fuel() -> model.Fuel:
    """Make a week of fuel with nine anomalies on its last day."""
    chance = random.Random(11)
    days = tuple(
        model.FuelDay(
            DAY - timedelta(days=back),
            chance.uniform(15_000, 17_000),
            chance.uniform(58_000, 61_000),
            1_180,
            44,
        )
        for back in range(7, -1, -1)
    )
    classes = (
        model.FuelClass("tractor", 11_240, 38_100, 79_000, 268_000),
        model.FuelClass("truck", 3_610, 16_300, 24_900, 114_000),
        model.FuelClass("van", 690, 7_000, 5_030, 49_900),
        model.FuelClass("unknown", 0, 0, 310, 1_100),
    )
    return model.Fuel(days, classes, tuple(anomaly(n) for n in range(9)), {"high": 5, "medium": 9, "low": 12})


def job(n: int, **changes: Any) -> model.PlannedJob:
    """Make the n-th job; every fourth has no place."""
    first = TODAY + timedelta(days=n % 6) if n % 4 else None
    made = model.PlannedJob(
        job_id=f"VEH-{1042 + 17 * n}:inspection",
        vehicle_id=f"VEH-{1042 + 17 * n}",
        kind="service",
        task_id="inspection",
        words="inspection" if n % 3 else "oil",
        is_overdue=n % 5 == 0,
        state="placed" if first else "unplaced",
        due_on=TODAY + timedelta(days=n - 3),
        site=SITES[n % 3] if first else None,
        first_day=first,
        last_day=first + timedelta(days=n % 2) if first else None,
        reason=None
        if first
        else "all bays at Dortmund Depot Ost are taken until 27 Nov, and it has duties from then on",
    )
    return replace(made, **changes)


def maintenance() -> model.Maintenance:
    """Make a morning with overdue services, jobs without a place and trouble codes that say stop."""
    jobs = tuple(job(n) for n in range(18))
    overdue = tuple(
        model.DueService(
            one.vehicle_id,
            "inspection",
            True,
            TODAY - timedelta(days=4 * n + 1),
            ("months", "km", "engine_hours")[n % 3],
            one,
        )
        for n, one in enumerate(jobs[:7])
    )
    coming = tuple(
        model.DueService(f"VEH-{2000 + n}", "oil", False, TODAY + timedelta(days=1 + n * n % 14), "km")
        for n in range(23)
    )
    changes = (
        model.PlanChange(
            "a",
            "VEH-1042",
            "dropped",
            TODAY,
            None,
            "an overdue job took its bay; no bay is free before it has duties",
        ),
        model.PlanChange(
            "b",
            "VEH-1076",
            "moved",
            TODAY + timedelta(days=1),
            TODAY + timedelta(days=3),
            "its day is full: 15 % of the fleet in service",
        ),
        model.PlanChange("c", "VEH-1093", "added", None, TODAY + timedelta(days=5), "new in the plan"),
        model.PlanChange("d", "VEH-1110", "added", None, TODAY + timedelta(days=6), "new in the plan"),
        model.PlanChange("e", "VEH-1127", "gone", TODAY, None, "it is no longer to be planned"),
    )
    codes = (
        model.TroubleCode("VEH-1059", "SPN 100 FMI 1", "stop", 2.2, 0),
        model.TroubleCode("VEH-1195", "SPN 110 FMI 0", "stop", 0.4, 3),
        model.TroubleCode("VEH-1246", "P0300", "soon", 11.0, 1),
        model.TroubleCode("VEH-1263", "SPN 3251 FMI 16", "soon", 6.5, 5),
        model.TroubleCode("VEH-1280", "SPN 1761 FMI 18", "soon", 1.5, 0),
        model.TroubleCode("VEH-1297", "SPN 96 FMI 3", "plan", 30.0, 0),
    )
    return model.Maintenance(TODAY, (*overdue, *coming), model.Plan(TODAY, jobs, changes), codes)


def morning_sections() -> model.VehicleSections:
    """Make all four sections, known, with nothing behind."""
    return model.VehicleSections(
        utilization(),
        compliance(),
        fuel(),
        maintenance(),
        model.Behind(MORNING - timedelta(minutes=30), 4, MORNING - timedelta(minutes=20)),
    )


def unknown_sections() -> model.VehicleSections:
    """Make four sections of which nothing is known."""
    return model.VehicleSections(
        *(model.Missing(f"Not known: {n}.") for n in ("use", "hours", "fuel", "services"))
    )


def wide_sections(long: str) -> model.VehicleSections:
    """Make all four sections with names as long as contracts allow."""
    use, hours, fuel_known, services = utilization(), compliance(), fuel(), maintenance()
    assert services.plan is not None
    jobs = tuple(replace(job, vehicle_id=long, reason=long, site=long) for job in services.plan.jobs)
    return model.VehicleSections(
        replace(
            use,
            sites=tuple(replace(site, site=long) for site in use.sites),
            vehicles=tuple(replace(one, vehicle_id=long, site=long) for one in use.vehicles),
        ),
        replace(
            hours,
            rules=tuple(replace(rule, rule=long) for rule in hours.rules),
            offenders=tuple(replace(one, driver_key=long, rules=(long,)) for one in hours.offenders),
        ),
        replace(
            fuel_known,
            anomalies=tuple(replace(one, vehicle_id=long, kind=long) for one in fuel_known.anomalies),
        ),
        replace(
            services,
            due=tuple(replace(one, vehicle_id=long, task_id=long) for one in services.due or ()),
            plan=replace(services.plan, jobs=jobs),
            codes=tuple(replace(one, vehicle_id=long, code=long) for one in services.codes or ()),
        ),
    )
