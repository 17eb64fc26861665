"""What one driver may still drive, as the warehouse tells it now."""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row

from fleetflow.faults import UserError
from fleetflow.runtime import Connection


def read_remaining(conn: Connection, driver_key: str) -> dict[str, Any]:
    """Return the row of `marts.fct_driver_hours_remaining` of a driver, as of ops.as_of().

    Raises:
        UserError: nothing is known of the driver, or nothing recent enough, or he is not under EU rules.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "select * from marts.fct_driver_hours_remaining where driver_key = %s", (driver_key,)
        ).fetchone()
    if row is None:
        raise UserError(
            f"driver {driver_key} has no remaining hours: unknown, not under EU rules, or without news for three days;"
            " see marts.fct_driver_hours_head"
        )
    return row
