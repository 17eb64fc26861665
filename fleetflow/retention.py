"""Drops what is past keeping: raw objects, landing's days, the lake's days, marts rows, and the ledger's own days.

Nothing goes that is not reconciled, not transformed, (a raw object) not in the lake, or under legal hold; what was
refused is kept in `ops.retention_action` with its reason, like what was dropped. Safe to repeat and to kill: each step
is whole or can be taken again, and none is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any

from fleetflow.faults import UserError
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings

AREAS = ("landing", "raw", "lake", "marts", "rejects", "batches", "ledger")

Step = Callable[[str], None]


@dataclass(frozen=True)
class Policy:
    """How many days each area is kept.

    `rejects` hold raw bytes and are kept as long as raw objects. `batches` is the ledger of what landed with the chain
    of cuts; it outlives what it accounts for, and its sums stay in `ops.batch_total`. `ledger` is check results, alerts
    and CDC pulls. Reconciliations and retention's actions are kept.

    Raises:
        ValueError: batches would go before what they account for.
    """

    landing: int = 7
    raw: int = 180
    lake: int = 1096
    marts: int = 1096
    rejects: int = 180
    batches: int = 400
    ledger: int = 400

    def __post_init__(self) -> None:
        """Hold the order in which the areas go."""
        if self.batches < max(self.landing, self.raw, self.rejects):
            raise ValueError(
                f"batches are kept {self.batches} days: landing ({self.landing}), raw objects ({self.raw}) and rejects"
                f" ({self.rejects}) may not be kept longer, for the batches account for them"
            )

    def before(self, area: str, as_of: date) -> date:
        """Return the first day of an area that is kept."""
        kept: int = getattr(self, area)
        return as_of - timedelta(days=kept)


@dataclass(frozen=True)
class Action:
    """What was done with one subject: dropped or refused, and why; in a dry run `would drop` or `would refuse`."""

    area: str
    subject: str
    action: str
    reason: str
    row_count: int | None = None
    size_bytes: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The action as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Task:
    """What an area needs to do its part."""

    settings: Settings
    policy: Policy
    as_of: date
    dry_run: bool
    step: Step

    def before(self, area: str) -> datetime:
        """Return the moment before which an area's data is past keeping."""
        day = self.policy.before(area, self.as_of)
        return datetime(day.year, day.month, day.day, tzinfo=UTC)

    def keep(self, conn: Connection, action: Action) -> Action:
        """Enter an action into the ledger, within the caller's transaction; in a dry run only rename it."""
        if self.dry_run:
            words = {"dropped": "would drop", "refused": "would refuse"}
            return Action(**{**action.as_dict(), "action": words[action.action]})
        conn.execute(
            "insert into ops.retention_action (area, subject, action, reason, row_count, size_bytes)"
            " values (%(area)s, %(subject)s, %(action)s, %(reason)s, %(row_count)s, %(size_bytes)s)",
            action.as_dict(),
        )
        return action


def run_retention(
    settings: Settings,
    *,
    as_of: date | None = None,
    dry_run: bool = False,
    policy: Policy | None = None,
    areas: Sequence[str] = AREAS,
    step: Step = lambda _: None,
) -> Iterator[Action]:
    """Do what is due as of a day (UTC; default today), area by area; yield each action as it is done.

    Raises:
        UserError: another retention is running.
        psycopg.Error, botocore.exceptions.ClientError, OSError: a store refuses; what was done before stands.
    """
    from fleetflow import retention_lake, retention_landing, retention_ledger, retention_marts, retention_raw
    from fleetflow import retention_vehicles as vehicles

    task = Task(settings, policy or Policy(), as_of or datetime.now(UTC).date(), dry_run, step)
    works: dict[str, Callable[[Task], Iterator[Action]]] = {
        "landing": retention_landing.drop_days,
        "raw": retention_raw.drop_objects,
        "lake": retention_lake.drop_days,
        "marts": lambda task: chain(retention_marts.drop_shipments(task), vehicles.drop_facts(task)),
        "rejects": retention_ledger.drop_rejects,
        "batches": retention_ledger.drop_batches,
        "ledger": retention_ledger.drop_notes,
    }
    with connect(settings.dsn("loader"), autocommit=True) as conn:
        row = conn.execute(
            "select pg_try_advisory_lock(hashtextextended('fleetflow.retention', 0))"
        ).fetchone()
        if not row or not row[0]:
            raise UserError("another retention is running; wait for it")
        for area in areas:
            yield from works[area](task)


def add_hold(
    conn: Connection,
    reason: str,
    placed_by: str,
    *,
    tenant: str | None = None,
    feed: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
) -> int:
    """Place a legal hold; return its number. The caller commits.

    Raises:
        UserError: the reason is empty, the range is, or there is no such feed.
    """
    from domain.contracts import FEEDS

    if not reason.strip():
        raise UserError("--reason is empty: a hold says why it stands")
    if feed is not None and feed not in FEEDS:
        raise UserError(f"unknown feed {feed!r}: the feeds are {', '.join(sorted(FEEDS))}")
    if from_at is not None and to_at is not None and from_at >= to_at:
        raise UserError(f"--from {from_at:%F %T} is not before --to {to_at:%F %T}")
    row = conn.execute(
        "insert into ops.legal_hold (tenant_id, feed, from_at, to_at, reason, placed_by)"
        " values (%s, %s, %s, %s, %s, %s) returning hold_id",
        (tenant, feed, from_at, to_at, reason, placed_by),
    ).fetchone()
    assert row is not None
    return int(row[0])


def release_hold(conn: Connection, hold_id: int, released_by: str) -> None:
    """Release a hold; it stays in the table. The caller commits.

    Raises:
        UserError: there is no such hold, or it is released already.
    """
    done = conn.execute(
        "update ops.legal_hold set released_by = %s, released_at = clock_timestamp()"
        " where hold_id = %s and released_at is null",
        (released_by, hold_id),
    ).rowcount
    if not done:
        raise UserError(f"there is no open hold {hold_id}; `fleetflow retention hold list` shows them")


def list_holds(conn: Connection, *, released: bool = False) -> list[dict[str, Any]]:
    """Return the open holds, or all that ever were."""
    names = (
        "hold_id",
        "tenant_id",
        "feed",
        "from_at",
        "to_at",
        "reason",
        "placed_by",
        "placed_at",
        "released_at",
    )
    rows = conn.execute(
        f"select {', '.join(names)} from ops.legal_hold where released_at is null or %s order by hold_id".encode(),
        (released,),
    ).fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]
