"""What the morning report says, as plain values: no SQL, no markup.

Shares are fractions of 1, differences are percentage points, times are UTC. None means "not known", never
zero: a share of nothing due, a target that nobody set, a history that does not reach back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from serving.report.vehicles.model import NOTHING_ASKED, VehicleSections

DIMENSIONS = ("region", "carrier", "service_level")
HISTORY_DAYS = 7


def share(part: int, whole: int) -> float | None:
    """Return part / whole; None of nothing."""
    return part / whole if whole else None


def points(value: float | None, reference: float | None) -> float | None:
    """Return value - reference in percentage points; None where either is not known.

    Rounded where only binary fractions differ: a share that equals its target is on target.
    """
    return None if value is None or reference is None else round((value - reference) * 100, 9) + 0.0


@dataclass(frozen=True)
class SlaRow:
    """One member of a dimension on the report's day, in shipments; `open` are those not delivered."""

    dimension: str
    member: str
    due: int
    delivered: int
    on_time: int
    late: int
    open: int
    on_time_share: float | None
    target_share: float | None
    share_7d: float | None

    @property
    def missed(self) -> int:
        """Promises of the day that were not kept, for whatever reason."""
        return self.due - self.on_time

    @property
    def returned(self) -> int:
        """Due and sent back: neither on time, nor late, nor open."""
        return self.due - self.on_time - self.late - self.open

    @property
    def vs_target_pp(self) -> float | None:
        """Distance to the target in percentage points; negative is worse."""
        return points(self.on_time_share, self.target_share)

    @property
    def vs_7d_pp(self) -> float | None:
        """Distance to the last 7 days in percentage points; negative is worse."""
        return points(self.on_time_share, self.share_7d)

    @property
    def shortfall(self) -> float:
        """How many more shipments on time would have met the target; negative if it was passed."""
        return self.due * (self.target_share or 0.0) - self.on_time


@dataclass(frozen=True)
class DayCount:
    """One day of one member: what was due and what was on time."""

    dimension: str
    member: str
    day: date
    due: int
    on_time: int

    @property
    def on_time_share(self) -> float | None:
        """The day's on-time share; None when nothing was due."""
        return share(self.on_time, self.due)


@dataclass(frozen=True)
class Lane:
    """One origin and destination on the report's day; `due_7d` and `on_time_7d` are of the 7 days before."""

    origin: str
    destination: str
    due: int
    on_time: int
    late: int
    open: int
    minutes_late: float | None
    due_7d: int
    on_time_7d: int

    @property
    def missed(self) -> int:
        """Promises of the day that were not kept."""
        return self.due - self.on_time


@dataclass(frozen=True)
class RiskyShipment:
    """A shipment under way whose promise is in danger; minutes count down to the promise."""

    shipment_id: str
    carrier_id: str | None
    service_level: str | None
    mode: str | None
    region: str | None
    origin: str
    destination: str
    vehicle_id: str | None
    status: str
    status_at: datetime | None
    promised_at: datetime
    minutes_to_promise: int


@dataclass(frozen=True)
class Risks:
    """What is in danger at the report's moment: the most urgent shipments, and how many there are in all."""

    shipments: tuple[RiskyShipment, ...] = ()
    total: int = 0
    open_total: int = 0
    overdue_total: int = 0
    oldest_overdue_at: datetime | None = None


@dataclass(frozen=True)
class ExceptionReason:
    """Failed attempts and exceptions of one reason on the report's day, and in the 7 days before it."""

    kind: str
    reason_code: str | None
    reason: str | None
    count: int
    unresolved: int
    minutes_to_resolve: float | None
    count_7d: int


@dataclass(frozen=True)
class TransformRun:
    """One finished micro-batch; freshness is the age of its events when they became visible, in seconds."""

    finished_at: datetime
    events: int
    p50_s: float
    p95_s: float
    p99_s: float


@dataclass(frozen=True)
class RunCounts:
    """Micro-batches of the last 24 hours by state, and what still waits."""

    done: int = 0
    failed: int = 0
    held: int = 0
    last_done_at: datetime | None = None
    pending: int = 0
    oldest_pending_at: datetime | None = None


@dataclass(frozen=True)
class FeedCount:
    """What one feed delivered in the last 24 hours."""

    feed: str
    events_read: int
    accepted: int
    rejected: int
    last_landed_at: datetime | None


@dataclass(frozen=True)
class RejectCount:
    """Refused events of the last 24 hours by rule; `open` are those not replayed yet."""

    feed: str
    rule: str
    count: int
    open: int


@dataclass(frozen=True)
class FailedCheck:
    """A data check that failed at least once in the last 24 hours."""

    suite: str
    check_name: str
    subject: str
    severity: str
    failures: int
    runs: int
    failing_now: bool
    failed_at: datetime
    detail: str


@dataclass(frozen=True)
class CdcPull:
    """The last pull from one slot of the order database; lag and retained log in bytes."""

    slot: str
    started_at: datetime
    seconds: float
    changes: int
    lag_bytes: int | None
    retained_bytes: int | None


@dataclass(frozen=True)
class VerifiedFeed:
    """How far one feed adds up on every arm, by closed hours and by closed days; None where nothing is verified."""

    feed: str
    hours_through: datetime | None
    days_through: datetime | None
    open: int


@dataclass(frozen=True)
class OpenWindow:
    """A closed hour or day whose arms do not agree, or could not be counted; `words` are its first differences."""

    feed: str
    grain: str
    start: datetime
    verdict: str
    attempts: int
    words: Sequence[str]
    differences: int


@dataclass(frozen=True)
class RepairedWindow:
    """A closed hour or day that was repaired in the last 24 hours and adds up since."""

    feed: str
    grain: str
    start: datetime
    repaired_at: datetime
    words: Sequence[str]


@dataclass(frozen=True)
class Reconciliation:
    """What the reconciliation found: how far all is verified, what is open, what was repaired."""

    feeds: tuple[VerifiedFeed, ...] = ()
    open: tuple[OpenWindow, ...] = ()
    open_total: int = 0
    repaired: tuple[RepairedWindow, ...] = ()
    checked_at: datetime | None = None


@dataclass(frozen=True)
class Health:
    """The state of the data that the report rests on, over the 24 hours before the report's moment."""

    runs: tuple[TransformRun, ...] = ()
    run_counts: RunCounts = RunCounts()
    feeds: tuple[FeedCount, ...] = ()
    rejects: tuple[RejectCount, ...] = ()
    failed_checks: tuple[FailedCheck, ...] = ()
    checks_total: int = 0
    cdc: tuple[CdcPull, ...] = ()
    reconciliation: Reconciliation = Reconciliation()


@dataclass(frozen=True)
class MorningReport:
    """Everything on the page, for one tenant and one day (UTC)."""

    tenant: str
    report_date: date
    as_of: datetime
    generated_at: datetime
    sla: tuple[SlaRow, ...] = ()
    days: tuple[DayCount, ...] = ()
    lanes: tuple[Lane, ...] = ()
    lanes_total: int = 0
    risks: Risks = Risks()
    exceptions: tuple[ExceptionReason, ...] = ()
    health: Health = Health()
    vehicles: VehicleSections = NOTHING_ASKED

    @property
    def headline(self) -> SlaRow:
        """The row over everything; a row of zeroes when nothing was due."""
        rows = [row for row in self.sla if row.dimension == "all"]
        return rows[0] if rows else SlaRow("all", "all", 0, 0, 0, 0, 0, None, None, self._history_share())

    @property
    def history(self) -> tuple[date, ...]:
        """The 7 days before the report's day, oldest first."""
        return tuple(self.report_date - timedelta(days=n) for n in range(HISTORY_DAYS, 0, -1))

    @property
    def days_known(self) -> int:
        """On how many of the 7 days before something was due; an average per day divides by it."""
        known = {day.day for day in self.days if day.dimension == "all" and day.due}
        return len(known & set(self.history))

    def of(self, dimension: str) -> list[SlaRow]:
        """Return a dimension's rows, those that cost the most promises against the target first."""
        rows = (row for row in self.sla if row.dimension == dimension)
        return sorted(rows, key=lambda row: (-row.shortfall, -row.missed, row.member))

    def days_of(self, dimension: str, member: str) -> list[float | None]:
        """Return a member's on-time shares, 7 days before and the day itself; None where unknown."""
        known = {d.day: d.on_time_share for d in self.days if (d.dimension, d.member) == (dimension, member)}
        return [known.get(day) for day in (*self.history, self.report_date)]

    def _history_share(self) -> float | None:
        return pooled(day for day in self.days if day.dimension == "all" and day.day in self.history)


def pooled(days: Iterable[DayCount]) -> float | None:
    """Return the on-time share of several days taken together; None when nothing was due on any."""
    counted = [(day.on_time, day.due) for day in days]
    return share(sum(on_time for on_time, _ in counted), sum(due for _, due in counted))
