"""Turns a report into one HTML page that needs nothing else: no script, no font, no request.

Pure: the same report gives the same bytes. All that comes from data is escaped by the template engine;
besides, the page's own Content-Security-Policy refuses every request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median

import jinja2

from serving.report import charts, wording
from serving.report.health import FRESHNESS_LIMIT_S, Level, findings
from serving.report.model import DIMENSIONS, Health, MorningReport, SlaRow, TransformRun, share
from serving.report.vehicles.lines import causes_words, fuel_kind, worst_lines
from serving.report.vehicles.views import sections
from serving.report.verdict import Standing, judge, look_first, stand

ROWS_SHOWN = 12
RISKS_SHOWN = 15
FRESHNESS_STEP = timedelta(minutes=30)

_TITLES = {"region": "By region", "carrier": "By carrier", "service_level": "By service level"}


@dataclass(frozen=True)
class SlaLine:
    """One row of an SLA table with its bar and its eight days."""

    row: SlaRow
    standing: Standing
    bar: charts.Bar | None
    days: charts.Line
    spoken: str


@dataclass(frozen=True)
class SlaTable:
    """One SLA table; `more` members are in the CSV only."""

    dimension: str
    title: str
    lines: tuple[SlaLine, ...]
    more: int
    scale_pp: float


@dataclass(frozen=True)
class Segment:
    """One part of what was due."""

    kind: str
    text: str
    count: int
    x: float
    width: float


@dataclass(frozen=True)
class FreshnessRow:
    """Freshness of one build, or of many taken together, in seconds."""

    text: str
    p50_s: float
    p95_s: float
    p99_s: float


def render_html(report: MorningReport) -> str:
    """Return the page."""
    page = _environment().get_template("page.html.j2")
    return page.render(
        report=report,
        head=report.headline,
        verdict=judge(report),
        first=look_first(report),
        trend=_trend(report),
        segments=segments(report.headline),
        tables=[sla_table(report, dimension) for dimension in DIMENSIONS],
        risks=report.risks.shipments[:RISKS_SHOWN],
        exception_top=max(
            (max(e.count, _usual(report, e.count_7d) or 0) for e in report.exceptions), default=1
        ),
        findings=findings(report),
        freshness=freshness_rows(report.health.runs),
        freshness_line=_freshness_line(report.health, report.as_of),
        freshness_limit=FRESHNESS_LIMIT_S,
        usual=lambda total: _usual(report, total),
        vehicles=sections(report),
        worst=worst_lines(report),
        fuel_kind=fuel_kind,
        causes_words=causes_words,
    )


def sla_table(report: MorningReport, dimension: str) -> SlaTable:
    """Return a dimension's table, the costliest members first."""
    rows = report.of(dimension)
    shown = rows[:ROWS_SHOWN]
    scale = charts.gap_scale([row.vs_target_pp for row in shown])
    lines = tuple(_sla_line(report, row, scale) for row in shown)
    return SlaTable(dimension, _TITLES[dimension], lines, len(rows) - len(shown), scale)


def segments(row: SlaRow) -> list[Segment]:
    """Return what became of everything due, as parts of one bar."""
    parts = (
        ("on-time", "on time", row.on_time),
        ("late", "late", row.late),
        ("open", "not delivered", row.open),
        ("returned", "returned", row.returned),
    )
    found, x = [], 0.0
    for kind, text, count in parts:
        width = 100 * count / row.due if row.due else 0.0
        found.append(Segment(kind, text, count, round(x, 3), round(width, 3)))
        x += width
    return found


def freshness_rows(runs: Sequence[TransformRun]) -> list[FreshnessRow]:
    """Return the latest build, the median over all and the slowest; percentiles are never averaged."""
    if not runs:
        return []
    slowest = max(runs, key=lambda run: run.p99_s)
    latest = runs[-1]
    return [
        FreshnessRow(
            f"Latest build, {wording.clock(latest.finished_at)}", latest.p50_s, latest.p95_s, latest.p99_s
        ),
        FreshnessRow(
            f"Median of {wording.some(len(runs), 'build')}",
            median(run.p50_s for run in runs),
            median(run.p95_s for run in runs),
            median(run.p99_s for run in runs),
        ),
        FreshnessRow(
            f"Slowest, {wording.clock(slowest.finished_at)}", slowest.p50_s, slowest.p95_s, slowest.p99_s
        ),
    ]


def _sla_line(report: MorningReport, row: SlaRow, scale: float) -> SlaLine:
    values = report.days_of(row.dimension, row.member)
    days = (*report.history, report.report_date)
    line = charts.share_line(
        values, row.target_share, days, width=96, height=26, left=3, right=5, top=4, bottom=4
    )
    spoken = ", ".join(
        f"{wording.weekday(d)} {wording.percent(v)}" for d, v in zip(days, values, strict=True)
    )
    return SlaLine(row, stand(row), charts.gap_bar(row.vs_target_pp, scale), line, spoken)


def _trend(report: MorningReport) -> charts.Line:
    days = (*report.history, report.report_date)
    values = report.days_of("all", "all")
    return charts.share_line(
        values,
        report.headline.target_share,
        days,
        width=520,
        height=200,
        left=62,
        right=30,
        top=22,
        bottom=54,
    )


def _freshness_line(health: Health, as_of: datetime) -> charts.Line | None:
    if not health.runs:
        return None
    steps = int(timedelta(days=1) / FRESHNESS_STEP)
    slots: list[float | None] = [None] * steps
    for run in health.runs:
        slot = min(max(steps - 1 - int((as_of - run.finished_at) / FRESHNESS_STEP), 0), steps - 1)
        slots[slot] = max(run.p99_s, slots[slot] or 0.0)
    return charts.seconds_line(slots, FRESHNESS_LIMIT_S, width=440, height=90)


def _usual(report: MorningReport, total: int) -> float | None:
    """Return the average a day, over those of the 7 days before of which anything is known."""
    return share(total, report.days_known)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = (
        wording.percent,
        wording.signed_points,
        wording.count,
        wording.some,
        wording.minutes,
        wording.seconds,
        wording.size,
        wording.usual_count,
        wording.day,
        wording.clock,
        wording.through_day,
        wording.label,
        wording.opening,
        wording.decimal,
        wording.short_day,
        wording.short_key,
    )
    environment.filters.update({word.__name__: word for word in words})
    environment.globals.update(
        Level=Level,
        Standing=Standing,
        share=share,
        ahead=timedelta(days=1),
        spoken_trend=_spoken_trend,
    )
    return environment


def _spoken_trend(report: MorningReport) -> str:
    days = (*report.history, report.report_date)
    pairs = zip(days, report.days_of("all", "all"), strict=True)
    return "; ".join(f"{wording.day(d)} {wording.percent(v)}" for d, v in pairs)
