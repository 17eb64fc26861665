"""The step itself: keep the claimed activities, fold the drivers they are about, keep the states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from domain.driver_hours.model import moment_of
from fleetflow.vehicles import states
from fleetflow.vehicles.driver_hours import store
from fleetflow.vehicles.driver_hours.fold import FOLD, VERSION, Folded, fold, unpack
from fleetflow.vehicles.driver_hours.us import fold_us
from fleetflow.vehicles.states import Snapshot
from fleetflow.vehicles.touched import Entity, Touched, name_drivers, touch

if TYPE_CHECKING:
    from fleetflow.vehicles.run import Work

# Drivers of one transaction: some ten thousand activities at most, unless all are late.
CHUNK = 500
_TOLD_EVERY = 20
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def fold_driver_hours(work: Work) -> Mapping[str, int]:
    """Fold the drivers whom the run's activities and trips are about; return what was counted."""
    touched, activities = store.store_claimed(work.conn, work.run_id)
    touched = _earliest(touched, store.store_inferred(work.conn))
    name_drivers(work.conn, touched)
    counts = Counter(drivers=len(touched), activities=activities)
    chunks = list(_chunks(touched))
    for place, chunk in enumerate(chunks):
        with work.conn.transaction():
            counts.update(_fold_chunk(work, chunk))
        if place % _TOLD_EVERY == _TOLD_EVERY - 1:
            work.tell(f"driver hours: {(place + 1) * CHUNK:,} of {len(touched):,} drivers")
    return counts


def _earliest(some: Touched, more: Touched) -> Touched:
    return {one: min(t[one] for t in (some, more) if one in t) for one in {**some, **more}}


def _chunks(touched: Touched) -> Iterator[Touched]:
    drivers = iter(sorted(touched))
    while chunk := list(islice(drivers, CHUNK)):
        yield {one: touched[one] for one in chunk}


def _fold_chunk(work: Work, touched: Touched) -> Counter[str]:
    conn = work.conn
    laws = store.read_laws(conn, touched)
    european = {one: since for one, since in touched.items() if one not in laws}
    kept = {
        one: unpack(int(snapshot.as_of.timestamp()), snapshot.state)
        for one, snapshot in states.restore(conn, FOLD, VERSION, european).items()
    }
    since = {one: _second(kept[one].as_of) if one in kept else _BEGINNING for one in touched}
    reports = store.read_reports(conn, since)
    counts: Counter[str] = Counter()
    folded = {one: fold(kept.get(one), reports.get(one, ())) for one in european}
    american = {one: fold_us(reports.get(one, ()), laws[one], store.KEPT) for one in laws}
    for law, some in (("eu", folded), ("us", american)):
        counts["findings"] += store.replace(conn, some, law)
        touch(conn, "driver", {one: moment_of(result.since) for one, result in some.items()})
    _keep_states(work, european, folded)
    heads = {one: _second(result.head_at) for one, result in (folded | american).items()}
    counts["purged"] += store.purge(conn, heads)
    counts["faults"] += sum(len(result.faulty) for result in (*folded.values(), *american.values()))
    return counts


def _keep_states(work: Work, touched: Touched, folded: Mapping[Entity, Folded]) -> None:
    made = [
        (one, Snapshot(_second(as_of), content))
        for one, result in folded.items()
        for as_of, content in result.states
    ]
    states.keep(work.conn, FOLD, VERSION, touched, made)


def _second(second: int) -> datetime:
    return _BEGINNING + timedelta(seconds=second)
