"""The batch half of the main job: partners' files, the lake, the windows that are reconciled.

What must come out is not taken from the platform: partners say what they sent (`simulator/partners.py`), and each
file's entry in the ledger is held against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fleetflow.runtime import Connection
from fleetflow.settings import Settings

if TYPE_CHECKING:
    from fleetflow.simulator.partners import PartnerTruth, SentFile

PARTNERS = ("nordcard", "swiftline", "torque")
CORRECTING = "nordcard"
"""The partner that sends a second, corrected version of its first file."""


@dataclass(frozen=True)
class FileLine:
    """One version of one partner's file, as the ledger has it."""

    partner: str
    feed: str
    name: str
    state: str
    lines: int
    accepted: int
    rejected: int
    unchanged: int
    superseded: int
    reason: str | None


@dataclass(frozen=True)
class LakeLine:
    """What the lake took in of one feed: rows of raw objects read, added, left out as repeats."""

    feed: str
    commits: int
    rows_read: int
    rows_added: int
    rows_repeated: int


@dataclass(frozen=True)
class WindowLine:
    """One reconciled window: its feed, its start, what came out and in words what differs."""

    feed: str
    grain: str
    start: datetime
    verdict: str
    words: str

    @property
    def holds(self) -> bool:
        """Whether it adds up, repaired or not."""
        return self.verdict in ("passed", "repaired")


def partner_dag(partner: str) -> str:
    """Return the id of a partner's DAG."""
    return f"load__partner_{partner}__files"


def reconcile_this_hour(settings: Settings) -> None:
    """Reconcile every hour up to now as if the one at hand were over: nobody sends any more."""
    from fleetflow.reconciliation import Plan, reconcile_windows

    reconcile_windows(settings, Plan("hour", now=datetime.now(UTC) + timedelta(hours=2)))


def read_files(conn: Connection) -> list[FileLine]:
    """Return every version of every file that was seen."""
    rows = conn.execute(
        "select partner, feed, name, state, coalesce(lines, 0), coalesce(accepted, 0), coalesce(rejected, 0),"
        " coalesce(unchanged, 0), coalesce(superseded, 0), reason from ops.partner_file"
        " where state <> 'missing' order by partner, name, file_id"
    ).fetchall()
    return [FileLine(*row) for row in rows]


def read_lake(conn: Connection) -> list[LakeLine]:
    """Return what the lake took in, feed by feed."""
    rows = conn.execute(
        "select feed, count(*), sum(rows_read)::bigint, sum(rows_added)::bigint, sum(rows_repeated)::bigint"
        " from ops.lake_commit group by feed order by feed"
    ).fetchall()
    return [LakeLine(*row) for row in rows]


def read_windows(conn: Connection) -> list[WindowLine]:
    """Return the newest attempt at each window."""
    rows = conn.execute(
        "select distinct on (feed, grain, window_start) feed, grain, window_start, verdict,"
        " coalesce(differences->0->>'words', '') from ops.reconciliation"
        " order by feed, grain, window_start, attempt desc"
    ).fetchall()
    return [WindowLine(*row) for row in rows]


def faults_of_files(found: Sequence[FileLine], truth: PartnerTruth) -> Iterator[str]:
    """Hold each file that was sent against the ledger; a file that nobody sent is a fault as well."""
    left = list(found)
    for sent in truth.files:
        entry = next((line for line in left if _matches(line, sent)), None)
        if entry is None:
            states = [f"{line.state} {line.lines}" for line in left if line.name == sent.name]
            wanted = f"{sent.partner} sent {sent.name} ({sent.lines} lines, to be {sent.state})"
            yield f"{wanted}; found {states or 'nothing'}"
        else:
            left.remove(entry)
    yield from (f"{line.partner}: {line.name} is {line.state}, but nobody sent it" for line in left)


def _matches(line: FileLine, sent: SentFile) -> bool:
    if (line.partner, line.name, line.state) != (sent.partner, sent.name, sent.state):
        return False
    counts = (line.lines, line.accepted, line.rejected, line.unchanged, line.superseded)
    return sent.state != "loaded" or counts == (
        sent.lines,
        sent.landed,
        sent.invalid,
        sent.unchanged,
        sent.superseded,
    )


def faults_of_lake(lake: Sequence[LakeLine], conn: Connection) -> Iterator[str]:
    """Every accepted row of a raw object went to the lake, or was a repeat there."""
    rows = conn.execute(
        "select feed, sum(accepted)::bigint from ops.batch"
        " where object_key is not null and source <> 'backfill' and accepted > 0 group by feed"
    ).fetchall()
    taken = {line.feed: line.rows_read for line in lake}
    for feed, accepted in rows:
        if taken.get(feed, 0) != accepted:
            yield f"{feed}: {accepted} rows in raw objects, {taken.get(feed, 0)} read into the lake"
