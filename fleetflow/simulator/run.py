"""A whole run: build the fleet, fill the order database, send the past, then stream live at the wanted rate.

The truth counts a slice when the sinks have taken all of it; `<home>/sent/<run>.json` follows every few
seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fleetflow.runtime import Connection
from fleetflow.simulator.changes import OrderChanges
from fleetflow.simulator.fleet import Fleet, build_fleet
from fleetflow.simulator.memory import without_collections
from fleetflow.simulator.motion import GpsStream
from fleetflow.simulator.orders import fill
from fleetflow.simulator.pacing import Clock, Pacer, WallClock
from fleetflow.simulator.plan import GPS, PlanError, SimulationPlan, seeded
from fleetflow.simulator.repeats import Repeater
from fleetflow.simulator.sinks import NOWHERE, Streams
from fleetflow.simulator.status import StatusStream
from fleetflow.simulator.truth import Tally, Truth
from fleetflow.simulator.vehicle_life.truth import facts, write_facts
from fleetflow.simulator.wire import PLAIN, Event

TRUTH_EVERY_S = 3.0
PROGRESS_EVERY_S = 0.25
HISTORY_CHUNK = 2_000
# Vehicles with a whole life report some lines a second: they are asked so often, not at every slice.
LIVES_EVERY_MS = 500


class DeliveryError(RuntimeError):
    """The streams did not take everything in time; the producers' spool keeps the rest."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; phases are fleet, orders, history, vehicles, live, flush."""

    phase: str
    sent: int
    total: int
    rate: float = 0.0


OnProgress = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Show nothing."""


@dataclass
class _Run:
    """The state of one run between its phases."""

    fleet: Fleet
    streams: Streams
    sent_dir: Path | None
    tell: OnProgress
    truth: Truth
    stop: threading.Event
    _told: float = 0.0
    _written: float = field(default_factory=time.monotonic)

    def report(self, phase: str, sent: int, total: int, rate: float = 0.0) -> None:
        now = time.monotonic()
        if now - self._told >= PROGRESS_EVERY_S or sent >= total:
            self._told = now
            self.tell(Progress(phase, sent, total, rate))
        if self.sent_dir and now - self._written >= TRUTH_EVERY_S:
            self._written = now
            self.truth.write(self.sent_dir)

    def send(self, gps: list[Event], status: list[Event], telemetry: Sequence[Event] = ()) -> None:
        streams = self.streams
        for events, sink in ((gps, streams.gps), (status, streams.status), (telemetry, streams.telemetry)):
            if not events:
                continue
            send = sink.send
            for _, key, line, _ in events:
                send(key, line)
            self._count(events)

    def write_facts(self, until_ms: int) -> None:
        """Write what is true of the vehicles with a whole life, if there are any."""
        if self.sent_dir and self.fleet.lives.vehicles:
            content = facts(self.fleet.lives, self.truth.run, until_ms, complete=self.truth.complete)
            write_facts(self.sent_dir, content)

    def _count(self, events: Sequence[Event]) -> None:
        """Count what went out, and when."""
        slice_ = Tally()
        count(events, slice_)
        now = datetime.now(UTC)
        for feed in slice_.feeds.values():
            feed.took(feed.sent, now)
        self.truth.tally.add(slice_)

    def flush(self, timeout_s: float) -> None:
        self.report("flush", 0, 1)
        for name, sink in zip(Streams._fields, self.streams, strict=True):
            if not sink.flush(timeout_s):
                raise DeliveryError(f"the {name} stream did not take everything within {timeout_s:.0f} s")
        self.report("flush", 1, 1)


def count(events: Iterable[Event], tally: Tally) -> None:
    """Add events that went out to the tally."""
    plain: dict[str, int] = {}
    for feed, _, _, mark in events:
        if mark is PLAIN:
            plain[feed] = plain.get(feed, 0) + 1
            continue
        counts = tally.of(feed)
        counts.sent += 1
        if mark.rule:
            counts.spoilt(mark.rule)
        if mark.repeat:
            counts.repeats += 1
            continue
        counts.distinct += 1
        counts.valid_distinct += mark.rule is None
        for flaw in (mark.flaw or "").split("+"):
            if flaw:
                setattr(counts, flaw, getattr(counts, flaw) + 1)
    for feed, lines in plain.items():
        counts = tally.of(feed)
        counts.sent += lines
        counts.distinct += lines
        counts.valid_distinct += lines


def run_simulation(
    plan: SimulationPlan,
    orders: Connection | None,
    streams: Streams,
    home: Path | None,
    on_progress: OnProgress = ignore_progress,
    *,
    fleet: Fleet | None = None,
    clock: Clock | None = None,
    stop: threading.Event | None = None,
    flush_timeout_s: float = 120.0,
) -> Truth:
    """Run the plan to its end (or until `stop` is set) and return what was sent.

    Args:
        plan: what to simulate.
        orders: the order database, filled and then changed along; None for a run without one. A thread of
            the run uses this connection meanwhile; it must have no open transaction.
        streams: where the lines go.
        home: `<home>/sent/<run>.json` gets the truth; None writes none.
        on_progress: called at most every quarter of a second.
        fleet: the plan's fleet if the caller built it and filled the order database already.
        clock: for files and tests; else the wall clock.
        stop: ends the live part early; the truth is complete all the same.
        flush_timeout_s: how long the streams may take to empty at the end.

    Raises:
        DeliveryError: the streams did not empty in time.
        PlanError: the plan has telemetry vehicles and nothing takes their telemetry.
    """
    if plan.telemetry_vehicles and streams.telemetry is NOWHERE:
        raise PlanError("telemetry_vehicles wants a stream for telemetry")
    clock = clock or WallClock()
    on_progress(Progress("fleet", 0, 1))
    made_here = fleet is None
    fleet = fleet or build_fleet(plan)
    sent_dir = home / "sent" if home else None
    truth = Truth(_run_name(fleet, sent_dir), fleet.plan, datetime.now(UTC))
    run = _Run(fleet, streams, sent_dir, on_progress, truth, stop or threading.Event())
    if sent_dir:
        truth.write(sent_dir)
    if orders is not None and made_here:
        on_progress(Progress("orders", 0, 1))
        fill(orders, fleet)
    try:
        with without_collections(), ExitStack() as stack:
            gps, status = fleet.gps(), fleet.status()
            _send_history(run)
            _send_lives(run)
            if orders is not None and fleet.plan.order_changes_per_s:
                changes = stack.enter_context(OrderChanges(orders, fleet, fleet.plan.order_changes_per_s))
                fleet.dispatcher.journal = changes
            until_ms = _send_live(run, clock, gps, status)
        run.flush(flush_timeout_s)
        truth.complete = True
        run.write_facts(until_ms)
    finally:
        truth.finished_at = datetime.now(UTC)
        if sent_dir:
            truth.write(sent_dir)
    return truth


def _run_name(fleet: Fleet, sent_dir: Path | None) -> str:
    base = f"{fleet.plan.start.astimezone(UTC):%Y%m%dT%H%M%SZ}-{fleet.tag}"
    names = (base if n == 1 else f"{base}-{n}" for n in range(1, 10_000))
    # A plan that runs again sends the same events again: that is another run with a truth of its own.
    return next(name for name in names if sent_dir is None or not (sent_dir / f"{name}.json").exists())


def _send_history(run: _Run) -> None:
    total = sum(shipment.position for shipment in run.fleet.shipments)
    began = time.monotonic()
    for group in run.fleet.history():
        for first in range(0, len(group), HISTORY_CHUNK):
            run.send([], group[first : first + HISTORY_CHUNK])
            run.report(
                "history", run.truth.sent, max(total, run.truth.sent + 1), _rate(run.truth.sent, began)
            )
    run.truth.history_sent = run.truth.sent


def _send_lives(run: _Run) -> None:
    """Send the past of the vehicles with a whole life."""
    lives, before = run.fleet.lives, run.truth.sent
    total = lives.history_entries
    for positions, telemetry in lives.history():
        run.send(positions, [], telemetry)
        run.report("vehicles", run.truth.sent - before, max(total, run.truth.sent - before + 1))
    run.truth.history_sent = run.truth.sent
    run.write_facts(run.fleet.plan.start_ms)


def _send_live(run: _Run, clock: Clock, gps: GpsStream, status: StatusStream) -> int:
    """Send the live part; return the simulated moment up to which it came."""
    plan, truth = run.fleet.plan, run.truth
    began, begin_ms, sent = clock.elapsed_s(), max(clock.now_ms(), plan.start_ms), 0
    repeater = Repeater(plan.faults.duplicates, seeded(plan.fingerprint(), "repeats"))
    pacer = Pacer(plan.rate, clock)
    gps_due, gps_share = 0.0, plan.share(GPS)
    now_ms = told_ms = plan.start_ms
    while sent < plan.total and not run.stop.is_set():
        slots = min(pacer.slice_events, plan.total - sent)
        now_ms = begin_ms + round(pacer.wait() * 1000)
        recorded_ms = clock.now_ms()
        gps_due += slots * gps_share
        gps_slots = min(slots, int(gps_due + 1e-9))
        gps_due -= gps_slots
        fixes = gps.fill(gps_slots, now_ms, recorded_ms)
        steps = status.fill(slots - gps_slots, now_ms, recorded_ms)
        run.send(repeater.mix(0, fixes, now_ms), repeater.mix(1, steps, now_ms))
        if now_ms - told_ms >= LIVES_EVERY_MS:
            told_ms = now_ms
            _send_lives_now(run, now_ms, recorded_ms)
        sent += slots
        truth.live_seconds = clock.elapsed_s() - began
        run.report("live", sent, plan.total, sent / truth.live_seconds if truth.live_seconds else 0.0)
    run.send(repeater.rest(0), repeater.rest(1))
    _send_lives_now(run, now_ms, clock.now_ms())
    truth.live_seconds = clock.elapsed_s() - began
    return now_ms


def _send_lives_now(run: _Run, now_ms: int, recorded_ms: int) -> None:
    positions, telemetry = run.fleet.lives.live(now_ms, recorded_ms)
    run.send(positions, [], telemetry)


def _rate(sent: int, began: float) -> float:
    return sent / max(1e-6, time.monotonic() - began)
