"""The step `fuel` of a run of the vehicle side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from domain.contracts.fuel_purchase import FUEL_PURCHASE
from fleetflow.vehicles.fuel.expecting import expect
from fleetflow.vehicles.fuel.gathering import find_fixed, find_moved, keep_purchases, keep_readings
from fleetflow.vehicles.fuel.horizon import go_back
from fleetflow.vehicles.fuel.judging import judge
from fleetflow.vehicles.fuel.keeping import forget_readings, still_open
from fleetflow.vehicles.fuel.reading import read_chunk
from fleetflow.vehicles.fuel.writing import replace_rows
from fleetflow.vehicles.touched import Entity, Touched, find_touched, touch

if TYPE_CHECKING:
    from fleetflow.vehicles.run import Work

CHUNK = 100
"""Vehicles judged at once: some 400,000 minutes of a few days each."""


def fold_fuel(work: Work) -> Mapping[str, int]:
    """Judge the fuel of every vehicle that the run, or a step before this one, has news of. May be repeated."""
    conn = work.conn
    touched: dict[Entity, datetime] = {}
    for one in (
        find_fixed(conn, work.run_id, work.now),
        find_touched(conn, work.run_id, FUEL_PURCHASE),
        find_moved(conn, work.run_id),
        _touched_before(work),
    ):
        for entity, since in one.items():
            touched[entity] = min(since, touched.get(entity, since))
    counts: Counter[str] = Counter(
        minutes_of_fixes=keep_readings(conn, work.run_id, work.now),
        purchases=keep_purchases(conn, work.run_id),
    )
    changed: dict[Entity, datetime] = {}
    order = sorted(touched)
    for place in range(0, len(order), CHUNK):
        entities = order[place : place + CHUNK]
        news = still_open(conn, {one: touched[one] for one in entities})
        from_at = go_back(conn, news)
        chunk = read_chunk(conn, from_at, go_back(conn, from_at), work.now)
        judged = judge(chunk)
        changed |= replace_rows(conn, from_at, judged)
        counts.update(
            vehicles=len(entities), events=len(judged.events), trips=len(judged.trips),
            anomalies=len(judged.anomalies),
            vehicles_closed_before=sum(news[one] > touched[one] for one in entities),
            readings_forgotten=forget_readings(conn, entities, work.now),
            **{f"refused_{name}": n for name, n in judged.faults.items()},
        )  # fmt: skip
    for entity, since in expect(conn, changed).items():
        changed[entity] = min(since, changed.get(entity, since))
    touch(conn, "vehicle", changed)
    return counts


def _touched_before(work: Work) -> Touched:
    """Return what the steps before this one have touched: signals, trips and loads that are new."""
    rows = work.conn.execute(
        "select tenant_id, vehicle_id, min(since) from ("
        "select tenant_id, vehicle_id, since from intermediate.int_vehicle_touched"
        " union all select tenant_id, vehicle_id, since from intermediate.int_load_touched) as t group by 1, 2"
    )
    return {Entity(tenant, vehicle): since for tenant, vehicle, since in rows}
