"""The report in one sentence, and where to look first. Judged on exact numbers, said in rounded ones."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from serving.report.health import Level, worst_level
from serving.report.model import MorningReport, SlaRow
from serving.report.wording import count, day, label, percent, plain_points, some

NEAR_PP = 1.0
FAR_PP = 5.0


class Standing(StrEnum):
    """How the day stands against its target."""

    ON_TARGET = "on target"
    JUST_BELOW = "just below target"
    BELOW = "below target"
    WELL_BELOW = "well below target"
    NO_TARGET = "no target set"
    NOTHING_DUE = "nothing was due"


@dataclass(frozen=True)
class Verdict:
    """The standing, the sentence on the day, and a warning if the data under it is not healthy."""

    standing: Standing
    sentence: str
    caveat: str | None

    @property
    def line(self) -> str:
        """Everything on one line, for a terminal or a message."""
        return f"{self.sentence} {self.caveat}" if self.caveat else self.sentence


def judge(report: MorningReport) -> Verdict:
    """Return the verdict over the report's day."""
    row = report.headline
    standing = stand(row)
    return Verdict(standing, _sentence(report, row, standing), _caveat(report))


def stand(row: SlaRow) -> Standing:
    """Return how a row stands against its target; one point or less below is "just below"."""
    gap = row.vs_target_pp
    if not row.due:
        return Standing.NOTHING_DUE
    if gap is None:
        return Standing.NO_TARGET
    if gap >= 0:
        return Standing.ON_TARGET
    if gap >= -NEAR_PP:
        return Standing.JUST_BELOW
    return Standing.BELOW if gap >= -FAR_PP else Standing.WELL_BELOW


def look_first(report: MorningReport) -> list[str]:
    """Return up to three sentences on where the most missed promises are; empty when none was missed."""
    found = []
    for dimension in ("region", "carrier"):
        rows = report.of(dimension)
        if len(rows) > 1 and rows[0].missed:
            found.append(_member_sentence(rows[0], report.headline))
    if report.lanes:
        lane = report.lanes[0]
        place = f"{lane.origin} \N{RIGHTWARDS ARROW} {lane.destination}"
        found.append(f"Lane {place}: {count(lane.missed)} of {some(lane.due, 'promise')} missed.")
    return found


def _sentence(report: MorningReport, row: SlaRow, standing: Standing) -> str:
    if standing is Standing.NOTHING_DUE:
        return f"No shipments were due on {day(report.report_date)}."
    arrived = f"{percent(row.on_time_share)} of {some(row.due, 'shipment')} due arrived on time"
    return f"{standing.value.capitalize()}: {arrived}, {_against_target(row)}{_against_week(row)}."


def _against_target(row: SlaRow) -> str:
    gap = row.vs_target_pp
    if gap is None:
        return "with no target to hold it against"
    target = f"the target of {percent(row.target_share)}"
    if gap == 0:
        return f"exactly {target}"
    return f"{plain_points(gap)} {'above' if gap > 0 else 'below'} {target}"


def _against_week(row: SlaRow) -> str:
    change = row.vs_7d_pp
    if change is None:
        return "; there is no history of the last 7 days yet"
    if abs(change) < 0.05:
        return " and level with the last 7 days"
    return f" and {plain_points(change)} {'better' if change > 0 else 'worse'} than the last 7 days"


def _member_sentence(row: SlaRow, whole: SlaRow) -> str:
    part = f", {percent(row.missed / whole.missed)} of all misses" if whole.missed else ""
    name = f"{label(row.dimension).capitalize()} {row.member}"
    return f"{name}: {count(row.missed)} of {some(row.due, 'promise')} missed{part}."


def _caveat(report: MorningReport) -> str | None:
    level = worst_level(report)
    if level is Level.OK:
        return None
    if level is Level.WARN:
        return "Some of the data needs a look: see data health."
    return "Read with care, the data is not healthy: see data health."
