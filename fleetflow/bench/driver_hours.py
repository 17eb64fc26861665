"""Drivers a second through the EU driver-hours engine, beside bare reading and sorting of the same intervals.

A driver has 28 days: 20 duty days of driving in 7 to 13 pieces with loading, waiting and breaks between them, cut at
midnight as tachographs cut, a daily rest until the next morning, weekends; one rest in ten is cut short, one break in
a hundred left out. The work: decode the driver's intervals from JSON, unordered as they arrive, and evaluate all rules.
The limit, in the same processes right after: decode them and sort. Each process makes its own drivers beforehand and
waits for the others.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import statistics
import time
from typing import TYPE_CHECKING, Any

import msgspec

from domain.driver_hours import Activity, Kind, State, advance, evaluate
from fleetflow.bench.landing import peak_mib

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

_MONDAY = 29_459_520
_DAY = 1_440
_DAYS = 28
_KINDS = tuple(Kind)
_CODE = {kind: code for code, kind in enumerate(_KINDS)}
_NIGHT_DRIVERS = 250_000
_STREAMED = 20
Row = tuple[int, int, int]


def driver_rows(seed: int) -> list[Row]:
    """Make one driver's 28 days as (start, end, kind), unordered; the same seed gives the same."""
    rng = random.Random(seed)
    rows: list[Row] = []
    morning = _MONDAY + rng.randrange(4 * 60, 8 * 60)
    now = _put(rows, morning - 2 * _DAY, 2 * _DAY, Kind.REST)
    for day in range(1, _DAYS + 1):
        if day % 7 not in (6, 0):
            now = _duty(rng, rows, now)
        next_morning = morning + day * _DAY + rng.randrange(-40, 40)
        least = 660 if rng.random() < 0.9 else rng.randrange(520, 660)
        now = _put(rows, now, max(least, next_morning - now), Kind.REST)
    rng.shuffle(rows)
    return rows


def run_bench(drivers: int, runs: int, processes: int) -> dict[str, Any]:
    """Evaluate `drivers` in all, `runs` times; the median run counts."""
    done = sorted((_run(drivers, processes) for _ in range(runs)), key=lambda run: run["drivers_per_s"])
    middle: dict[str, Any] = done[len(done) // 2]
    return {
        "benchmark": "driver-hours",
        **middle,
        "share_of_limit": round(middle["drivers_per_s"] / middle["limit_sort_per_s"], 3),
        "minutes_for_250k": round(_NIGHT_DRIVERS / middle["drivers_per_s"] / 60, 1),
        "minutes_for_250k_by_cpu": round(_NIGHT_DRIVERS * middle["cpu_ms_per_driver"] / 60e3 / processes, 1),
        "drivers_per_s_runs": [run["drivers_per_s"] for run in done],
        "processes": processes,
    }


def _put(rows: list[Row], start: int, minutes: int, kind: Kind) -> int:
    """Add an activity, cut at midnights; return its end."""
    end = start + minutes
    while start < end:
        cut = min(end, (start // _DAY + 1) * _DAY)
        rows.append((start, cut, _CODE[kind]))
        start = cut
    return end


def _duty(rng: random.Random, rows: list[Row], now: int) -> int:
    """Add one duty day."""
    now = _put(rows, now, rng.randrange(10, 40), Kind.OTHER_WORK)
    stint = 0
    for _ in range(rng.randrange(7, 14)):
        piece = rng.randrange(10, 80)
        if stint + piece > 270 and rng.random() < 0.99:
            now, stint = _put(rows, now, rng.randrange(45, 60), Kind.REST), 0
        now, stint = _put(rows, now, piece, Kind.DRIVING), stint + piece
        between = rng.choice((Kind.OTHER_WORK, Kind.OTHER_WORK, Kind.AVAILABILITY, Kind.REST))
        now = _put(rows, now, rng.randrange(3, 25), between)
    return now


def _run(drivers: int, processes: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    share = drivers // processes
    workers = [
        context.Process(target=_work, args=(barrier, results, place * share, share), daemon=True)
        for place in range(processes)
    ]
    for worker in workers:
        worker.start()
    parts = [json.loads(results.get(timeout=600)) for _ in workers]
    for worker in workers:
        worker.join()
    total = share * processes
    return {
        "drivers": total,
        "intervals_per_driver": round(sum(part["intervals"] for part in parts) / total),
        "drivers_per_s": round(total / max(part["seconds"] for part in parts)),
        "limit_sort_per_s": round(total / max(part["limit_seconds"] for part in parts)),
        "cpu_ms_per_driver": round(sum(part["cpu"] for part in parts) / total * 1e3, 2),
        "limit_cpu_ms_per_driver": round(sum(part["limit_cpu"] for part in parts) / total * 1e3, 2),
        "us_per_activity_streamed": round(statistics.mean(part["streamed_us"] for part in parts), 1),
        "findings_per_driver": round(sum(part["findings"] for part in parts) / total, 1),
        "peak_mib_per_process": round(max(part["peak_mib"] for part in parts)),
        "base_mib_per_process": round(max(part["base_mib"] for part in parts)),
    }


def _work(barrier: Barrier, results: multiprocessing.Queue[str], first: int, count: int) -> None:
    base_mib = peak_mib()
    rows = [driver_rows(seed) for seed in range(first, first + count)]
    payloads = [msgspec.json.encode(driver) for driver in rows]
    decoder = msgspec.json.Decoder(list[Row])
    intervals = sum(len(driver) for driver in rows)
    del rows
    barrier.wait()
    cpu, started, findings = time.process_time(), time.perf_counter(), 0
    for payload in payloads:
        findings += len(evaluate(_activities(decoder.decode(payload))).findings)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    barrier.wait()
    limit_cpu, started = time.process_time(), time.perf_counter()
    for payload in payloads:
        sorted(decoder.decode(payload))
    limit_seconds, limit_cpu = time.perf_counter() - started, time.process_time() - limit_cpu
    report = {
        "intervals": intervals, "seconds": seconds, "cpu": cpu, "findings": findings,
        "limit_seconds": limit_seconds, "limit_cpu": limit_cpu,
        "streamed_us": _streamed_us([decoder.decode(payload) for payload in payloads[:_STREAMED]]),
        "peak_mib": peak_mib(), "base_mib": base_mib,
    }  # fmt: skip
    results.put(json.dumps(report))


def _activities(rows: list[Row]) -> list[Activity]:
    return [Activity(start, end, _KINDS[code]) for start, end, code in rows]


def _streamed_us(drivers: list[list[Row]]) -> float:
    """Return microseconds of CPU that one `advance` takes."""
    lines = [sorted(_activities(driver)) for driver in drivers]
    started = time.process_time()
    for line in lines:
        state = State()
        for activity in line:
            state, _ = advance(state, activity)
    return (time.process_time() - started) / sum(len(line) for line in lines) * 1e6
