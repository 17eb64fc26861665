"""The worst of each section in a line, and how far the pipeline behind them is, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from serving.report.model import MorningReport
from serving.report.vehicles.model import (
    SEVERITIES,
    Behind,
    Compliance,
    Fuel,
    FuelAnomaly,
    Maintenance,
    Utilization,
)
from serving.report.wording import clock, count, label, minutes, short_day, short_key, some

LATE = timedelta(hours=2)
"""The vehicles' marts are built every hour; a batch that waits longer missed a turn."""

IDLE_WORTH_S = 1800.0
"""Less idling in a day is lights and queues."""
_GRADES = {"MSI": "most serious", "VSI": "very serious", "SI": "serious", "MI": "minor"}
_KINDS = {
    "drain_parked": "lost while parked",
    "drain_moving": "lost under way",
    "leak": "lost little by little",
    "purchase_over_tank": "bought beyond what the tank takes",
    "purchase_elsewhere": "bought where the vehicle was not",
    "purchase_without_rise": "bought and not seen in the tank",
    "rise_without_purchase": "filled without a purchase",
    "consumption_high": "burnt more than usual",
    "sensor": "sensors disagree",
}


@dataclass(frozen=True)
class WorstLine:
    """One sentence, and the section that it leads to."""

    section: str
    text: str


def worst_lines(report: MorningReport) -> list[WorstLine]:
    """Return up to four sentences, the worst of each section; a section that is missing or clean has none."""
    found = []
    for section, worst in (
        ("driver-hours", _worst_driver),
        ("fuel", _worst_loss),
        ("maintenance", _worst_service),
        ("utilization", _worst_idler),
    ):
        text = worst(report)
        if text is not None:
            found.append(WorstLine(section, text))
    return found


def behind_words(behind: Behind, as_of: datetime) -> str | None:
    """Return a sentence where the vehicles' pipeline is behind; None where it is not."""
    if not behind.pending:
        return None
    waiting = f"{some(behind.pending, 'batch', 'batches')} of the vehicle side not yet in the marts"
    if behind.last_done_at is None:
        return f"No build of the vehicle side has finished: {waiting}."
    if behind.oldest_pending_at is None or as_of - behind.oldest_pending_at <= LATE:
        return None
    since = clock(behind.oldest_pending_at, as_of)
    return f"The vehicle side is behind: {waiting}, the oldest since {since} UTC. These figures lack them."


def fuel_kind(kind: str) -> str:
    """Return what an anomaly is of, in words."""
    return _KINDS.get(kind, label(kind))


def grade(severity: str) -> str:
    """Return a class of infringement in words: "MSI" as "most serious"."""
    return _GRADES.get(severity, label(severity))


def causes_words(anomaly: FuelAnomaly) -> str:
    """Return the causes worth a thought with their confidence: "theft very likely, leak possible"."""
    told = [cause for cause in anomaly.causes if cause.confidence != "unlikely"] or list(anomaly.causes[:1])
    return ", ".join(f"{label(cause.cause)} {cause.confidence}" for cause in told[:3]) or "cause not known"


def _worst_driver(report: MorningReport) -> str | None:
    section = report.vehicles.compliance
    if not isinstance(section, Compliance) or not section.offenders:
        return None
    driver = section.offenders[0]
    worst = next((name for name in SEVERITIES if driver.by_severity.get(name)), None)
    number = driver.by_severity[worst] if worst else driver.total
    kind = f"{grade(worst)} infringement" if worst else "infringement"
    rule = f"{label(driver.rules[0].lower())}{' first' if number > 1 else ''}"
    return f"Driver {short_key(driver.driver_key)}: {some(number, kind)}, {rule}."


def _worst_loss(report: MorningReport) -> str | None:
    section = report.vehicles.fuel
    if not isinstance(section, Fuel) or not section.anomalies:
        return None
    worst = section.anomalies[0]
    litres = f"{count(worst.volume_l)} l " if worst.volume_l is not None else ""
    return f"Vehicle {worst.vehicle_id}: {litres}{fuel_kind(worst.kind)}, {causes_words(worst)}."


def _worst_service(report: MorningReport) -> str | None:
    section = report.vehicles.maintenance
    if not isinstance(section, Maintenance):
        return None
    stops = section.open_codes("stop")
    if stops:
        code = stops[0]
        return f"Vehicle {code.vehicle_id}: trouble code {code.code} says stop, for {minutes(code.age_days * 1440)}."
    overdue = section.overdue
    if not overdue:
        return None
    worst = overdue[0]
    since = f" since {short_day(worst.due_on)}" if worst.due_on else ""
    return f"Vehicle {worst.vehicle_id}: {label(worst.task_id)} overdue{since}; {count(len(overdue))} overdue in all."


def _worst_idler(report: MorningReport) -> str | None:
    section = report.vehicles.utilization
    if not isinstance(section, Utilization) or not section.idlers:
        return None
    worst = section.idlers[0]
    if worst.idle_s is None or worst.engine_on_s is None or worst.idle_s < IDLE_WORTH_S:
        return None
    idled, ran = minutes(worst.idle_s / 60), minutes(worst.engine_on_s / 60)
    return f"Vehicle {worst.vehicle_id}: idled {idled} of the {ran} that its engine ran."
