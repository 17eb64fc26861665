"""Judges some vehicles' fuel by `domain.fuel`, and says it in rows. Pure: neither reads nor writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid5

import numpy as np
from psycopg.types.json import Jsonb

from domain.fuel import (
    Anomaly,
    DayLoss,
    Event,
    EventKind,
    FuelLog,
    Reconciled,
    climb_m,
    find_day_losses,
    find_events,
    find_leaks,
    judge_drain,
    judge_leak,
    judge_methods,
    judge_mismatch,
    judge_stuck,
    profile_of,
    reconcile,
    trace_levels,
)
from domain.fuel.level import Levelled
from domain.tracks.table import Floats, Ints
from fleetflow.vehicles.fuel.reading import EPOCH, Chunk, Trip, Vehicle, micros, moment
from fleetflow.vehicles.touched import Entity

_NAMES = UUID("6f1d0a52-6d0c-5a58-9b5e-1f6a3d0f9c11")
_SEEN_WITHIN_US = 24 * 3_600_000_000
Row = tuple[Any, ...]


@dataclass
class Judged:
    """Rows by table, without those from before a vehicle's time; counts of what was refused."""

    events: list[Row] = field(default_factory=list)
    trips: list[Row] = field(default_factory=list)
    days: list[Row] = field(default_factory=list)
    anomalies: list[Row] = field(default_factory=list)
    outcomes: list[Row] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)


def judge(chunk: Chunk) -> Judged:
    """Return the rows of every vehicle of a chunk."""
    minutes = chunk.gathered.minutes
    tanks = np.array([np.nan if one.tank_l is None else one.tank_l for one in chunk.vehicles], np.float64)
    levelled = trace_levels(minutes, tanks, nominal_l_100km=np.array(chunk.nominal_l_100km, np.float64))
    found = find_events(levelled.levels)
    losses = find_day_losses(levelled.levels, found.events)
    judged = Judged()
    for fault, count in [*chunk.gathered.counts.items(), *levelled.counts.items()]:
        judged.faults[str(fault)] = judged.faults.get(str(fault), 0) + count
    for why, count in found.false_steps.items():
        judged.faults[f"step_{why}"] = count
    for vehicle in chunk.vehicles:
        mine = _Mine(
            vehicle,
            chunk,
            levelled,
            [one for one in found.events if one.vehicle == vehicle.code],
            [one for one in losses if one.vehicle == vehicle.code],
        )
        mine.judge(judged)
    return judged


def anomaly_row(entity: Entity, anomaly: Anomaly, subject: str | None = None) -> Row:
    """Return an anomaly as a row; its id is of what it is about, so that judging again gives the same."""
    name = f"{entity.tenant_id}/{entity.entity_id}/{anomaly.kind}/{anomaly.occurred_us}/{subject or ''}"
    return (
        *entity, uuid5(_NAMES, name), str(anomaly.kind), moment(anomaly.occurred_us), moment(anomaly.ended_us),
        _round(anomaly.volume_l), anomaly.score, str(anomaly.severity),
        Jsonb([one.as_json() for one in anomaly.causes]), subject,
    )  # fmt: skip


class _Mine:
    """One vehicle's part of a chunk."""

    def __init__(
        self,
        vehicle: Vehicle,
        chunk: Chunk,
        levelled: Levelled,
        events: Sequence[Event],
        losses: Sequence[DayLoss],
    ) -> None:
        minutes = chunk.gathered.minutes
        low, high = np.searchsorted(minutes.vehicle, [vehicle.code, vehicle.code + 1])
        rows = slice(int(low), int(high))
        self.vehicle, self.levelled, self.events, self.losses = vehicle, levelled, events, losses
        self.from_us = micros(vehicle.from_at)
        self.at_us: Ints = minutes.at_us[rows]
        self.altitude_m, self.temperature_c = minutes.altitude_m[rows], minutes.temperature_c[rows]
        self.level_us: Ints = self.at_us[~np.isnan(levelled.levels.level_l[rows])]
        self.log = FuelLog(minutes, levelled, events, vehicle.code)

    def judge(self, judged: Judged) -> None:
        reconciled = self._reconcile()
        purchased = {id(event): visit for visit, event in reconciled.matches}
        for event in self.events:
            if event.start_us >= self.from_us:
                judged.events.append(self._event_row(event, purchased.get(id(event))))
                if event.kind is EventKind.DRAIN:
                    cold = self._coldest(event.start_us, event.end_us)
                    self._add(judged, judge_drain(event, temperature_c=cold))
        judged.outcomes += self._outcomes(reconciled)
        for mismatch in reconciled.mismatches:
            if mismatch.at_us >= self.from_us:
                subject = mismatch.visit.purchases[0].purchase_id if mismatch.visit else None
                self._add(judged, judge_mismatch(self.vehicle.code, mismatch), subject)
        for code, first_us, last_us, burnt_l in self.levelled.stuck:
            if code == self.vehicle.code and last_us >= self.from_us:
                self._add(judged, judge_stuck(code, first_us, last_us, burnt_l))
        self._judge_days(judged)
        for trip in self.vehicle.trips:
            self._judge_trip(trip, judged)

    def _add(self, judged: Judged, anomaly: Anomaly, subject: str | None = None) -> None:
        judged.anomalies.append(anomaly_row(self.vehicle.entity, anomaly, subject))

    def _reconcile(self) -> Reconciled:
        newest = int(self.level_us[-1]) if len(self.level_us) else None
        return reconcile(
            self.vehicle.purchases,
            self.events,
            self.vehicle.tank_l,
            levels_seen=self._levels_seen,
            positions=self.vehicle.positions,
            until_us=newest,
        )

    def _levels_seen(self, first_us: int, last_us: int) -> bool:
        before = int(np.searchsorted(self.level_us, first_us, "right")) - 1
        after = int(np.searchsorted(self.level_us, last_us, "left"))
        return (
            before >= 0
            and after < len(self.level_us)
            and first_us - int(self.level_us[before]) <= _SEEN_WITHIN_US
            and int(self.level_us[after]) - last_us <= _SEEN_WITHIN_US
        )

    def _event_row(self, event: Event, visit: Any) -> Row:
        return (
            *self.vehicle.entity, moment(event.start_us), str(event.kind), moment(event.end_us),
            _round(event.volume_l), _round(event.level_before_l), _round(event.level_after_l), event.in_motion,
            event.is_confirmed, event.has_gap, event.burn_is_measured, event.confidence,
            _round(visit.volume_l) if visit else None,
            [one.purchase_id for one in visit.purchases] if visit else None,
        )  # fmt: skip

    def _outcomes(self, reconciled: Reconciled) -> list[Row]:
        told = {one.purchase_id: str(why) for one, why in reconciled.skipped}
        matched = {one.purchase_id for visit, _ in reconciled.matches for one in visit.purchases}
        told |= dict.fromkeys(matched, "matched")
        tenant = self.vehicle.entity.tenant_id
        return [
            (tenant, one.purchase_id, told.get(one.purchase_id, "unmatched"))
            for one in self.vehicle.purchases
            if one.at_us >= self.from_us
        ]

    def _judge_days(self, judged: Judged) -> None:
        first = (self.vehicle.from_at - EPOCH).days
        fresh = [one for one in self.losses if one.day >= first]
        judged.days += [
            (
                *self.vehicle.entity, _date(one.day), one.tank_l, _round(one.parked_l), _round(one.parked_h),
                _round(one.total_l), _round(one.burnt_l), one.is_measured, one.coldest_c,
            )
            for one in fresh
        ]  # fmt: skip
        # Of days that are kept as rows: the same figures, whether a day is judged now or was judged before.
        rounded = [_as_kept(one) for one in fresh]
        for leak in find_leaks([*self.vehicle.days, *rounded]):
            self._add(judged, judge_leak(leak))

    def _judge_trip(self, trip: Trip, judged: Judged) -> None:
        start_us, end_us = micros(trip.started_at), micros(trip.ended_at)
        fuel = self.log.measure(start_us, end_us, trip.distance_km)
        low, high = np.searchsorted(self.at_us, [start_us, end_us + 1])
        climb = _climb(self.altitude_m[low:high], trip.distance_km)
        cold = self.temperature_c[low:high]
        temperature = None if np.isnan(cold).all() else float(np.nanmedian(cold))
        load_share = self._load_share(trip)
        profile = profile_of(climb, load_share, temperature)
        judged.trips.append(
            (
                *self.vehicle.entity, trip.started_at, trip.ended_at, self.vehicle.model, trip.driver_id,
                trip.distance_km, _round(fuel.litres), fuel.method and str(fuel.method), _round(fuel.by_total_l),
                _round(fuel.by_rate_l), _round(fuel.by_level_l), _round(fuel.level_error_l),
                _round(fuel.rate_cover), fuel.compared_with and str(fuel.compared_with),
                _round(fuel.difference_l), _round(fuel.l_100km), _round(fuel.idle_l),
                [str(one) for one in fuel.faults], _round(climb), _round(temperature), profile.terrain,
                profile.load, profile.temperature, _round(load_share),
            )
        )  # fmt: skip
        anomaly = judge_methods(self.vehicle.code, start_us, end_us, fuel)
        if anomaly is not None:
            self._add(judged, anomaly)

    def _load_share(self, trip: Trip) -> float | None:
        capacity_kg = self.vehicle.capacity_kg
        return None if trip.weight_kg is None or not capacity_kg else trip.weight_kg / capacity_kg

    def _coldest(self, first_us: int, last_us: int) -> float | None:
        low, high = np.searchsorted(self.at_us, [first_us, last_us + 1])
        known = self.temperature_c[low:high]
        return None if np.isnan(known).all() else float(np.nanmin(known))


def _climb(altitudes_m: Floats, km: float) -> float | None:
    known = altitudes_m[~np.isnan(altitudes_m)]
    return climb_m(known.tolist()) / km if len(known) > 1 and km > 0 else None


def _as_kept(one: DayLoss) -> DayLoss:
    return DayLoss(
        one.vehicle, one.day, one.tank_l, _sure(one.parked_l), _sure(one.parked_h), _round(one.total_l),
        _sure(one.burnt_l), one.is_measured, one.coldest_c,
    )  # fmt: skip


def _date(day: int) -> date:
    return EPOCH.date() + timedelta(days=day)


def _sure(value: float) -> float:
    return round(value, 3)


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 3)
