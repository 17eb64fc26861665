"""Commits to a table, compare and swap: what was made for one snapshot is not put on another unseen.

Between the snapshot that a claim was held against and the newest one there may be maintenance: it moves rows and
removes days, it adds nothing, so the commit goes on top of it. Anything else may have added what is about to be added:
then the commit is given up.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from sqlalchemy.exc import DBAPIError

from ingestion.lake.tables import Lake

RUN = "fleetflow.run-id"
ACTION = "fleetflow.action"
ADDS_NOTHING = frozenset({"rewrite", "drop"})
_ATTEMPTS = 20
_LONGEST_PAUSE_S = 5.0

log = logging.getLogger("ingestion.lake")


class OvertakenError(RuntimeError):
    """Another writer has added rows since the claim was held against the table; nothing was committed."""


def snapshot_of(table: Table, run_id: UUID) -> Snapshot | None:
    """Return the snapshot that a run committed, None if there is none."""
    for snapshot in reversed(table.metadata.snapshots):
        if snapshot.summary is not None and snapshot.summary.get(RUN) == str(run_id):
            return snapshot
    return None


def append(
    lake: Lake, base: Table, files: Sequence[DataFile], run_id: UUID, check: Callable[[], None]
) -> int:
    """Add the files in one commit, on top of `base` or of maintenance that followed it; return the snapshot.

    `check` is called before each attempt, and raises where the run must not commit any more.

    Raises:
        OvertakenError: something else was added meanwhile.
        OSError: storage or the catalog refused for too long; whether the commit came through is not known.
    """

    def attempt(table: Table) -> None:
        _require_nothing_added(table, base.metadata.current_snapshot_id)
        transaction = table.transaction()
        with transaction.update_snapshot({RUN: str(run_id), ACTION: "compact"}).merge_append() as producer:
            for file in files:
                producer.append_data_file(file)
        transaction.commit_transaction()

    return commit(lake, base.name()[-1], attempt, lambda table: _id_of(snapshot_of(table, run_id)), check)


def commit(
    lake: Lake,
    feed: str,
    attempt: Callable[[Table], None],
    done: Callable[[Table], int | None],
    check: Callable[[], None] = lambda: None,
) -> int:
    """Try a commit on the newest state of the table until it is in; return its snapshot.

    An attempt whose outcome is not known (the catalog was lost on the way) is looked up before the next one.

    Raises:
        OSError: it was tried too often.
    """
    pause = 0.1
    for number in range(1, _ATTEMPTS + 1):
        try:
            table = lake.table(feed)
            found = done(table)
            if found is not None:
                return found
            check()
            attempt(table)
        except (CommitFailedException, OSError, DBAPIError) as fault:
            if number == _ATTEMPTS:
                raise OSError(f"{feed}: the commit failed {_ATTEMPTS} times, at last: {fault}") from fault
            log.warning("%s: commit, attempt %d: %s", feed, number, str(fault).splitlines()[0][:200])
            time.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, _LONGEST_PAUSE_S)
    raise AssertionError("unreachable")


def _require_nothing_added(table: Table, base: int | None) -> None:
    snapshot = table.current_snapshot()
    while snapshot is not None and snapshot.snapshot_id != base:
        action = snapshot.summary.get(ACTION) if snapshot.summary else None
        if action not in ADDS_NOTHING:
            raise OvertakenError(
                f"{table.name()[-1]}: snapshot {snapshot.snapshot_id} ({action or 'of another writer'}) was added"
                " after the claim was held against the table"
            )
        parent = snapshot.parent_snapshot_id
        snapshot = None if parent is None else table.snapshot_by_id(parent)


def _id_of(snapshot: Snapshot | None) -> int | None:
    return None if snapshot is None else snapshot.snapshot_id
