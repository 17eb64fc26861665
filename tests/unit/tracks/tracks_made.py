"""Tracks made by hand: minutes and metres in, fixes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from domain.tracks import Fixes, Segments, State, Tracker, find_midnights, make_fixes, make_segments
from domain.tracks.rules import CleaningRules, TripRules
from fleetflow.settings import PROJECT_ROOT

SECOND = 1_000_000
NOON = 1_717_243_200 * SECOND  # 2024-06-01 12:00 UTC
M = 360 / (2 * np.pi * 6_371_008.77)  # degrees a metre, along a meridian


def line(
    seconds: npt.ArrayLike, metres: npt.ArrayLike, start_us: int = NOON, **known: npt.ArrayLike
) -> Fixes:
    """Fixes of vehicle 0, that many metres north of 52 N 13 E at that many seconds after the start."""
    north = np.asarray(metres, float)
    times = start_us + np.round(np.asarray(seconds, float) * SECOND).astype(np.int64)
    return make_fixes(0, times, 52 + north * M, np.full(len(north), 13.0), **known)


def segments(
    fixes: Fixes, zones: tuple[str, ...] = ("UTC",), trips: TripRules | None = None
) -> tuple[Segments, State]:
    times = fixes.fixed_at_us
    tracker = Tracker(
        find_midnights(zones, int(times.min()), int(times.max())), CleaningRules(), trips or TripRules()
    )
    step = tracker.advance(State(), fixes, closing=True)
    return make_segments(step.parts), step.state


def shared_data(name: str) -> Path | None:
    """Find a real data set that lies beside the project, where there is one."""
    import os

    place = Path(os.environ.get("FLEETFLOW_SHARED") or PROJECT_ROOT.parent / "shared") / "data" / name
    return place if place.exists() else None
