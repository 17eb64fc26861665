"""The frames that a vehicle's gateway captures: which group when, from the samples of its engine.

While the engine runs a group comes once in its period; some values are not available or faulty, and some frames are of
the maker's own: both are counted.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fleetflow.simulator.plan import CAN
from fleetflow.simulator.vehicle_life import frames
from fleetflow.simulator.vehicle_life.frames import Absent, Frame, Reading
from fleetflow.simulator.vehicle_life.samples import Samples
from fleetflow.simulator.vehicle_life.sources import Ids
from fleetflow.simulator.vehicle_life.trouble import Spell, active_at, as_code

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
CHANNEL = "can0"
BETWEEN_FRAMES_MS = 60
NOT_AVAILABLE_SHARE, ERROR_SHARE = 0.004, 0.0015
UNKNOWN_PERIOD_S = 1800


class Group(NamedTuple):
    """What is sent once in `period_s`: a signal of J1939, written by `encode` from a column of the samples."""

    name: str
    period_s: int
    encode: Callable[[Reading], Frame]


GROUPS = (
    Group("engine_speed", 60, frames.engine_speed),
    Group("vehicle_speed", 60, frames.wheel_speed),
    Group("fuel_rate", 60, frames.fuel_rate),
    Group("fuel_level", 60, frames.fuel_level),
    Group("total_fuel_used", 120, frames.total_fuel),
    Group("odometer_high_resolution", 120, frames.distance),
    Group("coolant_temperature", 300, frames.coolant),
    Group("engine_hours", 600, frames.engine_hours),
)
REPLIES = (
    ("engine_speed", "vehicle_speed", 60),
    ("fuel_level", "coolant_temperature", 60),
    ("fuel_rate", "", 60),
    ("odometer", "", 120),
)
PIDS: dict[str, Callable[[float], tuple[int, bytes]]] = {
    "engine_speed": frames.obd_engine_speed,
    "vehicle_speed": frames.obd_speed,
    "fuel_level": frames.obd_fuel_level,
    "coolant_temperature": frames.obd_coolant,
    "fuel_rate": frames.obd_fuel_rate,
    "odometer": frames.obd_odometer,
}
CODES_PERIOD_S = 300
CODES, UNKNOWN = 100, 101


class FrameWriter:
    """Writes can_frame lines; an entry is a group, a reply, a report of trouble codes, or an unknown frame."""

    feed = CAN

    def __init__(
        self,
        tenant: str,
        vehicle_id: str,
        is_van: bool,
        samples: Samples,
        sensor_pct: Floats,
        spells: Sequence[Spell],
        rng: np.random.Generator,
    ) -> None:
        self.key, self._is_van, self._spells = vehicle_id, is_van, spells
        self._head = (
            f'{{"feed":"can_frame","tenant_id":"{tenant}","schema_version":1,"vehicle_id":"{vehicle_id}",'
            f'"channel":"{CHANNEL}",'
        )
        self._values = {
            name: column.tolist() for name, column in _columns(samples, sensor_pct, is_van, rng).items()
        }
        self.at_ms, rows, groups = _agenda(samples, is_van, rng)
        self._rows, self._groups = rows.tolist(), groups.tolist()
        self._at_s = samples.at_s.tolist()
        chance = rng.random(len(rows))
        self._absent = [
            Absent.NOT_AVAILABLE if c < NOT_AVAILABLE_SHARE else Absent.ERROR if c < limit else None
            for limit in (NOT_AVAILABLE_SHARE + ERROR_SHARE,)
            for c in chance.tolist()
        ]

    def write(self, number: int, recorded_ms: int, ids: Ids) -> list[bytes]:
        """Return the frames of an entry, some milliseconds apart."""
        at_ms = int(self.at_ms[number])
        lines = []
        for place, frame in enumerate(self.frames(number)):
            payload = b2a_base64(frame.payload, newline=False).decode()
            lines.append(
                (
                    f'{self._head}"event_id":"{ids.next()}","recorded_at":{recorded_ms},'
                    f'"captured_at":{at_ms + BETWEEN_FRAMES_MS * place},"arbitration_id":{frame.identifier},'
                    f'"is_extended":{"true" if frame.extended else "false"},"payload":"{payload}"}}'
                ).encode()
            )
        return lines

    def frames(self, number: int) -> list[Frame]:
        """Return the frames of an entry."""
        row, group = self._rows[number], self._groups[number]
        if group == UNKNOWN:
            return [frames.obd_unknown(number) if self._is_van else frames.unknown(number)]
        if group == CODES:
            active = active_at(self._spells, self._at_s[row])
            if self._is_van:
                return frames.obd_codes([spell.code for spell in active if spell.code])
            return frames.active_codes([as_code(spell) for spell in active])
        if self._is_van:
            one, two, _ = REPLIES[group]
            return [frames.obd_values(*(PIDS[name](self._values[name][row]) for name in (one, two) if name))]
        signal = GROUPS[group]
        absent = self._absent[number]
        return [signal.encode(self._values[signal.name][row] if absent is None else absent)]

    def reports(self) -> Iterator[float]:
        """The moments (seconds) at which trouble codes are reported."""
        return (
            self._at_s[row] for row, group in zip(self._rows, self._groups, strict=True) if group == CODES
        )

    def counts(self, entries: int) -> dict[str, int]:
        """Count what the first entries held that no signal comes of."""
        groups = self._groups[:entries]
        found = Counter(
            absent.name.lower()
            for absent, group in zip(self._absent, groups, strict=False)
            if absent and group < CODES and not self._is_van
        )
        found["unknown_id"] = groups.count(UNKNOWN)
        return {name: found[name] for name in ("not_available", "error", "unknown_id")}


def _columns(
    samples: Samples, sensor_pct: Floats, is_van: bool, rng: np.random.Generator
) -> dict[str, Floats]:
    speed = samples.speed_kmh
    idle, a_kmh, gear = (820.0, 17.0, 1400.0) if is_van else (560.0, 9.0, 620.0)
    # Gears: the engine turns with the wheels within a band.
    rpm = np.where(samples.engine_on, idle + np.where(speed > 3, 200 + (a_kmh * speed) % gear, 0.0), 0.0)
    cooled = samples.at_s - np.maximum.accumulate(np.where(samples.engine_on, -np.inf, samples.at_s))
    warm = np.clip(np.nan_to_num(cooled, posinf=3600.0), 0, 900) / 900
    return {
        "engine_speed": np.maximum(rpm + rng.normal(0, 12, len(speed)), 0.0),
        "vehicle_speed": np.maximum(speed * 1.004, 0.0),
        "fuel_rate": samples.fuel_l_per_h,
        "fuel_level": sensor_pct,
        "total_fuel_used": samples.used_l,
        "odometer_high_resolution": samples.odometer_km,
        "odometer": samples.odometer_km,
        "coolant_temperature": 22 + 63 * warm + rng.normal(0, 0.8, len(speed)),
        "engine_hours": samples.engine_h,
    }


def _agenda(samples: Samples, is_van: bool, rng: np.random.Generator) -> tuple[Whole, Whole, Whole]:
    """Moments (ms), rows of the samples, and groups, in order: the first moment of each period in which it runs."""
    periods = [reply[2] for reply in REPLIES] if is_van else [group.period_s for group in GROUPS]
    wanted = [*enumerate(periods), (CODES, CODES_PERIOD_S), (UNKNOWN, UNKNOWN_PERIOD_S)]
    running = np.flatnonzero(samples.engine_on)
    rows, groups, lags = [], [], []
    for place, (group, period) in enumerate(wanted):
        phase = float(rng.uniform(0, period))
        _, first = np.unique(np.floor((samples.at_s[running] + phase) / period), return_index=True)
        rows.append(running[first])
        groups.append(np.full(len(first), group))
        lags.append(np.full(len(first), 40 * place))
    row, group_of = np.concatenate(rows), np.concatenate(groups)
    at = (samples.at_s[row] * 1000).astype(np.int64) + np.concatenate(lags)
    order = np.argsort(at, kind="stable")
    return at[order], row[order], group_of[order]
