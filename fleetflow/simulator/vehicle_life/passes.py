"""Which sites a vehicle drives by without stopping: a fence may well see it come and go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fleetflow.simulator.geo import EARTH_KM
from fleetflow.simulator.network import Site
from fleetflow.simulator.vehicle_life.samples import Samples

NEAR_KM = 0.8


class Pass(NamedTuple):
    """A vehicle was near a site from one moment to another (seconds since 1970)."""

    site_id: str
    start_s: float
    end_s: float


def passes(samples: Samples, sites: Sequence[Site]) -> Iterator[Pass]:
    """Return when the vehicle was within 800 m of a site on a trip; the ends of trips are among them.

    A vehicle at 90 km/h may be by between two samples, 250 m apart: it is then seen no closer than 125 m further off.
    """
    rows = np.flatnonzero(samples.on_trip)
    lat, lon, at = np.radians(samples.lat[rows]), np.radians(samples.lon[rows]), samples.at_s[rows]
    for site in sites:
        north = lat - np.radians(site.point.lat)
        east = (lon - np.radians(site.point.lon)) * np.cos(np.radians(site.point.lat))
        near = np.flatnonzero(np.hypot(north, east) * EARTH_KM < NEAR_KM)
        if not len(near):
            continue
        for run in np.split(near, np.flatnonzero(np.diff(near) > 1) + 1):
            yield Pass(site.site_id, float(at[run[0]]), float(at[run[-1]]))
