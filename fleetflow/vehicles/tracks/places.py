"""Time zones and fences of one tenant, as the order system's mirrors have them now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, radians
from typing import Any
from zoneinfo import available_timezones

import numpy as np

from domain.tracks import Circle, Fence, FenceError, FenceIndex, Polygon
from fleetflow.runtime import Connection
from fleetflow.vehicles.tracks.follow import Sites

# Where nothing is known of a driver or vehicle.
UTC_ZONE = "UTC"
# A hub has yards for hundreds of trailers, a depot one for its own fleet; at a customer it is the gate and the kerb.
RADIUS_M = {"hub": 500.0, "depot": 300.0, "customer": 150.0}
OTHER_RADIUS_M = 200.0


@dataclass(frozen=True)
class Places:
    """A tenant's places.

    Attributes:
        driver_zones: the zone of a driver's home site, by driver.
        vehicle_zones: the zone of a vehicle's home site, by vehicle.
        site_ids: the sites that have a fence, sorted; their fences are `sites`.
        refused: fences that make no sense, in words; their sites have a circle, or none.
    """

    driver_zones: dict[str, str]
    vehicle_zones: dict[str, str]
    site_ids: list[str]
    sites: Sites
    refused: tuple[str, ...]


def read_places(conn: Connection, tenant: str) -> Places:
    """Read a tenant's zones and fences."""
    known = available_timezones()
    rows = conn.execute(
        "select s.site_id, s.kind, s.lat, s.lon, s.timezone, g.rings from source.sites as s"
        " left join intermediate.site_geofence as g using (tenant_id, site_id)"
        ' where s.tenant_id = %s and not s._deleted order by s.site_id collate "C"',
        (tenant,),
    ).fetchall()
    zones = {site: zone for site, _, _, _, zone, _ in rows if zone in known}
    fences, refused = _fences(rows)
    return Places(
        _home_zones(conn, "drivers", tenant, zones),
        _home_zones(conn, "vehicles", tenant, zones),
        list(fences),
        make_sites(list(fences.values())),
        refused,
    )


def make_sites(fences: Sequence[Fence]) -> Sites:
    """Prepare fences, the smallest first where several hold a place."""
    areas = np.array([_area(fence) for fence in fences])
    rank = np.empty(len(fences), np.int64)
    rank[np.argsort(areas, kind="stable")] = np.arange(len(fences))
    return Sites(FenceIndex(fences), rank)


_HOMES = {
    "drivers": "select driver_id, home_site_id from source.drivers where tenant_id = %s and not _deleted",
    "vehicles": "select vehicle_id, home_site_id from source.vehicles where tenant_id = %s and not _deleted",
}


def _home_zones(conn: Connection, entity: str, tenant: str, zones: dict[str, str]) -> dict[str, str]:
    homes = conn.execute(_HOMES[entity].encode(), (tenant,))
    return {name: zones[site] for name, site in homes if site in zones}


def _fences(rows: Sequence[tuple[Any, ...]]) -> tuple[dict[str, Fence], tuple[str, ...]]:
    """Return each site's fence, and in words those that make no sense."""
    drawn: dict[str, Fence] = {}
    refused = []
    for site, kind, lat, lon, _, rings in rows:
        circle = None if lat is None or lon is None else Circle(lat, lon, RADIUS_M.get(kind, OTHER_RADIUS_M))
        # Circles are refused together, as hardly any ever is; polygons are drawn by people.
        polygon, why = _polygon(rings) if rings is not None else (None, None)
        if why is not None:
            refused.append(f"site {site}: its polygon is refused ({why}), its circle taken")
        if fence := polygon or circle:
            drawn[site] = fence
    try:
        FenceIndex(list(drawn.values()))
    except FenceError:
        for site, fence in list(drawn.items()):
            try:
                FenceIndex([fence])
            except FenceError as fault:
                refused.append(f"site {site}: no place for a fence ({fault})")
                del drawn[site]
    return drawn, tuple(refused)


def _polygon(rings: Any) -> tuple[Polygon | None, str | None]:
    """Return a polygon of JSON, or why it is none."""
    try:
        polygon = Polygon(tuple(tuple((float(lat), float(lon)) for lat, lon in ring) for ring in rings))
        FenceIndex([polygon])
    except (FenceError, TypeError, ValueError, IndexError) as fault:
        return None, str(fault)
    return polygon, None


def _area(fence: Fence) -> float:
    """Return about how large a fence is, in square metres: good enough to tell a dock from a yard."""
    if isinstance(fence, Circle):
        return pi * fence.radius_m**2
    outer = fence.rings[0]
    metre = 111_195.0
    shrink = cos(radians(outer[0][0]))
    points = [(lat * metre, lon * metre * shrink) for lat, lon in outer]
    pairs = zip(points, [*points[1:], points[0]], strict=True)
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in pairs)) / 2
