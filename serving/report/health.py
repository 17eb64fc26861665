"""Judges the data under the report: each line a level, and words that stand without the colour.

The limits are promises of the platform (status visible p99 < 3 min) or of its schedules (a micro-batch every
minute, a CDC pull every few), with slack for a missed turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from serving.report.model import Health, MorningReport
from serving.report.wording import clock, count, label, minutes, percent, seconds, size, some

FRESHNESS_LIMIT_S = 180.0
RUN_AGE_LIMIT_MIN = 15.0
PENDING_AGE_LIMIT_MIN = 5.0
REJECT_SHARE_LIMIT = 0.01
CDC_AGE_LIMIT_MIN = 30.0
CDC_RETAINED_LIMIT = 1 << 30
VERIFIED_AGE_LIMIT_MIN = 180.0


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "look"
    BAD = "bad"


@dataclass(frozen=True)
class Finding:
    """One aspect of the data's health; `value` is its figure, `words` what it means."""

    aspect: str
    level: Level
    value: str
    words: str


def findings(report: MorningReport) -> list[Finding]:
    """Return every aspect of the data's health, in the order in which data flows."""
    health, as_of = report.health, report.as_of
    return [
        _rejects(health),
        _cdc(health, as_of),
        _transform(health, as_of),
        _freshness(health),
        _checks(health),
        _reconciliation(health, as_of),
    ]


def worst_level(report: MorningReport) -> Level:
    """Return the worst level of all aspects."""
    levels = {finding.level for finding in findings(report)}
    return next(level for level in (Level.BAD, Level.WARN, Level.OK) if level in levels)


def _age_min(moment: datetime, as_of: datetime) -> float:
    return (as_of - moment).total_seconds() / 60


def _rejects(health: Health) -> Finding:
    read, rejected = sum(f.events_read for f in health.feeds), sum(f.rejected for f in health.feeds)
    if not read:
        return Finding("Landing", Level.BAD, "0 events", "Nothing landed in the last 24 hours.")
    part = rejected / read
    level = Level.WARN if part > REJECT_SHARE_LIMIT else Level.OK
    limit = "above" if level is Level.WARN else "within"
    words = (
        f"{some(rejected, 'event')} of {count(read)} refused ({percent(part)}), {limit} the 1% that is usual."
    )
    return Finding("Landing", level, some(read, "event"), words)


def _cdc(health: Health, as_of: datetime) -> Finding:
    aspect = "Order database"
    if not health.cdc:
        return Finding(aspect, Level.BAD, "no pull", "The order database was not read in the last 7 days.")
    oldest = min(health.cdc, key=lambda pull: pull.started_at)
    age, retained = _age_min(oldest.started_at, as_of), max(pull.retained_bytes or 0 for pull in health.cdc)
    if age > CDC_AGE_LIMIT_MIN:
        return Finding(
            aspect,
            Level.BAD,
            f"{minutes(age)} old",
            f"Last read {clock(oldest.started_at)}: orders are stale.",
        )
    if retained > CDC_RETAINED_LIMIT:
        return Finding(aspect, Level.WARN, size(retained), "The slot holds back more log than 1 GiB.")
    lag = max((pull.lag_bytes or 0 for pull in health.cdc), default=0)
    return Finding(
        aspect, Level.OK, f"{minutes(age)} old", f"Read {clock(oldest.started_at)}, {size(lag)} behind."
    )


def _transform(health: Health, as_of: datetime) -> Finding:
    aspect, runs = "Warehouse build", health.run_counts
    if runs.last_done_at is None:
        return Finding(
            aspect, Level.BAD, "no run", "No build finished in the last 24 hours: the figures are old."
        )
    age = _age_min(runs.last_done_at, as_of)
    broken = f"{count(runs.failed)} failed, {count(runs.held)} held"
    words = f"{some(runs.done, 'build')} done, {broken} in 24 hours; {count(runs.pending)} batches wait."
    late = age > RUN_AGE_LIMIT_MIN
    waits = runs.oldest_pending_at and _age_min(runs.oldest_pending_at, as_of) > PENDING_AGE_LIMIT_MIN
    level = (
        Level.BAD
        if late and runs.pending
        else Level.WARN
        if late or waits or runs.failed or runs.held
        else Level.OK
    )
    return Finding(aspect, level, f"{minutes(age)} ago", words)


def _freshness(health: Health) -> Finding:
    aspect = "Freshness p99"
    if not health.runs:
        return Finding(aspect, Level.WARN, "n/a", "No build of the last 24 hours measured it.")
    slow = [run for run in health.runs if run.p99_s > FRESHNESS_LIMIT_S]
    latest = health.runs[-1].p99_s
    level = Level.BAD if latest > FRESHNESS_LIMIT_S else Level.WARN if slow else Level.OK
    words = f"{count(len(slow))} of {some(len(health.runs), 'build')} slower than the promised 3 min."
    return Finding(aspect, level, seconds(latest), words)


def _checks(health: Health) -> Finding:
    aspect = "Data checks"
    if not health.checks_total:
        return Finding(aspect, Level.WARN, "none", "No check ran in the last 24 hours.")
    failing = [check for check in health.failed_checks if check.failing_now]
    errors = [check for check in failing if check.severity == "error"]
    level = Level.BAD if errors else Level.WARN if failing else Level.OK
    recovered = len(health.failed_checks) - len(failing)
    warnings = len(failing) - len(errors)
    words = f"{some(len(errors), 'error')} and {some(warnings, 'warning')} now, {count(recovered)} recovered."
    return Finding(aspect, level, f"{count(len(failing))} of {count(health.checks_total)} fail", words)


def _reconciliation(health: Health, as_of: datetime) -> Finding:
    aspect, found = "Reconciliation", health.reconciliation
    if found.open_total:
        worst = found.open[0]
        words = f"{some(found.open_total, 'closed window')} not adding up, the newest of {label(worst.feed)}."
        return Finding(aspect, Level.BAD, f"{count(found.open_total)} open", words)
    hours = [feed.hours_through for feed in found.feeds if feed.hours_through is not None]
    if found.checked_at is None or not hours:
        return Finding(aspect, Level.WARN, "none", "No closed hour was reconciled yet.")
    through, repairs = min(hours), some(len(found.repaired), "window")
    age = _age_min(through, as_of)
    level = Level.WARN if age > VERIFIED_AGE_LIMIT_MIN else Level.OK
    words = f"Every feed adds up on every arm until then; {repairs} repaired in 24 hours."
    return Finding(aspect, level, f"through {clock(through, as_of)}", words)
