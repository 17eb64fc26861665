"""Local days: where they begin, by time zone, with days of 23 and 25 hours (and of none) as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from domain.tracks.table import Ints

US = 1_000_000
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Midnights:
    """The instants at which local days begin, a row of microseconds a zone; column i is the day `first_day` + i.

    Days are counted since 1970-01-01, as in Arrow's date32.
    """

    zones: tuple[str, ...]
    first_day: int
    starts_us: tuple[Ints, ...]

    def day_of(self, zone: Ints, times_us: Ints) -> Ints:
        """Return the local day of each instant.

        Raises:
            ValueError: an instant is not between the first and the last midnight, or a zone is none of ours.
        """
        days = np.empty(len(times_us), np.int64)
        for at in _distinct(zone):
            if not 0 <= at < len(self.zones):
                raise ValueError(f"zone: {at}, expected 0 to {len(self.zones) - 1}")
            here = slice(None) if len(self.zones) == 1 else zone == at
            starts, times = self.starts_us[at], times_us[here]
            if len(times) and (times.min() < starts[0] or times.max() >= starts[-1]):
                raise ValueError(f"{self.zones[at]}: a time outside of the days that were asked for")
            days[here] = np.searchsorted(starts, times, "right") - 1 + self.first_day
        return days

    def starts_of_days(self, zone: Ints, days: Ints) -> Ints:
        """Return the instant at which each local day begins."""
        starts = np.empty(len(days), np.int64)
        for at in _distinct(zone):
            here = zone == at
            starts[here] = self.starts_us[at][days[here] - self.first_day]
        return starts


def find_midnights(zones: Sequence[str], first_us: int, last_us: int) -> Midnights:
    """Find the local midnights of these IANA zones that surround all instants from `first_us` to `last_us`.

    A day whose midnight the clocks skip begins when they are put forward; one whose midnight comes twice, at the first.

    Raises:
        zoneinfo.ZoneInfoNotFoundError: a zone is unknown.
        ValueError: the range is empty, or beyond the years that a calendar has.
    """
    if last_us < first_us:
        raise ValueError(f"last_us: {last_us}, expected at least first_us, {first_us}")
    try:
        # Zones reach from UTC-12 to UTC+14.
        first = EPOCH + timedelta(days=first_us // (86_400 * US) - 2)
        last = EPOCH + timedelta(days=last_us // (86_400 * US) + 3)
    except OverflowError as error:
        raise ValueError(f"times from {first_us} to {last_us} us are not of any calendar") from error
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    starts = tuple(np.array([_midnight_us(day, ZoneInfo(zone)) for day in days], np.int64) for zone in zones)
    return Midnights(tuple(zones), (first - EPOCH).days, starts)


def _midnight_us(day: date, zone: ZoneInfo) -> int:
    local = datetime(day.year, day.month, day.day, tzinfo=zone)
    return int(local.astimezone(UTC).timestamp()) * US


def _distinct(zone: Ints) -> list[int]:
    if len(zone) and zone[0] == zone[-1] and not np.any(zone != zone[0]):
        return [int(zone[0])]
    return [int(at) for at in np.unique(zone)]
