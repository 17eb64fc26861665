"""What tachographs and drivers record: each activity once it has ended, the one at hand when it begins.

In a shift the driver's card is in slot 1, a second driver's in slot 2; while one drives the other is available. Some
rests are entered by hand afterwards. A rest without a record has no event at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fleetflow.simulator.plan import ACTIVITY
from fleetflow.simulator.vehicle_life.duties import DriverLife
from fleetflow.simulator.vehicle_life.rosters import Seat
from fleetflow.simulator.vehicle_life.shifts import Kind
from fleetflow.simulator.vehicle_life.sources import Ids

MANUAL_SHARE = 0.3
RECORDED_AFTER_MS = 4_000


class Activity(NamedTuple):
    """A driver does one thing; minutes since 1970."""

    start: int
    end: int
    kind: Kind
    in_shift: bool
    slot: int
    by_hand: bool


def activities(life: DriverLife, horizon: int, rng: Random) -> Iterator[Activity]:
    """Go through a driver's life, from the rest before the first shift to the horizon."""
    slot = 2 if life.roster.seat is Seat.SECOND else 1
    first = life.duties[0].start if life.duties else horizon
    yield Activity(life.first_minute, first, Kind.REST, False, slot, False)
    for duty, following in pairwise([*life.duties, None]):
        assert duty is not None
        for start, end, kind in duty.timed():
            yield Activity(start, end, kind, True, slot, False)
        until = following.start if following else max(horizon, duty.end) + 1
        by_hand = rng.random() < MANUAL_SHARE
        if duty.day not in life.unrecorded:
            yield Activity(duty.end, until, Kind.REST, False, slot, by_hand)


class ActivityWriter:
    """Writes driver_activity lines; an entry is an activity that began (and goes on) or one that ended."""

    feed = ACTIVITY

    def __init__(self, tenant: str, life: DriverLife, start_ms: int, horizon: int, rng: Random) -> None:
        self.key = life.roster.driver_id
        self._vehicle = life.roster.vehicle.vehicle_id
        self._crew = "crew" if life.roster.seat in (Seat.FIRST, Seat.SECOND) else "single"
        self._head = (
            f'{{"feed":"driver_activity","tenant_id":"{tenant}","schema_version":1,"driver_id":"{self.key}",'
        )
        self.all = [one for one in activities(life, horizon, rng) if one.start < one.end]
        entries = [(one.end * 60_000 + RECORDED_AFTER_MS, one, False) for one in self.all]
        entries += [
            (max(one.start * 60_000, start_ms) + RECORDED_AFTER_MS + 1, one, True)
            for one in self.all
            if one.end * 60_000 > start_ms and one.start < horizon
        ]
        entries.sort(key=lambda entry: entry[:1])
        self._entries = [(one, is_open) for _, one, is_open in entries]
        self.at_ms: npt.NDArray[np.int64] = np.array([at for at, _, _ in entries], dtype=np.int64)

    def write(self, number: int, recorded_ms: int, ids: Ids) -> list[bytes]:
        """Return the line of an entry."""
        one, is_open = self._entries[number]
        end = "null" if is_open else str(one.end * 60_000)
        origin = "manual" if one.by_hand else "tachograph"
        card = (
            f'"vehicle_id":"{self._vehicle}","slot":{one.slot},"crew":"{self._crew}",'
            if one.in_shift
            else '"vehicle_id":null,"slot":null,"crew":null,'
        )
        return [
            (
                f'{self._head}"event_id":"{ids.next()}","recorded_at":{recorded_ms},{card}'
                f'"activity":"{one.kind.value}","started_at":{one.start * 60_000},"ended_at":{end},'
                f'"origin":"{origin}"}}'
            ).encode()
        ]
