"""Replaces the rows of decoded vehicle-hours, all tables of a chunk in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import sql

from fleetflow.runtime import Connection
from ingestion.telemetry.hours import OUTCOMES, DecodedHours, VehicleHour
from ingestion.telemetry.rollup import (
    MINUTES,
    FrameCount,
    Report,
    UnknownId,
    code_reports,
    frame_counts,
    signal_minutes,
    unknown_ids,
)

_TIMES = {
    "int_signal_minute": "minute",
    "int_dtc_report": "reported_at",
    "int_frame_count": "hour",
    "int_frame_unknown": "hour",
}
"""The tables, and the column by which a row belongs to an hour."""


def replace_hours(conn: Connection, chunk: int, done: DecodedHours, manifest_version: int) -> dict[str, int]:
    """Put what a chunk's vehicle-hours come to in the place of what they came to before; return counts of rows."""
    minutes, reports, unknown = signal_minutes(done), code_reports(done), unknown_ids(done)
    counts = frame_counts(done)
    with conn.transaction():
        for table, column in _TIMES.items():
            _clear(conn, table, column, chunk)
        _copy(conn, "int_signal_minute", MINUTES.names[1:], _minute_rows(done.hours, minutes))
        _copy(
            conn, "int_dtc_report", Report._fields[1:], ((done.hours[one.window], one[1:]) for one in reports)
        )
        _copy(conn, "int_frame_unknown", ("hour", *UnknownId._fields[1:]), _unknown_rows(done.hours, unknown))
        names = ("hour", "frames", *OUTCOMES, *FrameCount._fields[2:], "manifest_version")
        _copy(conn, "int_frame_count", names, _count_rows(done.hours, counts, manifest_version))
        conn.execute(
            "delete from intermediate.int_redecode_hour as r using intermediate.int_vehicle_hour_touched as t"
            " where t.chunk = %s and (r.tenant_id, r.vehicle_id, r.hour) = (t.tenant_id, t.vehicle_id, t.hour)",
            (chunk,),
        )
    return {
        "frames": sum(one.frames for one in counts),
        "signal minutes": minutes.num_rows,
        "trouble code reports": len(reports),
        "unreadable ids": len(unknown),
    }


def _clear(conn: Connection, table: str, column: str, chunk: int) -> None:
    conn.execute(
        sql.SQL(
            "delete from intermediate.{table} as s using intermediate.int_vehicle_hour_touched as t"
            " where t.chunk = %s and s.tenant_id = t.tenant_id and s.vehicle_id = t.vehicle_id"
            " and s.{column} >= t.hour and s.{column} < t.hour + interval '1 hour'"
        ).format(table=sql.Identifier(table), column=sql.Identifier(column)),
        (chunk,),
    )


_Placed = Iterable[tuple[VehicleHour, Sequence[Any]]]


def _copy(conn: Connection, table: str, names: Sequence[str], rows: _Placed) -> None:
    statement = sql.SQL("copy intermediate.{} (tenant_id, vehicle_id, {}) from stdin").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for one, values in rows:
            copy.write_row((one.tenant_id, one.vehicle_id, *values))


def _minute_rows(hours: Sequence[VehicleHour], minutes: Any) -> _Placed:
    columns = [minutes[name].to_pylist() for name in MINUTES.names]
    return ((hours[window], values) for window, *values in zip(*columns, strict=True))


def _unknown_rows(hours: Sequence[VehicleHour], unknown: Iterable[UnknownId]) -> _Placed:
    return ((hours[one.window], (hours[one.window].hour, *one[1:])) for one in unknown)


def _count_rows(hours: Sequence[VehicleHour], counts: Iterable[FrameCount], manifest_version: int) -> _Placed:
    for one, count in zip(hours, counts, strict=True):
        if count.frames:
            yield one, (one.hour, count.frames, *count.outcomes, *count[2:], manifest_version)
