"""How fast CAN frames become signals and trouble codes, beside cantools' own decoding and what numpy can do at all.

The work: frames of vans (11-bit ids, both byte orders, multiplexed; OBD-II replies) and J1939 trucks (standard and
database groups, values that are not available, DM1 in one frame and as broadcasts of three) by the shipped manifest, in
batches with what is open handed over, as `decode_frames` takes them: from an Arrow table with text columns to Arrow
tables. One thread. cantools decodes the frames of the databases' messages one by one to dicts of numbers, ids already
looked up; the same frames alone are also decoded in batches. The limit is a bare pass of numpy over the payloads (a
shift, a mask and a conversion to float64 for each signal that came out), and, apart from it, writing the last
batch's signals as an Arrow stream.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cantools.database.can import Message

from fleetflow.bench.landing import peak_mib
from ingestion.telemetry.dbc import read_database
from ingestion.telemetry.decode import decode_frames
from ingestion.telemetry.frames import FRAMES
from ingestion.telemetry.identifiers import j1939_id
from ingestion.telemetry.manifest import SHIPPED, Manifest, read_manifest

_VEHICLES = 2_000
_ONE_BY_ONE = 100_000
_START_US = 1_773_122_400_000_000
_VAN = {0x110: 30, 0x120: 30, 0x130: 20, 0x140: 15, 0x7E8: 4, 0x3F0: 1}
_TRUCK = {
    0x0CF00400: 40, 0x18FEF127: 20, 0x18F00503: 10, 0x18FEF200: 10, 0x18FEEE00: 4, 0x18FEFC17: 2, 0x18FEC1EE: 3,
    0x18FEE500: 2, 0x18FEE900: 2, 0x18FECA00: 2, 0x18ECFF00: 1, 0x18FFA0FF: 2,
}  # fmt: skip
"""Frames of each id among those of a van, a truck; an announcement brings its two packets along."""
_BROADCAST = [bytes.fromhex(text) for text in ("200A0002FFCAFE00", "0144FFB804030A6E", "02000401FFFFFFFF")]
_REPLY = bytes.fromhex("04410C1AF8000000")
_DM1 = bytes.fromhex("00FF00000000FFFF")

Bytes = npt.NDArray[np.uint8]


def frames_table(count: int, seed: int) -> pa.Table:
    """Make seeded frames in the order of their capture; half of the vehicles are trucks."""
    dice = np.random.default_rng(seed)
    vehicle = dice.integers(0, _VEHICLES, count)
    truck = vehicle % 2 == 1
    identifier = np.where(truck, _draw(dice, _TRUCK, count), _draw(dice, _VAN, count))
    payload = dice.integers(0, 256, (count, 8), dtype=np.uint8)
    payload[truck & (dice.random(count) < 0.3), 4:] = 0xFF
    payload[identifier == 0x130, 0] = dice.integers(0, 3, int((identifier == 0x130).sum()))
    payload[identifier == 0x130, 1] %= 5
    payload[identifier == 0x140, :4] = np.frombuffer(np.float32(812.5).tobytes(), np.uint8)
    for one, content in ((0x7E8, _REPLY), (0x18FECA00, _DM1)):
        payload[identifier == one] = np.frombuffer(content, np.uint8)
    _broadcast(identifier, vehicle, payload)
    return _table(vehicle, identifier, payload)


def _draw(dice: np.random.Generator, shares: dict[int, int], count: int) -> npt.NDArray[np.int64]:
    weights = np.array(list(shares.values())) / sum(shares.values())
    return dice.choice(np.array(list(shares), np.int64), count, p=weights)


def _broadcast(identifier: npt.NDArray[np.int64], vehicle: npt.NDArray[np.int64], payload: Bytes) -> None:
    """Make the two frames after each announcement its packets."""
    starts = np.flatnonzero(identifier == 0x18ECFF00)
    starts = starts[(starts < len(identifier) - 2) & (np.diff(starts, prepend=-3) > 2)]
    identifier[identifier == 0x18ECFF00] = 0x18FFA0FF
    for i, content in enumerate(_BROADCAST):
        identifier[starts + i] = 0x18ECFF00 if i == 0 else 0x18EBFF00
        vehicle[starts + i] = vehicle[starts]
        payload[starts + i] = np.frombuffer(content, np.uint8)


def _table(vehicle: npt.NDArray[np.int64], identifier: npt.NDArray[np.int64], payload: Bytes) -> pa.Table:
    count = len(vehicle)
    offsets = np.arange(0, 8 * (count + 1), 8, dtype=np.int32)
    truck = pa.array(vehicle % 2)
    columns = {
        "tenant_id": pa.array(["acme"]).take(pa.array(np.zeros(count, np.int64))),
        "vehicle_id": pa.array([f"veh-{i:05d}" for i in range(_VEHICLES)]).take(pa.array(vehicle)),
        "captured_at": pa.array(_START_US + 1_000 * np.arange(count)).cast(FRAMES.field("captured_at").type),
        "channel": pa.array(["can0"]).take(pa.array(np.zeros(count, np.int64))),
        "arbitration_id": pa.array(identifier),
        "is_extended": pa.array(identifier > 0x7FF),
        "payload": pa.Array.from_buffers(
            pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(payload)]
        ),
        "model": pa.array(["city_van", "haul_truck"]).take(truck),
        "model_year": pa.array(np.full(count, 2022, np.int32)),
    }
    return pa.table(columns, schema=FRAMES)


def decode_all(batches: list[pa.Table], manifest: Manifest) -> tuple[int, int, pa.Table]:
    """Decode batches one after the other; return how many frames gave nothing, how many signals, and the last ones."""
    going, refused, signals = None, 0, 0
    for batch in batches:
        done = decode_frames(batch, manifest, going)
        going = done.open
        refused += done.raw.num_rows
        signals += done.signals.num_rows
    return refused, signals, done.signals


def _messages() -> dict[int, Message]:
    """Return cantools' messages by the ids of the frames here."""
    found: dict[int, Message] = {}
    for name in ("city_van.dbc", "haul_truck.dbc"):
        j1939 = name.startswith("haul")
        database = read_database((SHIPPED.parent / name).read_bytes(), j1939=j1939)
        for message in database.messages:
            pgn = j1939_id(message.frame_id).pgn
            found |= {
                one: message
                for one in (*_VAN, *_TRUCK)
                if (one > 0x7FF and j1939_id(one).pgn == pgn if j1939 else one == message.frame_id)
            }
    return found


def _one_by_one(table: pa.Table, messages: dict[int, Message]) -> int:
    identifiers, payloads = table["arbitration_id"].to_pylist(), table["payload"].to_pylist()
    signals = 0
    for identifier, payload in zip(identifiers, payloads, strict=True):
        signals += len(messages[identifier].decode(payload, decode_choices=False))
    return signals


def _bare_pass(table: pa.Table, signals: int) -> float:
    """Shift, mask and convert each payload as often as signals came out of one in the mean; return one's sum."""
    payloads = table["payload"].combine_chunks()
    words = np.frombuffer(payloads.buffers()[2], "<u8")[payloads.offset : payloads.offset + table.num_rows]
    total = 0.0
    for i in range(max(1, round(signals / table.num_rows))):
        total += float(((words >> np.uint64(8 * (i % 7))) & np.uint64(0xFFFF)).astype(np.float64)[0])
    return total


def _stream(table: pa.Table) -> int:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return int(sink.getvalue().size)


def _timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def run_bench(frames: int = 2_000_000, batch: int = 200_000, runs: int = 3) -> dict[str, Any]:
    """Decode `frames` frames `runs` times, cantools and the limit beside each; return medians and every run."""
    manifest, messages = read_manifest(), _messages()
    results = [_run(frames, batch, seed, manifest, messages) for seed in range(runs)]
    median = {key: statistics.median(run[key] for run in results) for key in results[0]}
    return {"benchmark": "can", "frames": frames, "batch": batch, "median": median, "runs": results}


def _run(
    frames: int, batch: int, seed: int, manifest: Manifest, messages: dict[int, Message]
) -> dict[str, Any]:
    table = frames_table(frames, seed)
    batches = [table.slice(start, batch) for start in range(0, frames, batch)]
    (refused, count, last), wall, cpu = _timed(lambda: decode_all(batches, manifest))
    peak = peak_mib()
    _, pass_wall, pass_cpu = _timed(
        lambda: [_bare_pass(one, round(count / frames * batch)) for one in batches]
    )
    _, stream_wall, _ = _timed(lambda: _stream(last))
    known = table.filter(pa.compute.is_in(table["arbitration_id"], pa.array(list(messages))))
    same = [known.slice(start, batch) for start in range(0, known.num_rows, batch)]
    _, same_wall, same_cpu = _timed(lambda: decode_all(same, manifest))
    some = known.slice(0, _ONE_BY_ONE)
    _, slow_wall, slow_cpu = _timed(lambda: _one_by_one(some, messages))
    return {
        "frames_per_s": round(frames / wall),
        "cpu_us_per_frame": round(cpu / frames * 1e6, 3),
        "signals_per_frame": round(count / frames, 2),
        "frames_refused": refused,
        "database_frames_per_s": round(known.num_rows / same_wall),
        "database_cpu_us_per_frame": round(same_cpu / known.num_rows * 1e6, 3),
        "cantools_frames_per_s": round(some.num_rows / slow_wall),
        "cantools_cpu_us_per_frame": round(slow_cpu / some.num_rows * 1e6, 2),
        "limit_numpy_frames_per_s": round(frames / pass_wall),
        "limit_cpu_us_per_frame": round(pass_cpu / frames * 1e6, 3),
        "arrow_write_frames_per_s": round(batches[-1].num_rows / stream_wall),
        "peak_mib": round(peak),
    }
