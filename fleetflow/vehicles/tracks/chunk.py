"""A chunk: some vehicles of one tenant, the codes of their names, and their fixes, each event once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from domain.tracks import Fixes
from domain.tracks.fixes import UNKNOWN
from domain.tracks.table import Ints
from fleetflow.vehicles.tracks.codec import Decoded
from fleetflow.vehicles.tracks.follow import Sites
from fleetflow.vehicles.tracks.places import UTC_ZONE, Places
from fleetflow.vehicles.tracks.plan import Case
from fleetflow.vehicles.tracks.standing import Standing
from fleetflow.vehicles.tracks.sums import NEVER


@dataclass(frozen=True)
class Chunk:
    """Vehicles of one tenant with their fixes and where they stand; codes are positions in the sorted names."""

    tenant: str
    cases: Sequence[Case]
    vehicles: list[str]
    drivers: list[str]
    zones: list[str]
    sites: list[str]
    fences: Sites
    fixes: Fixes
    standing: Standing


def make_chunk(tenant: str, cases: Sequence[Case], rows: pa.Table, places: Places) -> Chunk:
    """Take the rows of these vehicles of a tenant, and open their states.

    Raises:
        StateError: a kept state cannot be read.
    """
    cases = sorted(cases, key=lambda case: case.entity.entity_id)
    vehicles = [case.entity.entity_id for case in cases]
    code = _codes(rows["vehicle_id"], vehicles)
    mine = code >= 0
    rows, code = rows.filter(pa.array(mine)), code[mine]
    decoded = Decoded({at: case.snapshot.state for at, case in enumerate(cases) if case.snapshot})
    drivers = sorted({*decoded.drivers, *(d for d in pc.unique(rows["driver_id"]).to_pylist() if d)})
    home = [places.vehicle_zones.get(vehicle, UTC_ZONE) for vehicle in vehicles]
    of_driver = [places.driver_zones.get(driver) for driver in drivers]
    zones = sorted({*decoded.zones, *home, *(zone for zone in of_driver if zone)})
    as_of = np.full(len(cases), NEVER)
    for at, case in enumerate(cases):
        if case.snapshot:
            as_of[at] = _micros(pa.scalar(case.snapshot.as_of, pa.timestamp("us", "UTC")))
    empty = Chunk(
        tenant, cases, vehicles, drivers, zones, places.site_ids, places.sites, Fixes.empty(), Standing(as_of)
    )
    number = {zone: at for at, zone in enumerate(zones)}
    driver = _codes(rows["driver_id"], drivers)
    zone = np.array([number[zone] for zone in home], np.int64)[code]
    own = np.array([number[zone] if zone else UNKNOWN for zone in of_driver] or [UNKNOWN], np.int64)[driver]
    fixes = _fixes(rows, code, driver, np.where((driver >= 0) & (own >= 0), own, zone))
    return replace(empty, fixes=fixes, standing=decoded.standing(as_of, empty))


def _codes(names: pa.ChunkedArray, known: Sequence[str]) -> Ints:
    """Return the position of each name in the known ones; -1 for others and for none."""
    at = pc.index_in(names, value_set=pa.array(known, pa.string()))
    return np.asarray(at.fill_null(UNKNOWN).to_numpy(), np.int64)


def _fixes(rows: pa.Table, vehicle: Ints, driver: Ints, zone: Ints) -> Fixes:
    fixes = Fixes(
        vehicle,
        _micros(rows["fixed_at"]),
        _floats(rows["lat"]),
        _floats(rows["lon"]),
        _micros(rows["recorded_at"]),
        _floats(rows["speed_kmh"]),
        _floats(rows["accuracy_m"]),
        _floats(rows["odometer_km"]),
        np.asarray(rows["ignition_on"].cast(pa.int8()).fill_null(UNKNOWN).to_numpy(), np.int64),
        driver,
        zone,
    )
    at = np.lexsort((fixes.fixed_at_us, fixes.vehicle))
    return fixes.take(at[_once(fixes.take(at), rows["event_id"], at)])


def _once(fixes: Fixes, event_ids: pa.ChunkedArray, at: Ints) -> npt.NDArray[np.bool_]:
    """Mark the rows that stay of sorted fixes when each event id of a vehicle and time counts once.

    Of several contents that sent first stays, then by a total order of the content. Another time is another fix: two
    fixes of one id would else depend on which of them a state already holds.
    """
    keep = np.ones(len(fixes), np.bool_)
    ties = np.flatnonzero((np.diff(fixes.vehicle) == 0) & (np.diff(fixes.fixed_at_us) == 0))
    if not len(ties):
        return keep
    tied = np.unique(np.concatenate((ties, ties + 1)))
    rows = fixes.take(tied)
    event = event_ids.take(pa.array(at[tied])).combine_chunks().dictionary_encode()
    number = np.asarray(event.indices.to_numpy(), np.int64)
    keys: list[Any] = [rows.vehicle, rows.fixed_at_us, number, rows.recorded_at_us, rows.lat, rows.lon]
    keys += [rows.speed_kmh, rows.accuracy_m, rows.odometer_km, rows.ignition, rows.driver]
    order = np.lexsort(keys[::-1])
    same = np.ones(len(order), np.bool_)
    same[0] = False
    for key in keys[:3]:
        same[1:] &= key[order][1:] == key[order][:-1]
    keep[tied[order[same]]] = False
    return keep


def _floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    return np.asarray(column.fill_null(float("nan")).to_numpy(), np.float64)


def _micros(times: Any) -> Any:
    if isinstance(times, pa.Scalar):
        return times.value
    return np.asarray(times.cast(pa.int64()).to_numpy(), np.int64)
