"""The step of the run: what workshops, fuel cards and ECUs said of the touched vehicles is taken in and folded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from domain.contracts.gps_location import GPS_LOCATION
from fleetflow.vehicles.maintenance.codes import fold_codes
from fleetflow.vehicles.maintenance.meters import fold_meters
from fleetflow.vehicles.maintenance.records import take_purchases, take_services
from fleetflow.vehicles.telemetry.windows import decoded_since
from fleetflow.vehicles.touched import find_touched, touch

if TYPE_CHECKING:
    from fleetflow.vehicles.run import Work


def keep_maintenance(work: Work) -> Mapping[str, int]:
    """Take in claimed services and purchases, fold the meters and trouble codes of whom the run touches.

    Runs after the telemetry and the tracks, whose minutes and days it reads.
    """
    conn, run_id = work.conn, work.run_id
    moved = take_services(conn, run_id) | take_purchases(conn, run_id)
    decoded = decoded_since(conn)
    tracked = find_touched(conn, run_id, GPS_LOCATION)
    touched = {one: decoded.get(one) for one in (*moved, *tracked, *decoded)}
    days = fold_meters(conn, touched, work.now)
    spells = fold_codes(conn, list(decoded), work.now)
    # Its models take all rows of a vehicle; since when says nothing to them, and nothing to those of other steps.
    touch(conn, "vehicle", dict.fromkeys(touched, work.now))
    return {"vehicles": len(touched), "meter days": days, "spells of trouble codes": spells}
