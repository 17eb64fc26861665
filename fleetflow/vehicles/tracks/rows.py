"""What a fold comes to, as Arrow tables in the columns of schema intermediate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from domain.tracks import Crossing, Kind, Rule, VisitRules, event_id
from domain.tracks.table import Floats, Ints
from domain.tracks.visits import STILL_IN
from fleetflow.vehicles.tracks.chunk import Chunk
from fleetflow.vehicles.tracks.follow import Followed, Stays, Stretches
from fleetflow.vehicles.tracks.sums import NEVER, US, DaySums, RuleCounts

UTC_TIME = pa.timestamp("us", "UTC")
KINDS = {Kind.STOP: "stop", Kind.GAP: "gap", Kind.CARRIED: "carried"}
NOBODY = ""


def make_rows(chunk: Chunk, followed: Followed) -> dict[str, pa.Table]:
    """Return the rows of each table."""
    stretches = followed.stretches
    is_trip = stretches.kind == Kind.TRIP
    return {
        "int_trip": _trips(chunk, stretches.take(is_trip)),
        "int_stop": _stops(chunk, stretches.take(~is_trip)),
        "int_site_visit": _visits(chunk, followed.stays),
        "int_vehicle_day": _days(chunk, followed.days),
        "int_fix_verdict": _verdicts(chunk, followed),
    }


def _trips(chunk: Chunk, trips: Stretches) -> pa.Table:
    return pa.table(
        {
            **_begun(chunk, trips),
            "driver_id": names(chunk.drivers, trips.driver),
            **_ends(trips),
            "start_site_id": names(chunk.sites, trips.start_site),
            "end_site_id": names(chunk.sites, trips.end_site),
            **_ways(trips),
            "standing_s": _seconds(trips.standing_us),
            **_engine(trips),
            "max_kmh": _known(trips.max_kmh),
            **_local(chunk, trips),
            "is_open": trips.is_open,
        }
    )


def _stops(chunk: Chunk, stops: Stretches) -> pa.Table:
    return pa.table(
        {
            **_begun(chunk, stops),
            "kind": names([KINDS.get(Kind(at), "") for at in range(len(Kind))], stops.kind),
            "driver_id": names(chunk.drivers, stops.driver),
            **_ends(stops),
            "site_id": names(chunk.sites, stops.start_site),
            "end_site_id": names(chunk.sites, stops.end_site),
            "dwell_s": _seconds(stops.end_us - stops.start_us),
            **_ways(stops),
            **_engine(stops),
            **_local(chunk, stops),
            "is_open": stops.is_open,
        }
    )


def _begun(chunk: Chunk, rows: Stretches) -> dict[str, Any]:
    return {
        **_owner(chunk, rows.vehicle),
        "started_at": _times(rows.start_us),
        "ended_at": _times(rows.end_us),
    }


def _ends(rows: Stretches) -> dict[str, Any]:
    return {name: getattr(rows, name) for name in ("start_lat", "start_lon", "end_lat", "end_lon")}


def _ways(rows: Stretches | DaySums) -> dict[str, Any]:
    return {
        "distance_km": _km(rows.distance_mm),
        "odometer_km": _km(rows.odometer_mm),
        "odometer_track_km": _km(rows.odometer_track_mm),
        "odometer_faults": rows.odometer_faults,
    }


def _engine(rows: Stretches | DaySums) -> dict[str, Any]:
    names = ("idle", "engine_on", "engine_known")
    return {f"{name}_s": _seconds(getattr(rows, f"{name}_us")) for name in names}


def _local(chunk: Chunk, rows: Stretches) -> dict[str, Any]:
    return {"time_zone": names(chunk.zones, rows.zone), "local_date": _dates(rows.day)}


def _visits(chunk: Chunk, stays: Stays) -> pa.Table:
    left = stays.left_us != STILL_IN
    return pa.table(
        {
            **_owner(chunk, stays.vehicle),
            "site_id": names(chunk.sites, stays.fence),
            "entered_at": _times(stays.entered_us),
            "last_inside_at": _times(stays.last_us),
            "left_at": _times(stays.left_us, left),
            "entry_event_id": _events(chunk, stays, Crossing.ENTRY),
            "dwell_event_id": _events(chunk, stays, Crossing.DWELL),
            "exit_event_id": _events(chunk, stays, Crossing.EXIT),
            "is_open": stays.is_open,
        }
    )


def _events(chunk: Chunk, stays: Stays, kind: Crossing) -> pa.Array:
    """Name the events that the visits raised; a visit that is under way has raised what is certain by now."""
    raised = stays.raised & kind != 0
    if kind == Crossing.ENTRY:
        raised = np.ones(len(stays), np.bool_)
    if kind == Crossing.DWELL:
        raised = stays.last_us - stays.entered_us >= VisitRules().dwell_s * US
    found: list[str | None] = [None] * len(stays)
    for at in np.flatnonzero(raised).tolist():
        vehicle = f"{chunk.tenant}\x1f{chunk.vehicles[int(stays.vehicle[at])]}"
        found[at] = event_id(vehicle, chunk.sites[int(stays.fence[at])], int(stays.entered_us[at]), kind)
    return pa.array(found, pa.string())


def _days(chunk: Chunk, days: DaySums) -> pa.Table:
    read = days.read_us != NEVER
    return pa.table(
        {
            **_owner(chunk, days.vehicle),
            "local_date": _dates(days.day),
            "driver_id": names(chunk.drivers, days.driver).fill_null(NOBODY),
            "time_zone": names(chunk.zones, days.zone),
            **{
                f"{name}_s": _seconds(getattr(days, f"{name}_us"))
                for name in ("driving", "stop", "gap", "carried", "rest", "site_wait")
            },
            "trips": days.trips,
            "site_stops": days.site_stops,
            "manoeuvre_km": _km(days.manoeuvre_mm),
            "carried_km": _km(days.carried_mm),
            "standing_s": _seconds(days.standing_us),
            **_engine(days),
            **_ways(days),
            "odometer_read_at": _times(days.read_us, read),
            "odometer_end_km": _known(days.read_km),
        }
    )


def _verdicts(chunk: Chunk, followed: Followed) -> pa.Table:
    rules = [rule.name.lower() for rule in Rule]
    parts = [
        (followed.counts, names(rules, followed.counts.rule)),
        (followed.undecided, pa.array(["undecided"] * len(followed.undecided), pa.string())),
    ]
    return pa.concat_tables([_counted(chunk, counts, rule) for counts, rule in parts])


def _counted(chunk: Chunk, counts: RuleCounts, rule: pa.Array) -> pa.Table:
    return pa.table(
        {**_owner(chunk, counts.vehicle), "utc_date": _dates(counts.day), "rule": rule, "fixes": counts.fixes}
    )


def _owner(chunk: Chunk, vehicle: Ints) -> dict[str, Any]:
    return {
        "tenant_id": pa.repeat(chunk.tenant, len(vehicle)),
        "vehicle_id": names(chunk.vehicles, vehicle),
    }


def names(known: Sequence[str], code: Ints) -> pa.Array:
    """Return the names of codes; none for -1."""
    return pa.array(known, pa.string()).take(pa.array(code, mask=code < 0))


def _times(us: Ints, known: Any = None) -> pa.Array:
    return pa.array(us, mask=None if known is None else ~known).cast(UTC_TIME)


def _dates(day: Ints) -> pa.Array:
    return pa.array(day.astype(np.int32)).cast(pa.date32())


def _seconds(us: Ints) -> Floats:
    return us / 1e6


def _km(mm: Ints) -> Floats:
    return mm / 1e6


def _known(values: Floats) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
