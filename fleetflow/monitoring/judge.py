"""Finds what stands above its limit, worst first, and says it in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from fleetflow.monitoring.model import Finding, Look, Reading, Signal, Unit, began, subject_of

Seen = Mapping[tuple[str, str], datetime]
"""Since when a fault has been seen standing, by signal and subject, where an earlier look has kept it."""


def find_faults(look: Look, seen: Seen | None = None, *, eager: bool = True) -> list[Finding]:
    """Return every reading above a limit; errors first, then the oldest.

    A fault whose beginning neither the reading nor an earlier look tells counts as standing if `eager`, as for a
    person who looks for the first time; else it has just begun.
    """
    found = [
        finding
        for measured in look.measured.values()
        for reading in measured.readings
        if (finding := _judge(look.at, measured.signal, reading, seen or {}, eager))
    ]
    return sorted(found, key=lambda f: (f.severity != "error", not f.standing, f.since))


def _judge(at: datetime, signal: Signal, reading: Reading, seen: Seen, eager: bool) -> Finding | None:
    level = signal.level_of(reading.value)
    if level is None:
        return None
    earlier = seen.get((signal.name, subject_of(signal, reading.labels)))
    told = [moment for moment in (earlier, began(signal, reading)) if moment]
    start = min(told, default=None)
    hold = timedelta(seconds=signal.hold_s)
    standing = (eager or not hold) if start is None else at - start >= hold
    return Finding(
        signal,
        reading.labels,
        level.severity,
        reading.value,
        began_at=start or at,
        since=reading.since or start or at,
        standing=standing,
        words=describe(signal, reading),
    )


def describe(signal: Signal, reading: Reading) -> str:
    """Say in words what is wrong."""
    facts = dict(zip(signal.labels, reading.labels, strict=True))
    return signal.words.format_map(
        {**facts, "value": amount(signal.unit, reading.value), "detail": _short(reading.detail)}
    )


def amount(unit: Unit, value: float) -> str:
    """Return a value as a person reads it."""
    match unit:
        case Unit.SECONDS:
            return span(value)
        case Unit.BYTES:
            return _bytes(value)
        case Unit.RATIO:
            return f"{value:.1%}"
        case Unit.STATE:
            return f"{value:g}"
    noun = str(unit)
    return f"{value:,.0f} {noun.removesuffix('s') if value == 1 else noun}"


def span(seconds: float) -> str:
    """Return a duration in its two largest units: 45 s, 12 min 3 s, 5 h 10 min, 3 d 4 h."""
    whole = int(max(0.0, seconds))
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts = []
    for name, size in units:
        count, whole = divmod(whole, size)
        parts.append((count, name))
    first = next((n for n, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {name}" for count, name in parts[first : first + 2] if count) or "0 s"


def summary(findings: Iterable[Finding]) -> dict[str, int]:
    """Count the standing faults by severity."""
    counts = {"error": 0, "warn": 0}
    for finding in findings:
        if finding.standing:
            counts[finding.severity] += 1
    return counts


def _bytes(value: float) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} bytes"


def _short(detail: str) -> str:
    line = " ".join(detail.split())
    return line if len(line) <= 300 else f"{line[:297]}..."
