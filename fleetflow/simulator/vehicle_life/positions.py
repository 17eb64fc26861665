"""The fixes of a vehicle's device: what it measured, and the faults of devices besides.

A faulty fix comes two seconds after a good one and never instead of it, so that the truth of trips stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from fleetflow.simulator.plan import GPS
from fleetflow.simulator.vehicle_life.paths import metres_to_degrees
from fleetflow.simulator.vehicle_life.samples import Samples
from fleetflow.simulator.vehicle_life.sources import Ids

Whole = npt.NDArray[np.int64]
GAPS = (2, 3)
FAULT_SHARE = 0.0012
FAULT_DELAY_MS = 2_000
NOISE_M, DRIFT_M = 3.0, 18.0
DRIFTING_SHARE = 0.15
# A receiver that counts weeks in ten bits starts anew after 1,024 of them.
ROLLOVER_MS = 1024 * 7 * 86_400_000


class Fault(IntEnum):
    """What is wrong with a fix."""

    NONE = 0
    JUMP = 1
    ZERO = 2
    OUTDATED = 3
    TWIN = 4


class FixWriter:
    """Writes gps_location lines; `Source.at_ms` and the entries are those of `at_ms`."""

    feed = GPS

    def __init__(
        self,
        tenant: str,
        vehicle_id: str,
        drivers: Sequence[str],
        samples: Samples,
        sensor_pct: npt.NDArray[np.float64],
        rng: np.random.Generator,
    ) -> None:
        self.key = vehicle_id
        self._head = (
            f'{{"feed":"gps_location","tenant_id":"{tenant}","schema_version":1,"vehicle_id":"{vehicle_id}",'
        )
        chosen = _chosen(samples, rng)
        faults = _faults(len(chosen), rng)
        faulty = np.flatnonzero(faults)
        rows = np.concatenate([chosen, chosen[faulty]])
        kinds = np.concatenate([np.zeros(len(chosen), np.int64), faults[faulty]])
        at = (samples.at_s[rows] * 1000).astype(np.int64) + FAULT_DELAY_MS * (kinds > 0)
        order = np.argsort(at, kind="stable")
        rows, kinds, self.at_ms = rows[order], kinds[order], at[order]
        self._kinds = kinds.tolist()
        self._fill(samples, sensor_pct, rows, rng)
        self._drivers = [f'"{drivers[n]}"' if n >= 0 else "null" for n in samples.driver[rows].tolist()]

    def _fill(
        self, samples: Samples, sensor: npt.NDArray[np.float64], rows: Whole, rng: np.random.Generator
    ) -> None:
        n = len(rows)
        moving = samples.on_trip[rows]
        drifting = ~moving & (_stand_chance(samples, rows, rng) < DRIFTING_SHARE)
        spread = np.where(drifting, DRIFT_M, NOISE_M) * np.where(moving | drifting, 1.0, 0.6)
        self.drifting: Whole = np.cumsum(drifting)
        lat_m, lon_m = metres_to_degrees(np.ones(1), float(samples.lat[0]))
        self._lat = (samples.lat[rows] + spread * rng.standard_normal(n) * lat_m).tolist()
        self._lon = (samples.lon[rows] + spread * rng.standard_normal(n) * lon_m).tolist()
        wobble = np.where(drifting, rng.uniform(0, 2.2, n), 0.0)
        self._speed = (samples.speed_kmh[rows] + wobble).tolist()
        self._heading = np.minimum(samples.heading[rows], 359.9).tolist()
        self._height = samples.height[rows].tolist()
        self._accuracy = rng.uniform(2.5, 9.0, n).tolist()
        self._odometer = samples.odometer_km[rows].tolist()
        self._level = sensor[rows].tolist()
        self._on = np.where(samples.engine_on[rows], "true", "false").tolist()
        self._far = rng.uniform(0.6, 2.5, n).tolist()

    def write(self, number: int, recorded_ms: int, ids: Ids) -> list[bytes]:
        """Return the fix of an entry."""
        kind, at_ms = self._kinds[number], int(self.at_ms[number])
        lat, lon = self._lat[number], self._lon[number]
        if kind == Fault.JUMP:
            lat += self._far[number]
        elif kind == Fault.ZERO:
            lat = lon = 0.0
        elif kind == Fault.OUTDATED:
            at_ms -= ROLLOVER_MS
        elif kind == Fault.TWIN:
            at_ms -= FAULT_DELAY_MS
        return [
            (
                f'{self._head}"event_id":"{ids.next()}","recorded_at":{recorded_ms},"driver_id":'
                f'{self._drivers[number]},"fixed_at":{at_ms},"lat":{lat:.6f},"lon":{lon:.6f},'
                f'"speed_kmh":{self._speed[number]:.1f},"heading_deg":{self._heading[number]:.1f},'
                f'"altitude_m":{self._height[number]:.0f},"accuracy_m":{self._accuracy[number]:.1f},'
                f'"odometer_km":{self._odometer[number]:.3f},"fuel_level_pct":{self._level[number]:.1f},'
                f'"ignition_on":{self._on[number]}}}'
            ).encode()
        ]

    def faults(self, entries: int) -> dict[str, int]:
        """Count the planted faults of the first entries; `drift` are fixes of standing vehicles that wander."""
        counts = Counter(Fault(kind).name.lower() for kind in self._kinds[:entries] if kind)
        found = {fault.name.lower(): counts[fault.name.lower()] for fault in Fault if fault}
        return found | {"drift": int(self.drifting[entries - 1]) if entries else 0}


def _chosen(samples: Samples, rng: np.random.Generator) -> Whole:
    """Every second or third sample of a trip, its ends, and all while the vehicle stands."""
    steps = rng.integers(GAPS[0], GAPS[1] + 1, len(samples.at_s))
    in_trip = np.zeros(len(samples.at_s), np.bool_)
    in_trip[np.cumsum(steps)[np.cumsum(steps) < len(in_trip)]] = True
    edges = np.diff(samples.on_trip.astype(np.int8), prepend=0) != 0
    ends = np.append(edges[1:], False) & samples.on_trip
    return np.flatnonzero(~samples.on_trip | in_trip | edges | ends)


def _faults(entries: int, rng: np.random.Generator) -> Whole:
    kinds = rng.integers(1, len(Fault), entries)
    return np.where(rng.random(entries) < FAULT_SHARE * (len(Fault) - 1), kinds, 0)


def _stand_chance(samples: Samples, rows: Whole, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """One draw a stand, the same for all its fixes."""
    stand = np.cumsum(np.diff(samples.on_trip.astype(np.int8), prepend=0) != 0)[rows]
    return np.asarray(rng.random(int(stand.max(initial=0)) + 1)[stand])
