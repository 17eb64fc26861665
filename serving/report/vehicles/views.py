"""What the page shows of the sections: facts, charts, and the rows that fit on a screen. No markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from serving.report import charts
from serving.report.columns import Columns, stacked_columns
from serving.report.model import MorningReport, points
from serving.report.vehicles.lines import behind_words
from serving.report.vehicles.model import (
    AHEAD_DAYS,
    DTC_SEVERITIES,
    FUEL_SEVERITIES,
    LITTLE_MIN,
    SEVERITIES,
    DutyDay,
    Maintenance,
    Missing,
    PlannedJob,
)
from serving.report.wording import (
    change,
    count,
    decimal,
    hours,
    percent,
    short_day,
    signed_points,
    some,
    usual_count,
    weekday,
)

SITES_SHOWN = 6
IDLERS_SHOWN = 10
RULES_SHOWN = 7
OFFENDERS_SHOWN = 7
LITTLE_SHOWN = 5
ANOMALIES_SHOWN = 7
SERVICES_SHOWN = 5
UNPLACED_SHOWN = 4
CODES_SHOWN = 4
CHANGES_SHOWN = 3

CHART_WIDTH, CHART_HEIGHT = 520.0, 146.0


@dataclass(frozen=True)
class Fact:
    """One figure of a section's head: its name, its value, what is usual, and whether that is bad."""

    name: str
    value: str
    note: str = ""
    bad: bool = False


@dataclass(frozen=True)
class Section:
    """One screen of the page; `missing` says why there is nothing, and then there is nothing else."""

    anchor: str
    title: str
    about: str
    sheet: str
    missing: str | None = None
    behind: str | None = None
    notes: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    shown: dict[str, Any] = field(default_factory=dict)


def sections(report: MorningReport) -> list[Section]:
    """Return the four sections in their order on the page."""
    return [utilization(report), compliance(report), fuel(report), maintenance(report)]


def utilization(report: MorningReport) -> Section:
    """Return how the fleet was used."""
    known = report.vehicles.utilization
    frame = ("utilization", "Utilization", "the vehicles' day at their home site", "utilization.csv")
    if isinstance(known, Missing):
        return Section(*frame, missing=known.words)
    day = known.today
    gap = points(day.share, known.share_7d)
    usual_km, usual_idle = known.usual("distance_km"), known.usual("idle_s")
    facts = (
        Fact("driving, of the time available", percent(day.share), _against(gap), (gap or 0) <= -5),
        Fact("driven", f"{count(day.distance_km)} km", _usual(change(day.distance_km, usual_km))),
        Fact("at the wheel", hours(day.driving_s), _usual(change(day.driving_s, known.usual("driving_s")))),
        Fact("idling", hours(day.idle_s), _usual(change(day.idle_s, usual_idle))),
        Fact(
            "waiting at sites", hours(day.waiting_s), _usual(change(day.waiting_s, known.usual("waiting_s")))
        ),
        Fact("of the km empty", percent(day.empty_share), "without a shipment on board"),
        Fact(
            "stood all day", count(day.stood), f"of {count(day.vehicles)}; {count(known.silent)} not heard of"
        ),
    )
    days = (*report.history, report.report_date)
    shares = {one.day: one.share for one in known.days}
    line = charts.share_line(
        [shares.get(one) for one in days],
        None,
        days,
        width=CHART_WIDTH,
        height=CHART_HEIGHT,
        left=62,
        right=30,
        top=22,
        bottom=50,
    )
    top = max((site.share or 0 for site in known.sites), default=0)
    shown = {
        "line": line,
        "spoken": _spoken([(one, percent(shares.get(one))) for one in days]),
        "sites": known.sites[:SITES_SHOWN],
        "sites_more": max(len(known.sites) - SITES_SHOWN, 0),
        "site_top": top or 1,
        "idlers": known.idlers[:IDLERS_SHOWN],
        "idlers_total": len(known.idlers),
        "engine_known": any(one.idle_s is not None for one in known.vehicles),
    }
    return _known(report, frame, facts, shown)


def compliance(report: MorningReport) -> Section:
    """Return what drivers' hours say."""
    known = report.vehicles.compliance
    frame = ("driver-hours", "Driver hours", "infringements by the day they began, UTC", "driver_hours.csv")
    if isinstance(known, Missing):
        return Section(*frame, missing=known.words)
    grave = sum(known.today.by_severity.get(name, 0) for name in ("MSI", "VSI"))
    facts = (
        Fact("infringements", count(known.today.total), _mean(known.days[:-1])),
        Fact(
            "per 100 driver-days",
            decimal(known.per_100),
            f"7 days before: {decimal(known.per_100_7d)}{_without_us(known.days)}",
        ),
        Fact("most or very serious", count(grave), "classes MSI and VSI", grave > 0),
        Fact(
            "drivers with any",
            count(len(known.offenders)),
            f"of {some(known.today.driver_days, 'driver-day')}",
        ),
        Fact("need evidence", count(known.evidence), "not counted as infringements"),
        Fact(
            "drivers with little left now",
            count(known.remaining_total) if known.remaining is not None else "n/a",
            f"less than {LITTLE_MIN // 60} h of driving",
        ),
    )
    days = (*report.history, report.report_date)
    by_day = {one.day: one for one in known.days}
    parts = [
        None
        if one is None
        else {**{s: one.by_severity.get(s, 0) for s in SEVERITIES}, "unclassed": one.unclassed}
        for one in (by_day.get(day) for day in days)
    ]
    shown = {
        "columns": _columns(parts, days),
        "spoken": _spoken([(day, count(by_day[day].total) if day in by_day else "n/a") for day in days]),
        "rules": known.rules[:RULES_SHOWN],
        "rules_more": max(len(known.rules) - RULES_SHOWN, 0),
        "days_before": len(known.days) - 1,
        "offenders": known.offenders[:OFFENDERS_SHOWN],
        "offenders_total": len(known.offenders),
        "remaining": None if known.remaining is None else known.remaining[:LITTLE_SHOWN],
        "remaining_total": known.remaining_total,
        "severities": SEVERITIES,
    }
    return _known(report, frame, facts, shown)


def fuel(report: MorningReport) -> Section:
    """Return what was burnt, and what went missing."""
    known = report.vehicles.fuel
    frame = ("fuel", "Fuel", "trips by the day they began, UTC", "fuel.csv")
    if isinstance(known, Missing):
        return Section(*frame, missing=known.words)
    day, whole = known.today, known.all_classes
    before = [one.litres for one in known.days[:-1]]
    lost = sum(one.volume_l or 0 for one in known.losses)
    bought = sum(one.volume_l or 0 for one in known.purchases)
    usual = sum(before) / len(before) if before else None
    facts = (
        Fact("burnt", f"{count(day.litres)} l", _usual(change(day.litres, usual))),
        Fact("l/100 km", decimal(whole.l_100km), f"7 days before: {decimal(whole.l_100km_7d)}"),
        Fact(
            "anomalies",
            count(len(known.anomalies)),
            f"{count(known.of('high'))} high; 7 days before: {count(sum(known.anomalies_7d.values()))}",
            known.of("high") > 0,
        ),
        Fact(
            "drained or leaked",
            f"{count(lost)} l",
            f"in {some(len(known.losses), 'anomaly', 'anomalies')}",
            lost > 0,
        ),
        Fact(
            "bought, not explained",
            f"{count(bought)} l",
            f"in {some(len(known.purchases), 'purchase')}",
            bought > 0,
        ),
        Fact("trips without a measure", count(day.trips_unmeasured), f"of {some(day.trips, 'trip')}"),
    )
    days = (*report.history, report.report_date)
    by_day = {one.day: one for one in known.days}
    rates = [
        100 * one.litres / one.km if one and one.km else None for one in (by_day.get(day) for day in days)
    ]
    shown = {
        "columns": _columns(
            [None if rate is None else {"fuel": rate} for rate in rates],
            days,
            [decimal(rate) for rate in rates],
        ),
        "spoken": _spoken([(day, decimal(rate)) for day, rate in zip(days, rates, strict=True)]),
        "classes": known.classes,
        "class_top": max((max(c.l_100km or 0, c.l_100km_7d or 0) for c in known.classes), default=0) or 1,
        "anomalies": known.anomalies[:ANOMALIES_SHOWN],
        "total": len(known.anomalies),
        "by_severity": [(name, known.of(name)) for name in FUEL_SEVERITIES],
    }
    return _known(report, frame, facts, shown)


def maintenance(report: MorningReport) -> Section:
    """Return what is due, what is planned, and which trouble codes are there."""
    known = report.vehicles.maintenance
    frame = ("maintenance", "Maintenance", "state of this morning", "maintenance.csv")
    if isinstance(known, Missing):
        return Section(*frame, missing=known.words)
    today, ahead = known.today, [known.today + timedelta(days=n) for n in range(AHEAD_DAYS + 1)]
    facts = (*_service_facts(known, ahead), *_plan_facts(known), _code_fact(known))
    plan = known.plan
    placed = [None if plan is None else float(len(plan.on(day))) for day in ahead]
    due = [
        {"due": float(known.due_on(day))} if day != today else {"overdue": float(len(known.overdue))}
        for day in ahead
    ]
    shown = {
        "columns": None
        if known.due is None
        else stacked_columns(
            due,
            [(weekday(day)[:2], str(day.day)) for day in ahead],
            width=CHART_WIDTH,
            height=CHART_HEIGHT,
            marks=placed,
            now=0,
        ),
        "spoken": _spoken([(day, count(sum(one.values()))) for day, one in zip(ahead, due, strict=True)]),
        "overdue": known.overdue[:SERVICES_SHOWN],
        "overdue_total": None if known.due is None else len(known.overdue),
        "planned": plan is not None,
        "unplaced": [] if plan is None else plan.unplaced[:UNPLACED_SHOWN],
        "unplaced_total": 0 if plan is None else len(plan.unplaced),
        "changes": () if plan is None else plan.changes[:CHANGES_SHOWN],
        "changes_by_kind": _tally([] if plan is None else [one.kind for one in plan.changes]),
        "codes_known": known.codes is not None,
        "codes": [*known.open_codes("stop"), *known.open_codes("soon")][:CODES_SHOWN],
        "codes_by_severity": [(name, len(known.open_codes(name))) for name in DTC_SEVERITIES],
        "place": _place,
    }
    return _known(report, frame, facts, shown, known.notes)


def _service_facts(known: Maintenance, ahead: Sequence[date]) -> tuple[Fact, ...]:
    if known.due is None:
        return (Fact("overdue or due today", "n/a"), Fact(f"due within {AHEAD_DAYS} days", "n/a"))
    soon = sum(known.due_on(day) for day in ahead[1:])
    vehicles = len({service.vehicle_id for service in known.overdue})
    return (
        Fact(
            "overdue or due today",
            count(len(known.overdue)),
            f"of {some(vehicles, 'vehicle')}",
            vehicles > 0,
        ),
        Fact(f"due within {AHEAD_DAYS} days", count(soon), "by km, hours or months"),
    )


def _plan_facts(known: Maintenance) -> tuple[Fact, ...]:
    plan = known.plan
    if plan is None:
        return (
            Fact("in a workshop today", "n/a"),
            Fact("planned this week", "n/a"),
            Fact("without a place", "n/a"),
        )
    week = [
        job
        for job in plan.jobs
        if job.first_day is not None and known.today < job.first_day <= known.today + timedelta(days=7)
    ]
    late = sum(job.is_overdue for job in plan.unplaced)
    return (
        Fact("in a workshop today", count(len(plan.on(known.today))), _sites(plan.on(known.today))),
        Fact("begin within 7 days", count(len(week)), _sites(week)),
        Fact("without a place", count(len(plan.unplaced)), f"{count(late)} overdue", late > 0),
    )


def _code_fact(known: Maintenance) -> Fact:
    if known.codes is None:
        return Fact("trouble codes open", "n/a")
    stop, soon = len(known.open_codes("stop")), len(known.open_codes("soon"))
    return Fact(
        "trouble codes open", count(len(known.codes)), f"{count(stop)} stop, {count(soon)} soon", stop > 0
    )


def _known(
    report: MorningReport,
    frame: tuple[str, str, str, str],
    facts: tuple[Fact, ...],
    shown: dict[str, Any],
    notes: tuple[str, ...] = (),
) -> Section:
    behind = behind_words(report.vehicles.behind, report.as_of)
    return Section(*frame, behind=behind, notes=notes, facts=facts, shown=shown)


def _columns(
    parts: Sequence[Mapping[str, float] | None], days: Sequence[date], text: Sequence[str] = ()
) -> Columns:
    return stacked_columns(
        parts, [_tick(day) for day in days], width=CHART_WIDTH, height=CHART_HEIGHT, text=text
    )


def _tick(day: date) -> tuple[str, str]:
    return weekday(day), str(day.day)


def _spoken(pairs: Sequence[tuple[date, str]]) -> str:
    return "; ".join(f"{weekday(day)} {short_day(day)} {text}" for day, text in pairs)


def _against(gap_pp: float | None) -> str:
    return "" if gap_pp is None else f"{signed_points(gap_pp)} pts vs 7 days"


def _usual(words: str) -> str:
    return "" if words == "n/a" else f"{words} vs 7 days"


def _mean(days: Sequence[DutyDay]) -> str:
    return f"usual: {usual_count(sum(day.total for day in days) / len(days))}" if days else "no days before"


def _without_us(days: Sequence[DutyDay]) -> str:
    return "; without 49 CFR 395" if any(day.us for day in days) else ""


def _sites(jobs: Sequence[PlannedJob]) -> str:
    return f"at {some(len({job.site for job in jobs}), 'site')}" if jobs else ""


def _tally(kinds: Sequence[str]) -> str:
    return ", ".join(
        f"{kinds.count(kind)} {kind}" for kind in ("added", "moved", "dropped", "gone") if kind in kinds
    )


def _place(job: PlannedJob | None) -> str:
    """Return where a service stands in the plan."""
    if job is None:
        return "not in the plan"
    if job.first_day is None:
        return "no place"
    return f"{short_day(job.first_day)}, {job.site or 'n/a'}"
