"""The lake's table of signals: each day of it is written whole, from the lake's frames of that day.

A day is written when its frames, or those of the day before (whose last messages may end in it), are more or fewer than
when it was written last. Its old files go and its new ones come in one commit, so that a reader sees the one or the
other, and a day that is written again is the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from domain.contracts.can_frame import CAN_FRAME
from domain.contracts.signal import SIGNAL
from fleetflow.lake import open_lake
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from ingestion.lake.files import as_stored, file_schema, parquet_writer, upload
from ingestion.lake.maintain import replace_day
from ingestion.lake.read import days, scan_rows
from ingestion.lake.tables import TARGET_FILE_BYTES, Lake
from ingestion.telemetry.hours import (
    MARGIN,
    WINDOW_FRAMES,
    DecodedHours,
    VehicleFacts,
    decode_hours,
    lay_windows,
)
from ingestion.telemetry.manifest import Manifest, read_usable

CHUNK_FRAMES = 1_000_000
_ONE_WRITER = 0x7369676E
_WORDS = ("tenant_id", "vehicle_id", "name", "text", "unit", "source", "decoder")
_LEVEL = 3


@dataclass(frozen=True)
class WrittenDay:
    """A day that was written: from how many frames, how many signals."""

    day: date
    frames: int
    signals: int


def write_signals(
    settings: Settings, first: date | None = None, last: date | None = None, *, again: bool = False
) -> Iterator[WrittenDay]:
    """Write the days whose frames have changed, or with `again` all of them, from `first` to `last` (both included).

    Raises:
        ManifestError: the manifest cannot be read at all.
        OSError: storage or the catalog refused for too long; days that are written stay written.
    """
    manifest = read_usable(settings.decoder_manifest)
    lake = open_lake(settings)
    with connect(settings.dsn("loader"), autocommit=True) as conn:
        conn.execute("select pg_advisory_lock(%s)", (_ONE_WRITER,))
        known = _known_vehicles(conn)
        for day, frames in _changed_days(conn, lake, again):
            if (first is None or first <= day) and (last is None or day <= last):
                signals = _write_day(lake, day, manifest, known)
                _note(conn, day, frames, signals, manifest)
                yield WrittenDay(day, frames, signals)


def _changed_days(conn: Connection, lake: Lake, again: bool) -> list[tuple[date, int]]:
    """Return the days to write, each with the frames of it and of the day before; also days that have none any more."""
    rows = {found.day: found.rows for found in days(lake, CAN_FRAME.name)}
    written: dict[date, int] = dict(conn.execute("select day, frames from ops.lake_signal_day").fetchall())
    wanted = {day: rows.get(day, 0) + rows.get(day - timedelta(days=1), 0) for day in rows | written}
    return [(day, frames) for day, frames in sorted(wanted.items()) if again or written.get(day) != frames]


def _known_vehicles(conn: Connection) -> dict[tuple[str, str], VehicleFacts]:
    rows = conn.execute(
        "select tenant_id, vehicle_id, model, model_year, in_service_from from source.vehicles"
    )
    return {(tenant, vehicle): (model, year, since) for tenant, vehicle, model, year, since in rows}


def _write_day(
    lake: Lake, day: date, manifest: Manifest, known: Mapping[tuple[str, str], VehicleFacts]
) -> int:
    begin = datetime.combine(day, time.min, UTC)
    end = begin + timedelta(days=1)
    table = lake.table(SIGNAL.name)
    schema = file_schema(table, _WORDS)
    number = (day - date(1970, 1, 1)).days
    files, counted = [], 0
    with TemporaryDirectory(prefix="fleetflow-signals-") as scratch:
        path = Path(scratch) / "part.parquet"
        chunks = _decoded(lake, begin, end, manifest, known)
        rows = next(chunks, None)
        while rows is not None:
            with path.open("wb") as sink, parquet_writer(sink, schema, _LEVEL) as writer:
                while rows is not None and sink.tell() < TARGET_FILE_BYTES:
                    writer.write_table(as_stored(rows, schema), row_group_size=1 << 18)
                    counted += rows.num_rows
                    rows = next(chunks, None)
            files.append(upload(lake, table, path, writer.writer.metadata, number, f"signals-{day}"))
        replace_day(lake, SIGNAL.name, day, files)
    return counted


def _decoded(
    lake: Lake,
    begin: datetime,
    end: datetime,
    manifest: Manifest,
    known: Mapping[tuple[str, str], VehicleFacts],
) -> Iterator[pa.Table]:
    """Yield the signals of a day, some vehicles at a time, by vehicle and time."""
    columns = ["tenant_id", "vehicle_id", *WINDOW_FRAMES.names[1:]]
    for vehicles in _vehicle_chunks(lake, begin, end):
        wanted = pc.field("vehicle_id").isin(pa.array(vehicles))
        batches = list(scan_rows(lake, CAN_FRAME.name, begin - MARGIN, end, columns=columns, where=wanted))
        if not batches:
            continue
        frames, hours = lay_windows(pa.Table.from_batches(batches), begin, end, known)
        rows = signal_rows(decode_hours(frames, hours, manifest))
        if rows.num_rows:
            yield rows


def _vehicle_chunks(lake: Lake, begin: datetime, end: datetime) -> Iterator[list[str]]:
    """Yield the vehicles of a day, in order, so many at a time that their frames fit in memory."""
    counts: dict[str, int] = {}
    for batch in scan_rows(lake, CAN_FRAME.name, begin, end, columns=["vehicle_id"]):
        for one in batch["vehicle_id"].value_counts().to_pylist():
            counts[one["values"]] = counts.get(one["values"], 0) + one["counts"]
    chunk: list[str] = []
    frames = 0
    for vehicle in sorted(counts):
        if chunk and frames + counts[vehicle] > CHUNK_FRAMES:
            yield chunk
            chunk, frames = [], 0
        chunk.append(vehicle)
        frames += counts[vehicle]
    if chunk:
        yield chunk


def signal_rows(done: DecodedHours) -> pa.Table:
    """Return signals with their tenant and vehicle, by vehicle, time, name and source."""
    window = done.signals["window"].to_numpy()
    names: dict[str, Any] = {
        "tenant_id": pa.array([one.tenant_id for one in done.hours], pa.string()),
        "vehicle_id": pa.array([one.vehicle_id for one in done.hours], pa.string()),
    }
    rows = done.signals.drop_columns(["window"])
    for place, (name, column) in enumerate(names.items()):
        rows = rows.add_column(place, name, column.take(pa.array(window)))
    rows = rows.cast(
        pa.schema(
            [f if not pa.types.is_dictionary(f.type) else f.with_type(pa.string()) for f in rows.schema]
        )
    )
    order = ["vehicle_id", "captured_at", "tenant_id", "name", "source", "source_address", "value"]
    rows = rows.sort_by([(name, "ascending") for name in order])
    for name in _WORDS:
        place = rows.column_names.index(name)
        rows = rows.set_column(place, name, rows[name].combine_chunks().dictionary_encode())
    return rows


def _note(conn: Connection, day: date, frames: int, signals: int, manifest: Manifest) -> None:
    if not frames:
        conn.execute("delete from ops.lake_signal_day where day = %s", (day,))
        return
    conn.execute(
        "insert into ops.lake_signal_day (day, frames, signals, manifest) values (%s, %s, %s, %s)"
        " on conflict (day) do update set frames = excluded.frames, signals = excluded.signals,"
        " manifest = excluded.manifest, written_at = clock_timestamp()",
        (day, frames, signals, f"{manifest.version}:{manifest.sha256[:16]}"),
    )
