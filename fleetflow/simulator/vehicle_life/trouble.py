"""Trouble codes that come and go: spells of a code, once or again, closed or open to the end.

A spell is planted in time; what the marts can know of it begins with the first report (the engine runs) in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from fleetflow.simulator.vehicle_life.frames import Code

HOUR_S = 3600.0
# SPN and FMI: coolant too hot, oil pressure too low, soot filter, NOx sensor, wheel speed, battery, bus, the largest.
TRUCK_CODES = tuple(
    (spn, fmi, None)
    for spn, fmi in ((110, 0), (100, 1), (3251, 16), (3216, 9), (904, 2), (168, 4), (524287, 31), (639, 14))
)
VAN_CODES = tuple((None, None, code) for code in ("P0301", "P2002", "U0100", "C0035", "B1318", "P0420"))


class Spell(NamedTuple):
    """A code of one control unit between two moments (`end_s` infinite: open); `recurrence` from 1."""

    spn: int | None
    fmi: int | None
    code: str | None
    start_s: float
    end_s: float
    recurrence: int


def plan_spells(is_van: bool, place: int, begin_s: float, start_s: float, rng: Random) -> tuple[Spell, ...]:
    """Plant by the vehicle's place among its like: nothing, an open code, one that returned, several at once."""
    pattern = place % 5
    if pattern in (0, 4):
        return ()
    wanted = {1: 1, 2: 1, 3: 3}[pattern]
    codes: Sequence[tuple[int | None, int | None, str | None]] = VAN_CODES if is_van else TRUCK_CODES
    spells: list[Spell] = []
    for spn, fmi, text in rng.sample(codes, wanted):
        first = begin_s + rng.uniform(8, 30) * HOUR_S
        if pattern == 2:  # gone for a day, and back
            gone = first + rng.uniform(10, 14) * HOUR_S
            spells.append(Spell(spn, fmi, text, first, gone, 1))
            first = gone + 24 * HOUR_S
        recurrence = 2 if pattern == 2 else 1
        spells.append(Spell(spn, fmi, text, first, float("inf"), recurrence))
    return tuple(spells)


def active_at(spells: Sequence[Spell], at_s: float) -> list[Spell]:
    """Return what a report of that moment lists."""
    return [spell for spell in spells if spell.start_s <= at_s < spell.end_s]


def as_code(spell: Spell) -> Code:
    """Return a spell's code as DM1 has it; the count is that of spells so far."""
    assert spell.spn is not None
    assert spell.fmi is not None
    return Code(spell.spn, spell.fmi, spell.recurrence)
