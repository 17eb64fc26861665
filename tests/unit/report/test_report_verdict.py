"""The verdict's words: judged on exact figures, said in rounded ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import report_samples as samples

from serving.report.health import Level, findings, worst_level
from serving.report.model import Health, MorningReport, SlaRow, VerifiedFeed
from serving.report.verdict import Standing, judge, look_first, stand


def whole(due: int, on_time: int, target: float | None = 0.95, week: float | None = 0.96) -> SlaRow:
    return SlaRow(
        "all", "all", due, due, on_time, due - on_time, 0, on_time / due if due else None, target, week
    )


def report_of(row: SlaRow | None, health: Health | None = None) -> MorningReport:
    rows = () if row is None else (row,)
    return MorningReport(
        "acme", samples.DAY, samples.AS_OF, samples.AS_OF, sla=rows, health=health or samples.healthy()
    )


@pytest.mark.parametrize(
    ("due", "on_time", "target", "standing"),
    [
        (1000, 980, 0.95, Standing.ON_TARGET),
        (1000, 950, 0.95, Standing.ON_TARGET),
        (30, 27, (10 * 0.97 + 10 * 0.83 + 10 * 0.9) / 30, Standing.ON_TARGET),
        (100_000, 94_999, 0.95, Standing.JUST_BELOW),
        (1000, 940, 0.95, Standing.JUST_BELOW),
        (1000, 939, 0.95, Standing.BELOW),
        (1000, 899, 0.95, Standing.WELL_BELOW),
        (1000, 980, None, Standing.NO_TARGET),
        (0, 0, 0.95, Standing.NOTHING_DUE),
    ],
)
def test_standing(due: int, on_time: int, target: float | None, standing: Standing) -> None:
    assert stand(whole(due, on_time, target)) is standing


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            whole(1240, 1141),
            "Below target: 92.0% of 1,240 shipments due arrived on time, 3.0 points below the target of 95.0%"
            " and 4.0 points worse than the last 7 days.",
        ),
        (
            whole(1000, 980),
            "On target: 98.0% of 1,000 shipments due arrived on time, 3.0 points above the target of 95.0%"
            " and 2.0 points better than the last 7 days.",
        ),
        (
            whole(100_000, 94_999, week=0.95),
            "Just below target: 95.0% of 100,000 shipments due arrived on time, less than 0.1 points below"
            " the target of 95.0% and level with the last 7 days.",
        ),
        (
            whole(1, 0, week=None),
            "Well below target: 0.0% of 1 shipment due arrived on time, 95.0 points below the target of"
            " 95.0%; there is no history of the last 7 days yet.",
        ),
        (
            whole(20, 19, target=None),
            "No target set: 95.0% of 20 shipments due arrived on time, with no target to hold it against"
            " and 1.0 point worse than the last 7 days.",
        ),
        (None, "No shipments were due on Thu 19 Nov 2026."),
        (whole(0, 0), "No shipments were due on Thu 19 Nov 2026."),
    ],
)
def test_sentence(row: SlaRow | None, sentence: str) -> None:
    assert judge(report_of(row)).line == sentence


def test_unhealthy_data_is_said_in_the_verdict() -> None:
    verdict = judge(report_of(whole(10, 10), Health()))
    assert verdict.caveat == "Read with care, the data is not healthy: see data health."
    assert verdict.line.endswith(verdict.caveat)


def test_look_first_names_what_costs_most() -> None:
    report = samples.morning()
    made = [s for s in samples.shipments() if s.day == samples.DAY]
    missed = [s for s in made if s.outcome != "on_time"]
    rhein = [s for s in made if s.region == "Rhein-Ruhr"]
    lost = sum(s.outcome != "on_time" for s in rhein)
    assert look_first(report)[0] == (
        f"Region Rhein-Ruhr: {lost} of {len(rhein)} promises missed,"
        f" {100 * lost / len(missed):.1f}% of all misses."
    )
    assert look_first(report)[2] == (
        "Lane Hamburg Billbrook Hub \N{RIGHTWARDS ARROW} Dortmund Depot Ost: 9 of 34 promises missed."
    )


def test_look_first_is_empty_when_all_was_kept() -> None:
    assert look_first(report_of(whole(10, 10))) == []


def level_of(health: Health, aspect: str) -> Level:
    return next(f.level for f in findings(report_of(None, health)) if f.aspect == aspect)


def test_healthy_platform_has_no_caveat() -> None:
    assert worst_level(report_of(None)) is Level.OK


def test_platform_of_which_nothing_is_known_is_not_healthy() -> None:
    levels = {f.aspect: f.level for f in findings(report_of(None, Health()))}
    assert levels == {
        "Landing": Level.BAD,
        "Order database": Level.BAD,
        "Warehouse build": Level.BAD,
        "Freshness p99": Level.WARN,
        "Data checks": Level.WARN,
        "Reconciliation": Level.WARN,
    }


def test_health_limits() -> None:
    fine = samples.healthy()
    slow = replace(fine.runs[-1], p99_s=181.0)
    assert level_of(replace(fine, runs=(*fine.runs, slow)), "Freshness p99") is Level.BAD
    assert level_of(replace(fine, runs=(slow, *fine.runs)), "Freshness p99") is Level.WARN
    feed = replace(fine.feeds[0], events_read=100, accepted=98, rejected=2)
    assert level_of(replace(fine, feeds=(feed,)), "Landing") is Level.WARN
    old = replace(fine.cdc[0], started_at=samples.AS_OF - timedelta(minutes=31))
    assert level_of(replace(fine, cdc=(old,)), "Order database") is Level.BAD
    full = replace(fine.cdc[0], retained_bytes=2 << 30)
    assert level_of(replace(fine, cdc=(full,)), "Order database") is Level.WARN
    stuck = replace(fine.run_counts, last_done_at=samples.AS_OF - timedelta(minutes=16))
    assert level_of(replace(fine, run_counts=stuck), "Warehouse build") is Level.BAD
    idle = replace(stuck, pending=0, oldest_pending_at=None)
    assert level_of(replace(fine, run_counts=idle), "Warehouse build") is Level.WARN
    warned, recovered = samples.morning().health.failed_checks
    assert level_of(replace(fine, failed_checks=(recovered,)), "Data checks") is Level.OK
    assert level_of(replace(fine, failed_checks=(warned,)), "Data checks") is Level.WARN
    assert level_of(replace(fine, reconciliation=samples.differing()), "Reconciliation") is Level.BAD
    behind = replace(
        samples.verified(), feeds=(VerifiedFeed("gps_location", samples.AS_OF - timedelta(hours=4), None, 0),)
    )
    assert level_of(replace(fine, reconciliation=behind), "Reconciliation") is Level.WARN
    failing = replace(warned, severity="error")
    assert level_of(replace(fine, failed_checks=(failing,)), "Data checks") is Level.BAD
