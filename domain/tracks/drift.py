"""Static drift: a standing vehicle's fixes wander; they are held where it stood first, until it moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.tracks.geo import distance_m, haversine_m
from domain.tracks.table import Flags, Floats, Ints, sizes_of


@dataclass(frozen=True)
class Held:
    """Places after holding, and which fixes were moved to their anchor."""

    lat: Floats
    lon: Floats
    is_drift: Flags


def hold_still(breaks: Ints, still: Flags, lat: Floats, lon: Floats, within_m: float) -> Held:
    """Hold standing fixes at the first of their run; one further than `within_m` from it is the next anchor.

    `breaks` are rows that never belong to the run before (a vehicle's first, the first after a jump).
    """
    opens = still.copy()
    opens[1:] &= ~still[:-1]
    opens[breaks] = still[breaks]
    rows = np.flatnonzero(still)
    held = Held(lat.copy(), lon.copy(), np.zeros(len(still), np.bool_))
    if not len(rows):
        return held
    starts = np.flatnonzero(opens[rows])
    sizes = sizes_of(starts, len(rows))
    anchors = np.repeat(rows[starts], sizes)
    near = haversine_m(lat[anchors], lon[anchors], lat[rows], lon[rows]) <= within_m
    held.lat[rows], held.lon[rows] = lat[anchors], lon[anchors]
    held.is_drift[rows] = rows != anchors
    far = np.flatnonzero(~near)
    if len(far):
        runs = np.searchsorted(starts, far, "right") - 1
        at_run, at_far = np.unique(runs, return_index=True)
        for run, first in zip(at_run.tolist(), far[at_far].tolist(), strict=True):
            _walk(rows[first : starts[run] + sizes[run]], held, lat, lon, within_m)
    return held


def _walk(rows: Ints, held: Held, lat: Floats, lon: Floats, within_m: float) -> None:
    """Hold the rest of one run, whose first row left its anchor, fix by fix."""
    north, east = lat[rows].tolist(), lon[rows].tolist()
    anchor = 0
    anchors = []
    for row in range(len(rows)):
        if distance_m(north[anchor], east[anchor], north[row], east[row]) > within_m:
            anchor = row
        anchors.append(anchor)
    at = rows[np.array(anchors)]
    held.lat[rows], held.lon[rows] = lat[at], lon[at]
    held.is_drift[rows] = rows != at
