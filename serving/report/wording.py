"""Numbers and times as people read them. Every function takes None and says "n/a" for it."""

from __future__ import annotations

from datetime import date, datetime, timedelta

NOT_KNOWN = "n/a"
MINUS = "\N{MINUS SIGN}"
_UNITS = (("d", 1440), ("h", 60), ("min", 1))


def percent(value: float | None) -> str:
    """Return a share as a percentage with one decimal; rounding never turns "nearly all" into "all"."""
    if value is None:
        return NOT_KNOWN
    tenths = round(value * 1000)
    if tenths == 1000 and value < 1:
        tenths = 999
    if tenths == 0 and value > 0:
        tenths = 1
    return f"{tenths / 10:.1f}%"


def signed_points(value: float | None) -> str:
    """Return a difference in percentage points with its sign, as "+1.2" or "-0.4"."""
    if value is None:
        return NOT_KNOWN
    size = f"{abs(value):.1f}"
    if size == "0.0":
        return "±0.0"
    return f"{'+' if value > 0 else MINUS}{size}"


def plain_points(value: float) -> str:
    """Return the size of a difference in words: "1.2 points"."""
    size = f"{abs(value):.1f}"
    return {"0.0": "less than 0.1 points", "1.0": "1.0 point"}.get(size, f"{size} points")


def count(value: float | None) -> str:
    """Return a whole number with thousands separated."""
    return NOT_KNOWN if value is None else f"{value:,.0f}"


def usual_count(value: float | None) -> str:
    """Return an average: whole from ten on, with one decimal below."""
    return f"{value:.1f}" if value is not None and value < 10 else count(value)


def some(number: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun, in the singular where it is one."""
    return f"{count(number)} {noun if number == 1 else plural or noun + 's'}"


def minutes(value: float | None) -> str:
    """Return minutes as "2 h 05 min" or "3 d 4 h": two units at most; negative gets a minus sign."""
    if value is None:
        return NOT_KNOWN
    left = abs(round(value))
    parts: list[str] = []
    for unit, size in _UNITS:
        amount, left = divmod(left, size)
        if amount or parts or unit == "min":
            parts.append(f"{amount:02d} {unit}" if parts and unit == "min" else f"{amount} {unit}")
    return (MINUS if round(value) < 0 else "") + " ".join(parts[:2])


def seconds(value: float | None) -> str:
    """Return seconds as "41 s", or "2 min 05 s" from two minutes on; the first 10 with a decimal."""
    if value is None:
        return NOT_KNOWN
    if value >= 7200:
        return minutes(value / 60)
    if value >= 120:
        return f"{round(value) // 60} min {round(value) % 60:02d} s"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def size(value: float | None) -> str:
    """Return bytes in binary units, as "3.2 MiB"."""
    if value is None:
        return NOT_KNOWN
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def hours(value: float | None) -> str:
    """Return seconds as whole hours, or with one decimal below 100: "1,204 h"."""
    if value is None:
        return NOT_KNOWN
    return f"{value / 3600:,.1f} h" if abs(value) < 360_000 else f"{value / 3600:,.0f} h"


def decimal(value: float | None) -> str:
    """Return a number with one decimal."""
    return NOT_KNOWN if value is None else f"{value:,.1f}"


def change(value: float | None, usual: float | None) -> str:
    """Return the difference to what is usual in percent with its sign: "+4%"; "n/a" where either is not known."""
    if value is None or not usual:
        return NOT_KNOWN
    part = round(100 * (value / usual - 1))
    return f"{'+' if part > 0 else MINUS if part < 0 else '±'}{abs(part):,}%"


def short_key(value: str) -> str:
    """Return the start of a pseudonym, enough to find it by; the whole of it is in the table file."""
    return value if len(value) <= 12 else f"{value[:12]}…"


def short_day(value: date | None) -> str:
    """Return a day as "19 Nov"."""
    return NOT_KNOWN if value is None else f"{value.day} {_MONTHS[value.month - 1]}"


def day(value: date) -> str:
    """Return a day as "Thu 19 Nov 2026"; English whatever the locale."""
    return f"{weekday(value)} {value.day} {_MONTHS[value.month - 1]} {value.year}"


def weekday(value: date) -> str:
    """Return the English weekday in three letters."""
    return _WEEKDAYS[value.weekday()]


def clock(value: datetime | None, today: datetime | None = None) -> str:
    """Return a moment as "20 Nov 06:00", or as "06:00" where it is of the same day as `today`."""
    if value is None:
        return NOT_KNOWN
    if today is not None and value.date() == today.date():
        return f"{value:%H:%M}"
    return f"{value.day} {_MONTHS[value.month - 1]} {value:%H:%M}"


def through_day(end: datetime | None) -> str:
    """Return the last day before the end of one, as "19 Nov"."""
    if end is None:
        return NOT_KNOWN
    last = end - timedelta(microseconds=1)
    return f"{last.day} {_MONTHS[last.month - 1]}"


def label(name: str) -> str:
    """Return a code as words: "failed_attempt" as "failed attempt"."""
    return name.replace("_", " ")


def opening(text: str) -> str:
    """Return text with its first letter a capital, the rest as it is."""
    return text[:1].upper() + text[1:]


_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
