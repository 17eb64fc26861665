"""Reads fixes as Arrow tables: of the claimed batches, and of vehicles' history in landing and the lake.

What stands in no partition of landing any more is read from the lake; where both have a fix, it is read twice, and
counts once. Asserted nowhere, and true by retention: a partition of landing goes after the lake has its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.compute as pc

from fleetflow.runtime import Connection
from fleetflow.settings import Settings
from fleetflow.vehicles.history import CLOCK_AHEAD, landing_has_all_since
from fleetflow.vehicles.tracks import timely
from fleetflow.vehicles.tracks.plan import Case

COLUMNS = (
    "tenant_id", "vehicle_id", "event_id", "driver_id", "fixed_at", "recorded_at", "lat", "lon", "speed_kmh",
    "accuracy_m", "odometer_km", "ignition_on",
)  # fmt: skip
_SELECTED = ", ".join(f"e.{name}" for name in COLUMNS)

_CLAIMED = f"""
select {_SELECTED} from landing.gps_location as e
where e.batch_id = any(array(select batch_id from ops.pending_batch where run_id = $1::uuid))
    and ($2::int = 1 or abs(hashtext(e.vehicle_id)::bigint) %% $2::int = $3::int)
    and not {timely.condition(timely.TOO_LATE, 4)} and not {timely.condition(timely.TOO_OLD, 4)}
""".replace("%%", "%")

_HISTORY = f"""
select {_SELECTED} from landing.gps_location as e
inner join unnest($1::text[], $2::text[], $3::timestamptz[]) as t (tenant_id, vehicle_id, as_of)
    on e.tenant_id = t.tenant_id and e.vehicle_id = t.vehicle_id and e.fixed_at >= t.as_of
where e.batch_id = any(array(
        select b.batch_id from ops.batch as b where b.feed = 'gps_location' and b.accepted > 0
        and (b.max_event_time is null or b.max_event_time >= $8::timestamptz)
    ))
    and not {timely.condition(timely.TOO_LATE, 4)} and not {timely.condition(timely.TOO_OLD, 4)}
"""


class Reader:
    """One ADBC connection to the warehouse."""

    def __init__(self, settings: Settings, now: datetime) -> None:
        """Connect as the transformer."""
        self._settings, self._limits = settings, timely.limits(now)
        self._conn = adbc.connect(settings.dsn("transformer"), autocommit=True)

    def close(self) -> None:
        """Drop the connection."""
        self._conn.close()

    def read_claimed(self, run_id: UUID, buckets: int, bucket: int) -> pa.Table:
        """Return the claimed fixes of the vehicles of one bucket."""
        return self._read(_CLAIMED, [str(run_id), buckets, bucket, *self._bounds()])

    def read_history(self, conn: Connection, cases: Sequence[Case]) -> pa.Table:
        """Return all fixes of these vehicles from where their states stand on, new ones among them."""
        starts = [case.snapshot.as_of if case.snapshot else timely.FLOOR for case in cases]
        tenants, vehicles = [c.entity.tenant_id for c in cases], [c.entity.entity_id for c in cases]
        landed = self._read(_HISTORY, [tenants, vehicles, starts, *self._bounds(), min(starts)])
        until = needed_from_lake(conn, min(starts))
        if until is None:
            return landed
        return pa.concat_tables([landed, *self._read_lake(cases, starts, until)])

    def _bounds(self) -> list[Any]:
        known = self._limits
        return [
            f"{known['future'].total_seconds()} s",
            known["ceiling"],
            known["floor"],
            f"{known['outdated'].total_seconds()} s",
        ]

    def _read(self, query: str, values: list[Any]) -> pa.Table:
        arrays = [_bound(value) for value in values]
        row = pa.record_batch(arrays, names=[str(at) for at in range(len(arrays))])
        with self._conn.cursor() as cursor:
            cursor.execute(query, parameters=row)
            return cursor.fetch_arrow_table().replace_schema_metadata().cast(SCHEMA)

    def _read_lake(
        self, cases: Sequence[Case], starts: Sequence[datetime], until: datetime
    ) -> Iterator[pa.Table]:
        from fleetflow.lake import open_lake
        from ingestion.lake.read import scan_rows

        lake = open_lake(self._settings, "ops")
        wanted = {(c.entity.tenant_id, c.entity.entity_id): at for c, at in zip(cases, starts, strict=True)}
        known = pa.table(
            {
                "tenant_id": [tenant for tenant, _ in wanted],
                "vehicle_id": [vehicle for _, vehicle in wanted],
                "as_of": pa.array(list(wanted.values()), pa.timestamp("us", "UTC")),
            }
        )
        vehicles = sorted({vehicle for _, vehicle in wanted})
        theirs = pc.field("vehicle_id").isin(pa.array(vehicles, pa.string()))
        found = scan_rows(lake, "gps_location", min(starts), until, columns=COLUMNS, where=theirs)
        for batch in found:
            rows = (
                pa.Table.from_batches([batch])
                .cast(SCHEMA)
                .join(known, ["tenant_id", "vehicle_id"], join_type="inner")
            )
            rows = rows.filter(pc.greater_equal(rows["fixed_at"], rows["as_of"]))
            yield self._timely(rows.select(COLUMNS).cast(SCHEMA))

    def _timely(self, rows: pa.Table) -> pa.Table:
        known, at, sent = self._limits, rows["fixed_at"], rows["recorded_at"]
        age = pc.subtract(sent, at)
        good = pc.and_(
            pc.less_equal(age, pa.scalar(known["outdated"], pa.duration("us"))),
            pc.greater_equal(age, pa.scalar(-known["future"], pa.duration("us"))),
        )
        floor, ceiling = (pa.scalar(known[name], at.type) for name in ("floor", "ceiling"))
        return rows.filter(pc.and_(good, pc.and_(pc.greater_equal(at, floor), pc.less_equal(at, ceiling))))


SCHEMA = pa.schema(
    [
        (name, pa.string() if name.endswith("_id") else pa.float64())
        if not name.endswith(("_at", "_on"))
        else (name, pa.timestamp("us", "UTC") if name.endswith("_at") else pa.bool_())
        for name in COLUMNS
    ]
)


@contextmanager
def open_reader(settings: Settings, now: datetime) -> Iterator[Reader]:
    """Keep a reader for a while."""
    reader = Reader(settings, now)
    try:
        yield reader
    finally:
        reader.close()


def needed_from_lake(conn: Connection, since: datetime) -> datetime | None:
    """Return until when the lake has to be read for fixes since a time; None if landing has all of them.

    A batch that reaches into a day that is gone has lost a part of its rows.
    """
    until = landing_has_all_since(conn, "gps_location")
    if since >= until:
        return None
    gone = conn.execute(
        "select exists (select from ops.batch where feed = 'gps_location' and accepted > 0"
        "  and first_arrived_at < %(first)s and (max_event_time is null or max_event_time >= %(since)s))"
        " or exists (select from ops.batch_total where feed = 'gps_location' and accepted > 0"
        "  and %(since)s < (select min(first_arrived_at) from ops.batch where feed = 'gps_location'))",
        {"first": until - CLOCK_AHEAD, "since": since},
    ).fetchone()
    return until if gone is not None and gone[0] else None


def _bound(value: Any) -> pa.Array:
    """Return one parameter, or one list of values, as an array of one row."""
    if isinstance(value, list):
        kind = pa.timestamp("us", "UTC") if value and isinstance(value[0], datetime) else pa.string()
        return pa.array([value], pa.list_(kind))
    return pa.array([value], pa.timestamp("us", "UTC")) if isinstance(value, datetime) else pa.array([value])
