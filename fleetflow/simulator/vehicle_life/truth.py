"""What is true of the vehicles of a run: what the marts must find, and what they must not.

`<home>/sent/<run>.vehicles.json`, replaced in one step. Times are RFC 3339 in UTC. What had not ended by `until`, or so
shortly before that it may not be settled, is `optional`: to find it is right, and to miss it is no fault.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import isinf
from pathlib import Path
from typing import Any

from fleetflow.simulator.network import Site
from fleetflow.simulator.vehicle_life.duties import DriverLife
from fleetflow.simulator.vehicle_life.life import Lives, VehicleLife
from fleetflow.simulator.vehicle_life.tank import FuelEvent, Mischief
from fleetflow.simulator.vehicle_life.trouble import Spell

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNSETTLED_S = 900.0
SUFFIX = ".vehicles.json"
Fact = dict[str, Any]


def facts(lives: Lives, run: str, until_ms: int, *, complete: bool) -> Fact:
    """Return all that is true of what was sent up to a moment."""
    until_s = until_ms / 1000
    return {
        "run": run,
        "tenant": lives.plan.tenant,
        "seed": lives.plan.seed,
        "start": _at(lives.plan.start_ms / 1000),
        "until": _at(until_s),
        "complete": complete,
        "drivers": [life.roster.driver_id for life in lives.drivers],
        "vehicles": [_vehicle(lives, one, until_ms) for one in lives.vehicles],
        "infringements": [fact for life in lives.drivers for fact in _infringements(life, until_s)],
        "crewed": [fact for life in lives.drivers for fact in _crewed(life, until_s)],
        "trips": [fact for one in lives.vehicles for fact in _trips(one, until_s)],
        "site_visits": [fact for one in lives.vehicles for fact in _visits(one, until_s)],
        "fuel": [fact for one in lives.vehicles for fact in _fuel(one, until_s)],
        "trouble_codes": [fact for one in lives.vehicles for fact in _trouble(one, until_s)],
        "services": [fact for one in lives.vehicles for fact in _services(one)],
    }


def write_facts(directory: Path, content: Fact) -> Path:
    """Replace `<directory>/<run>.vehicles.json`, so that a reader never sees half a file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{content['run']}{SUFFIX}"
    draft = path.with_suffix(".json.part")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    draft.replace(path)
    return path


def _vehicle(lives: Lives, one: VehicleLife, until_ms: int) -> Fact:
    positions = next(source for source in lives.position_sources if source.writer is one.fixes)
    frames = next(source for source in lives.telemetry_sources if source.writer is one.bus)
    return {
        "vehicle_id": one.vehicle.vehicle_id,
        "class": one.vehicle.kind.name,
        "bus": "obd" if one.vehicle.kind.name == "van" else "j1939",
        "tank_l": one.vehicle.kind.tank_l,
        "since": _at(float(one.samples.at_s[0])),
        "gps_faults": one.fixes.faults(positions.position),
        "frame_counts": one.bus.counts(frames.position),
    }


def _infringements(life: DriverLife, until_s: float) -> Iterator[Fact]:
    for found in life.infringements:
        yield {
            "driver_id": found.driver_id,
            "rule": found.rule,
            "day": (EPOCH + timedelta(minutes=found.start)).date().isoformat(),
            "started_at": _at(found.start * 60.0),
            "ended_at": _at(found.end * 60.0),
            "measured_min": found.measured,
            "limit_min": found.limit,
            "optional": found.end * 60.0 > until_s,
        }


def _crewed(life: DriverLife, until_s: float) -> Iterator[Fact]:
    for shift in life.crewed():
        if shift.start * 60 < until_s:
            yield {
                "driver_id": shift.driver_id,
                "started_at": _at(shift.start * 60.0),
                "ended_at": _at(shift.end * 60.0),
                "optional": shift.end * 60.0 > until_s - UNSETTLED_S,
            }


def _trips(one: VehicleLife, until_s: float) -> Iterator[Fact]:
    for trip in one.diary.trips:
        if trip.start * 60 < until_s:
            yield {
                "vehicle_id": one.vehicle.vehicle_id,
                "driver_id": trip.driver_id,
                "started_at": _at(trip.start * 60.0),
                "ended_at": _at(trip.end * 60.0),
                "km": round(trip.path.length_km, 3),
                "start_site_id": trip.path.origin.site_id,
                "end_site_id": trip.path.target.site_id,
                "optional": trip.end * 60 > until_s - UNSETTLED_S,
            }


def _visits(one: VehicleLife, until_s: float) -> Iterator[Fact]:
    """Stands at sites (of the first and the last one the data lacks an end), and sites that were driven by."""
    last = len(one.diary.stands) - 1
    for place, stand in enumerate(one.diary.stands):
        if stand.start * 60 < until_s:
            site: Site = stand.site
            yield {
                "vehicle_id": one.vehicle.vehicle_id,
                "site_id": site.site_id,
                "started_at": _at(stand.start * 60.0),
                "ended_at": _at(stand.end * 60.0),
                "optional": place in (0, last) or stand.end * 60 > until_s - UNSETTLED_S,
            }
    for passed in one.passes:
        if passed.start_s < until_s:
            yield {
                "vehicle_id": one.vehicle.vehicle_id,
                "site_id": passed.site_id,
                "started_at": _at(passed.start_s),
                "ended_at": _at(passed.end_s),
                "optional": True,
            }


def _fuel(one: VehicleLife, until_s: float) -> Iterator[Fact]:
    for event in one.tank.events:
        if event.start_s < until_s:
            yield {
                "vehicle_id": one.vehicle.vehicle_id,
                "kind": str(event.kind),
                "started_at": _at(event.start_s),
                "ended_at": _at(event.end_s),
                "litres": round(event.litres, 1),
                "optional": event.is_hard
                or event.end_s > until_s - 4 * UNSETTLED_S
                or _is_unseen(event, one),
            }


def _is_unseen(event: FuelEvent, one: VehicleLife) -> bool:
    """Say whether a sensor was stuck while fuel came or went: no level then tells of it."""
    return event.kind != Mischief.STUCK and any(
        stuck.start_s < event.end_s and event.start_s < stuck.end_s
        for stuck in one.tank.events
        if stuck.kind == Mischief.STUCK
    )


def _trouble(one: VehicleLife, until_s: float) -> Iterator[Fact]:
    """Spells as the control unit's reports show them: from the first to the last that lists the code."""
    reports = [at for at in one.bus.reports() if at < until_s]
    for spell in one.spells:
        listed = [at for at in reports if spell.start_s <= at < spell.end_s]
        if listed:
            yield _spell(
                one, spell, listed, is_open=isinf(spell.end_s) or not any(at >= spell.end_s for at in reports)
            )


def _spell(one: VehicleLife, spell: Spell, listed: list[float], *, is_open: bool) -> Fact:
    return {
        "vehicle_id": one.vehicle.vehicle_id,
        "spn": spell.spn,
        "fmi": spell.fmi,
        "code": spell.code,
        "started_at": _at(listed[0]),
        "ended_at": _at(listed[-1]),
        "open": is_open,
        "recurrence": spell.recurrence,
        "optional": len(listed) < 2,
    }


def _services(one: VehicleLife) -> Iterator[Fact]:
    for visit in one.visits:
        yield {
            "vehicle_id": visit.vehicle_id,
            "service": visit.service,
            "done_at": _at(visit.done_s),
            "odometer_km": round(visit.odometer_km, 1),
            "engine_hours": round(visit.engine_h, 1),
            "overdue": visit.neglected_by is not None,
            "by": visit.neglected_by,
        }


def _at(seconds: float) -> str:
    return (EPOCH + timedelta(seconds=seconds)).isoformat()
