"""Retention of what is kept of fuel and of nights of maintenance: marts' rows with the rows that they are built from.

Both go by the same day, so that a mart that is built whole again has the same rows. Services, meters and trouble codes
stay: what is due rests on all of a vehicle's life.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from fleetflow.retention import Action, Task
from fleetflow.runtime import connect

_TABLES = (
    ("intermediate", "int_fuel_trip", "ended_at", "gps_location"),
    ("marts", "fct_fuel_trip", "ended_at", "gps_location"),
    ("intermediate", "int_fuel_event", "ended_at", "gps_location"),
    ("marts", "fct_fuel_event", "ended_at", "gps_location"),
    ("intermediate", "int_fuel_anomaly", "ended_at", "gps_location"),
    ("marts", "fct_fuel_anomaly", "ended_at", "gps_location"),
    ("intermediate", "int_fuel_day", "utc_date", "gps_location"),
    ("intermediate", "int_fuel_purchase", "purchased_at", "fuel_purchase"),
    ("intermediate", "int_due_projection", "plan_date", "service_record"),
    ("marts", "fct_maintenance_projection", "plan_date", "service_record"),
    ("intermediate", "int_maintenance_change", "plan_date", "service_record"),
    ("marts", "fct_maintenance_plan_change", "plan_date", "service_record"),
    ("intermediate", "int_maintenance_job", "plan_date", "service_record"),
    ("marts", "fct_maintenance_plan", "plan_date", "service_record"),
    ("intermediate", "int_maintenance_night", "plan_date", "service_record"),
)
"""Table, the time of a row, and the feed by which a legal hold keeps it."""

_PAST = """
from {table} as r
where r.{at} < (%(before)s::timestamptz at time zone 'UTC')::date and not exists (
    select from ops.legal_hold as h
    where h.released_at is null and (h.feed is null or h.feed = %(feed)s)
        and (h.tenant_id is null or h.tenant_id = r.tenant_id)
        and coalesce(h.from_at, '-infinity') < r.{at} + interval '1 day' and coalesce(h.to_at, 'infinity') > r.{at}
)
"""


def drop_facts(task: Task) -> Iterator[Action]:
    """Delete what ended before the limit and no legal hold keeps; a table's rows go with their entry, or stay."""
    with connect(task.settings.dsn("transformer"), autocommit=True) as conn:
        conn.execute("set timezone to 'UTC'")
        for schema, table, at, feed in _TABLES:
            name = f"{schema}.{table}"
            built = conn.execute("select to_regclass(%s) is not null", (name,)).fetchone()
            if not built or not built[0]:
                continue
            verb = "select" if task.dry_run else "delete"
            statement = sql.SQL(verb + _PAST).format(
                table=sql.Identifier(schema, table), at=sql.Identifier(at)
            )
            with conn.transaction():
                values = {"before": task.before("marts"), "feed": feed}
                rows = conn.execute(statement, values).rowcount
                if rows:
                    done = task.keep(conn, Action("marts", name, "dropped", "past its days", rows))
            if rows:
                yield done
