"""Holds trips against their baselines, model by model.

A trip's baseline is of the trips of its model that ended in the 90 days before the UTC day it started on: so trips of
one day do not depend on each other. A late trip changes what was expected of all vehicles of its model on later days.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from domain.fuel import Baseline, BaselineBook, Method, Profile, TripFuel, TripSample, judge_consumption
from domain.fuel.rules import AnomalyRules, BaselineRules
from fleetflow.runtime import Connection
from fleetflow.vehicles.fuel.judging import anomaly_row
from fleetflow.vehicles.fuel.reading import micros
from fleetflow.vehicles.fuel.writing import insert_rows
from fleetflow.vehicles.touched import Entity

_RULES, _ANOMALIES = BaselineRules(), AnomalyRules()

_TRIPS = """
select vehicle_id, started_at, ended_at, l_100km, terrain, load, temperature, distance_km, litres, method, by_level_l,
    level_error_l, deviation, expected_l_100km, spread_l_100km
from intermediate.int_fuel_trip
where tenant_id = %(tenant)s and model = %(model)s and l_100km is not null and distance_km >= %(km)s
    and ended_at >= %(since)s
order by started_at, vehicle_id
"""

_UPDATE = """
update intermediate.int_fuel_trip as t
set expected_l_100km = n.expected, spread_l_100km = n.spread, deviation = n.deviation, baseline_basis = n.basis,
    baseline_own = n.own, baseline_wider = n.wider
from unnest(%s::text[], %s::timestamptz[], %s::float8[], %s::float8[], %s::float8[], %s::text[], %s::int[], %s::int[])
    as n (vehicle_id, started_at, expected, spread, deviation, basis, own, wider)
where t.tenant_id = %s and t.vehicle_id = n.vehicle_id and t.started_at = n.started_at
"""


class _Trip(NamedTuple):
    vehicle: str
    started_at: datetime
    ended_at: datetime
    l_100km: float
    terrain: str
    load: str
    temperature: str
    km: float
    litres: float
    method: str
    by_level_l: float | None
    level_error_l: float | None
    deviation: float | None
    expected: float | None
    spread: float | None

    @property
    def profile(self) -> Profile:
        return Profile(self.terrain, self.load, self.temperature)


class _Verdict(NamedTuple):
    trip: _Trip
    expected: float | None
    spread: float | None
    deviation: float | None
    basis: str | None
    own: int | None
    wider: int | None


def expect(conn: Connection, from_at: Mapping[Entity, datetime]) -> dict[Entity, datetime]:
    """Judge the trips of the models of these vehicles; return other vehicles' changes, and from when on they are."""
    changed: dict[Entity, datetime] = {}
    for tenant, model, since in _models(conn, from_at):
        changed |= _expect_model(conn, tenant, model, since)
    return changed


def _models(conn: Connection, from_at: Mapping[Entity, datetime]) -> list[tuple[str, str, datetime]]:
    entities = sorted(from_at)
    return conn.execute(
        "select t.tenant_id, t.model, min(v.since) from unnest(%s::text[], %s::text[], %s::timestamptz[])"
        " as v (tenant_id, vehicle_id, since)"
        " inner join intermediate.int_fuel_trip as t on t.tenant_id = v.tenant_id and t.vehicle_id = v.vehicle_id"
        " where t.model is not null group by t.tenant_id, t.model order by 1, 2",
        (
            [one.tenant_id for one in entities],
            [one.entity_id for one in entities],
            [from_at[one] for one in entities],
        ),
    ).fetchall()


def _expect_model(conn: Connection, tenant: str, model: str, since: datetime) -> dict[Entity, datetime]:
    since = since.replace(hour=0, minute=0, second=0, microsecond=0)
    window = timedelta(days=_RULES.days)
    keys = {
        "tenant": tenant,
        "model": model,
        "km": _RULES.least_km,
        "since": since - window - timedelta(days=1),
    }
    trips = [_Trip(*row) for row in conn.execute(_TRIPS.encode(), keys)]
    verdicts = list(_verdicts(trips, since, window))
    fresh = [
        one for one in verdicts if _told(one) != (one.trip.expected, one.trip.spread, one.trip.deviation)
    ]
    changed: dict[Entity, datetime] = {}
    for one in fresh:
        entity = Entity(tenant, one.trip.vehicle)
        changed[entity] = min(changed.get(entity, one.trip.started_at), one.trip.started_at)
    with conn.transaction():
        if fresh:
            conn.execute(_UPDATE, (*_columns(fresh), tenant))
        _write_anomalies(conn, tenant, model, since, trips, verdicts)
    return changed


def _verdicts(trips: Sequence[_Trip], since: datetime, window: timedelta) -> Iterator[_Verdict]:
    """Judge the trips that started from a midnight on, day by day."""
    for day, group in groupby(
        (one for one in trips if one.started_at >= since), key=lambda one: one.started_at.date()
    ):
        midnight = since.replace(year=day.year, month=day.month, day=day.day)
        book = BaselineBook(
            TripSample(one.vehicle, "", micros(one.ended_at), one.l_100km, one.profile)
            for one in trips
            if midnight - window <= one.ended_at < midnight
        )
        for trip in group:
            baseline = book.baseline(trip.vehicle, trip.profile)
            if baseline is None:
                yield _Verdict(trip, None, None, None, None, None, None)
            else:
                yield _Verdict(
                    trip, round(baseline.centre_l_100km, 3), round(baseline.spread_l_100km, 3),
                    round(baseline.deviation(trip.l_100km), 3), baseline.basis, baseline.own, baseline.wider,
                )  # fmt: skip


def _told(one: _Verdict) -> tuple[float | None, float | None, float | None]:
    return one.expected, one.spread, one.deviation


def _columns(verdicts: Sequence[_Verdict]) -> list[list[Any]]:
    return [
        [one.trip.vehicle for one in verdicts],
        [one.trip.started_at for one in verdicts],
        *[list(column) for column in zip(*(one[1:] for one in verdicts), strict=True)],
    ]


def _write_anomalies(
    conn: Connection,
    tenant: str,
    model: str,
    since: datetime,
    trips: Sequence[_Trip],
    verdicts: Sequence[_Verdict],
) -> None:
    """Replace the anomalies of the model's trips that started from a midnight on."""
    conn.execute(
        "delete from intermediate.int_fuel_anomaly as a where a.tenant_id = %s and a.kind = 'consumption_high'"
        " and a.occurred_at >= %s and not exists (select from intermediate.int_fuel_trip as t"
        "  where t.tenant_id = a.tenant_id and t.vehicle_id = a.vehicle_id and t.started_at = a.occurred_at"
        "  and t.model is distinct from %s)",
        (tenant, since, model),
    )
    recent: dict[str, list[float]] = {}
    for trip in trips:
        if trip.started_at < since and trip.deviation is not None:
            recent.setdefault(trip.vehicle, []).append(trip.deviation)
    rows = []
    for one in verdicts:
        if one.deviation is None:
            continue
        before = recent.setdefault(one.trip.vehicle, [])
        high = sum(deviation >= _ANOMALIES.consumption_sigmas for deviation in before[-5:])
        before.append(one.deviation)
        rows += _anomaly_rows(tenant, one, high)
    insert_rows(conn, "int_fuel_anomaly", rows)


def _anomaly_rows(tenant: str, one: _Verdict, high_before: int) -> list[tuple[Any, ...]]:
    trip = one.trip
    fuel = TripFuel(
        litres=trip.litres, method=Method(trip.method), by_total_l=None, by_rate_l=None, by_level_l=trip.by_level_l,
        level_error_l=trip.level_error_l, rate_cover=0.0, compared_with=None, difference_l=None,
        l_100km=trip.l_100km, idle_l=None,
    )  # fmt: skip
    baseline = Baseline(one.expected or 0.0, one.spread or 1.0, one.own or 0, one.wider or 0, one.basis or "")
    anomaly = judge_consumption(
        0, micros(trip.started_at), micros(trip.ended_at), trip.km, fuel, baseline, trip.profile,
        high_before=high_before,
    )  # fmt: skip
    return [anomaly_row(Entity(tenant, trip.vehicle), anomaly)] if anomaly is not None else []
