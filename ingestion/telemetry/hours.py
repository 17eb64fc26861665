"""Vehicle-hours decoded each on its own: what an hour comes to depends on its frames and on nothing else.

A window is a vehicle's UTC hour and the `MARGIN` before it, in which a message of several frames that ends in the hour
may have begun. What was captured in the margin belongs to the hour before, and only helps. A vehicle's neighbouring
hours are decoded as if they were of two vehicles, so that which hours are decoded together shows in no row; nor does
the order of frames, nor a frame that came twice.

Of an event id that came with several contents in a window, the one sent first counts, then the least in content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.telemetry.decode import Decoded, Limits, decode_frames
from ingestion.telemetry.extract import Flags, Integers
from ingestion.telemetry.frames import INSTANT
from ingestion.telemetry.manifest import Manifest
from ingestion.telemetry.outcomes import Outcome

MARGIN = timedelta(seconds=200)
"""255 packets of a broadcast, each 750 ms after the one before (T1 of SAE J1939-21): none takes longer."""
HOUR = timedelta(hours=1)
AHEAD = timedelta(seconds=60)
"""A frame captured so long after it was sent has a time that cannot be; up to then the clock is off, and is counted."""
_BEFORE_SERVICE = timedelta(days=1)
_TICK = timedelta(seconds=1)
_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

WINDOW_FRAMES = pa.schema(
    [
        pa.field("window", pa.int32(), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("recorded_at", INSTANT, nullable=False),
        pa.field("captured_at", INSTANT, nullable=False),
        pa.field("channel", pa.string(), nullable=False),
        pa.field("arbitration_id", pa.int32(), nullable=False),
        pa.field("is_extended", pa.bool_(), nullable=False),
        pa.field("payload", pa.binary(), nullable=False),
    ]
)
"""A frame of a window; `window` is the place of its vehicle-hour in the list of those that are decoded."""

CLOCK_AHEAD, BEFORE_SERVICE = len(Outcome), len(Outcome) + 1
OUTCOMES = (*(one.name.lower() for one in Outcome), "clock_ahead", "before_service")
"""What may become of a frame of a window: the decoder's outcomes, and the two for which it is not even decoded.

`clock_ahead`: captured more than a minute after it was sent. `before_service`: captured more than a day before the
vehicle came into service, as a clock that was reset does.
"""


@dataclass(frozen=True)
class VehicleHour:
    """A vehicle's UTC hour, and what the order system knows of the vehicle."""

    tenant_id: str
    vehicle_id: str
    hour: datetime
    model: str | None = None
    model_year: int | None = None
    in_service_from: date | None = None


@dataclass(frozen=True)
class DecodedHours:
    """What windows come to. `frames`: those of the hours themselves, each once, with `outcome` (place in `OUTCOMES`).

    `signals`, `trouble_codes` and `lost` are the decoder's tables of what was captured in the hours, with `window` in
    place of tenant and vehicle. `clock_off`: frames captured 1 to 60 s after they were sent.
    """

    hours: Sequence[VehicleHour]
    frames: pa.Table
    signals: pa.Table
    trouble_codes: pa.Table
    lost: pa.Table
    clock_off: Flags


def decode_hours(frames: pa.Table, hours: Sequence[VehicleHour], manifest: Manifest) -> DecodedHours:
    """Decode windows; `frames` are of `WINDOW_FRAMES`, in any order and repeated or not.

    Raises:
        FramesError: the table is not one of CAN frames.
    """
    rows = distinct_frames(frames.select(WINDOW_FRAMES.names).cast(WINDOW_FRAMES).combine_chunks())
    window, captured, recorded = (
        _integers(rows, "window"),
        _integers(rows, "captured_at"),
        _integers(rows, "recorded_at"),
    )
    starts = np.array([micros(one.hour) for one in hours], np.int64)
    within = captured >= starts[window] if len(hours) else np.zeros(0, np.bool_)
    outcome = np.full(rows.num_rows, -1, np.int8)
    outcome[captured < _service_starts(hours)[window]] = BEFORE_SERVICE
    outcome[captured - recorded > AHEAD // _US] = CLOCK_AHEAD
    sound = outcome < 0
    decoded = _decode(rows.filter(pa.array(sound)), hours, manifest)
    outcome[sound] = decoded.outcomes
    chosen = pa.array(within)
    return DecodedHours(
        hours=hours,
        frames=rows.append_column("outcome", pa.array(outcome)).filter(chosen),
        signals=_of_the_hours(decoded.signals, "captured_at", starts),
        trouble_codes=_of_the_hours(decoded.trouble_codes, "captured_at", starts),
        lost=_of_the_hours(decoded.lost, "last_at", starts),
        clock_off=(captured - recorded > _TICK // _US)[within],
    )


def micros(at: datetime) -> int:
    """Return an instant in microseconds since 1970."""
    return (at - _EPOCH) // _US


def distinct_frames(rows: pa.Table) -> pa.Table:
    """Return each event of a window once: the version sent first, then the least by time, channel, id and payload."""
    ids = rows["event_id"].combine_chunks().dictionary_encode()
    key = _integers(rows, "window") * max(1, len(ids.dictionary)) + ids.indices.to_numpy(zero_copy_only=False)
    _, place, times = np.unique(key, return_inverse=True, return_counts=True)
    if not (times > 1).any():
        return rows
    repeated = np.flatnonzero(times[place] > 1)
    first: dict[int, tuple[tuple[object, ...], int]] = {}
    some = rows.take(pa.array(repeated)).select(WINDOW_FRAMES.names[2:])
    contents = zip(*(column.to_pylist() for column in _plain(some).columns), strict=True)
    for row, group, content in zip(repeated.tolist(), place[repeated].tolist(), contents, strict=True):
        if group not in first or content < first[group][0]:
            first[group] = content, row
    kept = times[place] == 1
    kept[[row for _, row in first.values()]] = True
    return rows.filter(pa.array(kept))


def _plain(rows: pa.Table) -> pa.Table:
    for name in ("recorded_at", "captured_at"):
        rows = rows.set_column(rows.column_names.index(name), name, rows[name].cast(pa.int64()))
    return rows


def _service_starts(hours: Sequence[VehicleHour]) -> Integers:
    """Return from when on each vehicle's frames can be: a day before its service; ever, where that is unknown."""
    return np.array(
        [
            np.iinfo(np.int64).min
            if one.in_service_from is None
            else micros(datetime.combine(one.in_service_from, datetime.min.time(), UTC) - _BEFORE_SERVICE)
            for one in hours
        ],
        np.int64,
    )  # fmt: skip


def _decode(rows: pa.Table, hours: Sequence[VehicleHour], manifest: Manifest) -> Decoded:
    window = _integers(rows, "window").astype(np.int32)
    names = pa.array([str(place) for place in range(len(hours))], pa.string())
    models = sorted({one.model for one in hours if one.model is not None})
    model_of = np.array([-1 if one.model is None else models.index(one.model) for one in hours], np.int32)
    year_of = np.array([-1 if one.model_year is None else one.model_year for one in hours], np.int32)
    models_there = model_of[window]
    table = pa.table(
        {
            "tenant_id": pa.DictionaryArray.from_arrays(
                pa.array(np.zeros(len(window), np.int32)), pa.array([""])
            ),
            "vehicle_id": pa.DictionaryArray.from_arrays(pa.array(window), names),
            "captured_at": rows["captured_at"],
            "channel": rows["channel"],
            "arbitration_id": rows["arbitration_id"],
            "is_extended": rows["is_extended"],
            "payload": rows["payload"],
            "model": pa.DictionaryArray.from_arrays(
                pa.array(models_there, mask=models_there < 0), pa.array(models, pa.string())
            ),
            "model_year": pa.array(year_of[window], mask=year_of[window] < 0),
        }
    )
    # A bound over all would let one vehicle's transfers push out another's.
    limits = Limits(open_in_all=Limits().open_per_vehicle * max(1, len(hours)))
    return decode_frames(table, manifest, limits=limits)


def _of_the_hours(table: pa.Table, time_column: str, starts: Integers) -> pa.Table:
    """Return the rows of the hours themselves, with `window` in place of tenant and vehicle."""
    names = table["vehicle_id"].cast(pa.string())
    windows = pc.cast(names, pa.int32())
    place: npt.NDArray[np.int64] = windows.to_numpy().astype(np.int64)
    at = table[time_column].cast(pa.int64()).to_numpy()
    within = at >= starts[place] if len(starts) else np.zeros(0, np.bool_)
    return (
        table.drop_columns(["tenant_id", "vehicle_id"])
        .add_column(0, "window", windows)
        .filter(pa.array(within))
    )


def _integers(rows: pa.Table, name: str) -> Integers:
    numbers: Integers = rows[name].cast(pa.int64()).to_numpy()
    return numbers


VehicleFacts = tuple[str | None, int | None, date | None]
"""Model, model year, first day in service."""


def lay_windows(
    frames: pa.Table, begin: datetime, end: datetime, known: Mapping[tuple[str, str], VehicleFacts]
) -> tuple[pa.Table, list[VehicleHour]]:
    """Lay out frames of many vehicles as windows: vehicle-hours from `begin` to `end` that have any, and their frames.

    `frames` has tenant_id, vehicle_id and the columns of `WINDOW_FRAMES` but for `window`; also those of the `MARGIN`
    before `begin`. A frame of an hour's last `MARGIN` is in two windows, if the vehicle has frames in the hour after.
    """
    identity = pc.binary_join_element_wise(frames["tenant_id"], frames["vehicle_id"], "\x00")
    coded = identity.combine_chunks().dictionary_encode()
    vehicle = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    captured = _integers(frames, "captured_at")
    hour_us, margin_us = HOUR // _US, MARGIN // _US
    hour = captured // hour_us
    within = (captured >= micros(begin)) & (captured < micros(end))
    span = micros(end) // hour_us + 2
    keys = np.unique(vehicle[within] * span + hour[within])
    rows, windows = [], []
    for shift in (0, 1):
        wanted = vehicle * span + hour + shift
        place = np.searchsorted(keys, wanted)
        there = (
            keys[np.minimum(place, len(keys) - 1)] == wanted
            if len(keys)
            else np.zeros(len(captured), np.bool_)
        )
        if shift:
            there &= captured % hour_us >= hour_us - margin_us
        rows.append(np.flatnonzero(there))
        windows.append(place[there])
    names = [name.split("\x00") for name in coded.dictionary.to_pylist()]
    hours = []
    for key in keys.tolist():
        tenant, name = names[key // span]
        facts = known.get((tenant, name), (None, None, None))
        hours.append(VehicleHour(tenant, name, _EPOCH + key % span * HOUR, *facts))
    chosen = frames.select(WINDOW_FRAMES.names[1:]).take(pa.array(np.concatenate(rows)))
    return chosen.add_column(0, "window", pa.array(np.concatenate(windows).astype(np.int32))), hours
