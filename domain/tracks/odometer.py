"""Distance by odometer: gains between readings, with rollovers put right, resets and jumps left out and counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.tracks.rules import TripRules
from domain.tracks.table import Flags, Floats, Ints


@dataclass(frozen=True)
class Gains:
    """What each reading adds to the one before it: metres (0 where it is a fault), and whether it is a fault."""

    gain_m: Floats
    is_fault: Flags


def odometer_gains(before_km: Floats, after_km: Floats, elapsed_us: Ints, rules: TripRules) -> Gains:
    """Return the gain from each reading to the next of the same vehicle.

    A reading that fell is a rollover if, with the odometer's range added, the gain is one that the time allows;
    a repeat if it fell by no more than the slack; else the odometer was reset, exchanged, or read wrongly, and so it
    was if it gained more than the time allows.
    """
    most = rules.odometer_slack_km + elapsed_us * (rules.odometer_over_kmh / 3.6e9)
    gain = after_km - before_km
    for span in rules.odometer_rolls_at_km:
        rolled = (gain < -rules.odometer_slack_km) & (before_km < span) & (gain + span <= most)
        gain = np.where(rolled, gain + span, gain)
    gain = np.where((gain < 0) & (gain >= -rules.odometer_slack_km), 0.0, gain)
    is_fault = (gain < 0) | (gain > most)
    return Gains(np.where(is_fault, 0.0, gain * 1000.0), is_fault)
