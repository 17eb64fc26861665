"""Reconciles closed windows against every arm, repairs what it may, counts again, and keeps each attempt.

A window's steps, and what a process that dies between them leaves:
1. count and compare, under one snapshot. Nothing.
2. record what differs, with the repairs set out. The next run takes the window up again.
3. repair: raw objects, landing's rows, pipelines; each is safe to repeat.
4. count again and record; move `ops.verified_through` over what holds.
One reconciliation at a time, by an advisory lock that goes with its process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import IsolationLevel

from domain.contracts import FEEDS
from fleetflow.faults import UserError
from fleetflow.reconciliation_arms import LakeBooks, RawBucket, read_frontier
from fleetflow.reconciliation_repair import Repairs
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from quality.reconcile import (
    Arms,
    Attempt,
    Cause,
    Counted,
    Verdict,
    Window,
    advance,
    count_window,
    due_windows,
    judge,
    newest,
    read_sent_windows,
    record,
    settled_moment,
)

LOCK = "fleetflow.reconciliation"
SETTLE_S = 60.0

Step = Callable[[str], None]
Tell = Callable[[str], None]


def ignore(_: str) -> None:
    """Do nothing with a step or a line."""


@dataclass(frozen=True)
class Plan:
    """What to reconcile: the grain, closed windows in a range or all that are due, and whether to repair.

    `wait_s` is how long to wait for another reconciliation to end, in seconds.
    """

    grain: str
    from_at: datetime | None = None
    to_at: datetime | None = None
    repair: bool = True
    feeds: Sequence[str] = tuple(FEEDS)
    now: datetime | None = None
    sent: Path | None = None
    wait_s: float = 0.0


def reconcile_windows(
    settings: Settings, plan: Plan, *, step: Step = ignore, tell: Tell = ignore
) -> list[Attempt]:
    """Reconcile the closed windows of a plan; return the attempt that now holds of each.

    Args:
        settings: the place.
        plan: which windows.
        step: called before and after each step that changes anything; for tests that end the process there.
        tell: called with a line on each window as it is done.

    Raises:
        UserError: another reconciliation is running.
    """
    now = plan.now or datetime.now(UTC)
    with alone(settings, plan.wait_s) as loader:
        with connect(settings.dsn("ops")) as conn:
            windows = due_windows(conn, plan.feeds, plan.grain, now, plan.from_at, plan.to_at)
        arms = open_arms(settings, plan.sent or settings.sent_dir) if windows else None
        found = []
        with Repairs(settings, step) as repairs:
            for window in windows:
                assert arms is not None
                attempt = _Reconciler(settings, loader, arms, repairs, step, plan.repair).settle(window)
                tell(f"{window}: {attempt.verdict.value}")
                found.append(attempt)
        # A process that died after its record left this undone.
        for feed in plan.feeds:
            with loader.transaction():
                advance(loader, feed, plan.grain)
    return found


@contextmanager
def alone(settings: Settings, wait_s: float = 0.0) -> Iterator[Connection]:
    """Hold the one right to reconcile, on the connection that records.

    Raises:
        UserError: another process has it, and had it all the while.
    """
    deadline = time.monotonic() + wait_s
    with connect(settings.dsn("loader"), autocommit=True) as conn:
        while True:
            row = conn.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (LOCK,)).fetchone()
            if row and row[0]:
                break
            if time.monotonic() >= deadline:
                raise UserError(
                    "another reconciliation is running; wait for it, or look at `fleetflow reconcile status`"
                )
            time.sleep(1.0)
        yield conn


def open_arms(settings: Settings, sent: Path) -> Arms:
    """Open the arms that lie outside the warehouse; the streams are asked now, before any snapshot."""
    return Arms(
        raw=RawBucket(settings),
        count_lake=LakeBooks(settings).count,
        frontier=read_frontier(settings),
        sent=read_sent_windows(sent),
    )


class _Reconciler:
    """Takes one window from its count to its verdict."""

    def __init__(
        self, settings: Settings, loader: Connection, arms: Arms, repairs: Repairs, step: Step, repair: bool
    ) -> None:
        self._settings = settings
        self._loader = loader
        self._arms = arms
        self._repairs = repairs
        self._step = step
        self._repair = repair

    def settle(self, window: Window) -> Attempt:
        earlier = newest(self._loader, window)
        counted = self._count(window)
        self._step("compare")
        attempt = judge(counted, earlier)
        planned = self._repairs.plan(counted.differences) if self._repair else ()
        if not planned:
            return self._record(attempt)
        attempt = judge(counted, earlier, tuple(repair.words for repair in planned))
        before = self._record(attempt)
        done = self._repairs.make(planned)
        self._arms = self._repairs.after(self._arms)
        again = self._count(window)
        kept = replace(before, repairs=earlier.repairs if earlier else ())
        return self._record(judge(again, kept, done))

    def _count(self, window: Window) -> Counted:
        """Count; what looks stale while a run writes the marts is looked at once more when that run is over."""
        self._step("count")
        counted = self._count_once(window)
        suspect = any(
            d.arm == "marts" and d.cause in (Cause.STALE, Cause.MISSING) for d in counted.differences
        )
        if suspect and self._await_run(counted.at):
            counted = self._count_once(window)
        return counted

    def _count_once(self, window: Window) -> Counted:
        with connect(self._settings.dsn("ops")) as conn:
            at = settled_moment(conn)
            conn.rollback()
            conn.isolation_level = IsolationLevel.REPEATABLE_READ
            return count_window(conn, window, self._arms, at)

    def _await_run(self, at: datetime) -> bool:
        """Wait for the run that was writing the marts at a moment; return whether there was one."""
        running = (
            "select count(*) filter (where state = 'claimed'), count(*) from ops.transform_run"
            " where pipeline = 'shipments' and started_at <= %(at)s"
            " and (state = 'claimed' or finished_at >= %(at)s)"
        )
        deadline = time.monotonic() + SETTLE_S
        while True:
            row = self._loader.execute(running, {"at": at}).fetchone()
            assert row is not None
            if not row[0] or time.monotonic() > deadline:
                return bool(row[1])
            time.sleep(0.5)

    def _record(self, attempt: Attempt) -> Attempt:
        self._step("record")
        number = record(self._loader, attempt)
        self._step("advance")
        with self._loader.transaction():
            advance(self._loader, attempt.window.feed, attempt.window.grain)
        self._step("advanced")
        return replace(attempt, number=number)


def open_windows(conn: Connection) -> list[dict[str, Any]]:
    """Return the windows that do not hold, by their newest attempt."""
    rows = conn.execute(
        "select feed, grain, window_start, window_end, attempt, verdict, differences, checked_at"
        " from ops.reconciliation_standing where verdict not in ('passed', 'repaired')"
        " order by window_start, feed, grain"
    ).fetchall()
    names = ("feed", "grain", "from", "to", "attempt", "verdict", "differences", "checked_at")
    return [dict(zip(names, row, strict=True)) for row in rows]


def verified(conn: Connection) -> list[dict[str, Any]]:
    """Return how far each feed is verified."""
    rows = conn.execute(
        "select feed, grain, verified_from, verified_through from ops.verified_through order by feed, grain"
    ).fetchall()
    return [dict(zip(("feed", "grain", "from", "through"), row, strict=True)) for row in rows]


def all_hold(attempts: Sequence[Attempt]) -> bool:
    """Whether every window holds."""
    return all(attempt.verdict.holds for attempt in attempts)


def summary(attempts: Sequence[Attempt]) -> Mapping[str, int]:
    """Return how many windows came to each verdict."""
    return {verdict.value: sum(a.verdict is verdict for a in attempts) for verdict in Verdict}
