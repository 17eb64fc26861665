"""Parameters of every step, in one place: what they mean, their defaults and where these come from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum


class Rule(IntEnum):
    """Why a fix does not count, in the order in which the rules are asked: the first that fires names the fix."""

    KEPT = 0
    INVALID = 1
    FUTURE = 2
    OUTDATED = 3
    ZERO = 4
    ACCURACY = 5
    LATE = 6
    DUPLICATE = 7
    JUMP = 8
    STATIC = 9


@dataclass(frozen=True)
class CleaningRules:
    """Which fixes are removed. None (or False) switches a rule off; `INVALID` cannot be: nothing computes with NaN.

    The rules are those of Traccar's position filter (traccar.org/configuration-file, filter.*), which ships all but
    `future` switched off and leaves most values to the operator; the defaults here say where they come from.

    Attributes:
        future_after_s: fixed later than this after it was sent. A sender's clock may run minutes off, not more.
        outdated_after_s: sent later than this after it was fixed: the last known place sent again, or a clock reset
            to 1970. 30 days outlive any offline buffer.
        zero_within_deg: as near as this to 0 N 0 E, where receivers without a fix stand; 111 m of open sea.
        accuracy_over_m: a radius of confidence above this, where it is known: a cell tower's, not a satellite's.
        duplicate: of fixes of one vehicle and time one is left: the most accurate, then the one sent first.
        jump_over_kmh: implied speed above this from the last trusted fix. Above any van or truck (EU limiters: 90 km/h,
            Directive 92/6/EEC) and below any aircraft.
        jump_slack_m: metres that are never a jump, however short the time: two fixes at the worst of the usual noise.
        jump_confirm: fixes that must agree with each other before a place elsewhere is believed; also the first place.
        static_within_m: a standing vehicle's fixes within this of where it stood are drift, and are held there.
            GPS is good to 8 m (95 %, GPS SPS Performance Standard, 2020); buildings reflect it up to some tens.
        static_below_kmh: at most this speed is standing. Receivers report up to about 2 km/h at rest.
    """

    future_after_s: float | None = 300.0
    outdated_after_s: float | None = 30 * 86_400.0
    zero_within_deg: float | None = 0.001
    accuracy_over_m: float | None = 200.0
    duplicate: bool = True
    jump_over_kmh: float | None = 200.0
    jump_slack_m: float = 100.0
    jump_confirm: int = 3
    static_within_m: float | None = 50.0
    static_below_kmh: float = 3.0

    def __post_init__(self) -> None:
        """Refuse parameters that say nothing."""
        _not_negative(self)
        if self.jump_confirm < 1:
            raise ValueError(f"jump_confirm: {self.jump_confirm}, expected 1 or more")


@dataclass(frozen=True)
class TripRules:
    """When a vehicle is on a trip, at a stop, or out of sight.

    Dwell, trip length and their meaning are Traccar's (report.trip.*: parking of less than 300 s does not cut a trip,
    trips of less than 500 m are none).

    Attributes:
        start_kmh: from this speed on it moves. Above walking pace, so that manoeuvring at a dock does not start a trip.
        stop_kmh: up to this speed it stands; between the two it goes on doing what it did.
        min_dwell_s: standing for less than this does not end a trip.
        min_trip_m: moving for less than this is no trip, but part of the stop.
        max_gap_s: silence for longer is a gap: the trip ends before it. Devices report at least every few minutes under
            way; Traccar's hour would draw straight lines of 90 km.
        same_place_m: a gap that ends within this of where it began is standing: the device slept.
        use_ignition: ignition off, where known, means standing; off and moving means carried (ferry, tow truck).
        odometer_over_kmh: an odometer that gained more than this speed allows has jumped.
        odometer_slack_km: what it may gain or repeat by its own rounding (many report whole kilometres).
        odometer_rolls_at_km: where odometers start again at zero: five and six digits, 32 bits of metres.
        lateness_s: how late a fix may be behind the newest one of its vehicle and still count.
    """

    start_kmh: float = 8.0
    stop_kmh: float = 3.0
    min_dwell_s: float = 300.0
    min_trip_m: float = 500.0
    max_gap_s: float = 900.0
    same_place_m: float = 200.0
    use_ignition: bool = True
    odometer_over_kmh: float = 200.0
    odometer_slack_km: float = 2.0
    odometer_rolls_at_km: tuple[float, ...] = (100_000.0, 1_000_000.0, 4_294_967.296)
    lateness_s: float = 600.0

    def __post_init__(self) -> None:
        """Refuse parameters that contradict each other."""
        _not_negative(self)
        if self.stop_kmh > self.start_kmh:
            raise ValueError(f"stop_kmh: {self.stop_kmh}, expected at most start_kmh, {self.start_kmh}")


def _not_negative(rules: CleaningRules | TripRules) -> None:
    for parameter in fields(rules):
        value = getattr(rules, parameter.name)
        if isinstance(value, float | int) and not value >= 0:
            raise ValueError(f"{parameter.name}: {value}, expected 0 or more")
