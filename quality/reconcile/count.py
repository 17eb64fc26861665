"""Counts every arm of a window: those in the warehouse under one snapshot, then the objects and the lake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from quality.reconcile import lake, ledger, marts, stream
from quality.reconcile.model import Cause, Connection, Counted, Difference, Mend, Window
from quality.reconcile.objects import RawStore, count_objects
from quality.reconcile.sent import SentWindow


@dataclass(frozen=True)
class Arms:
    """The arms outside the warehouse. `frontier` must have been asked before the snapshot that is counted."""

    raw: RawStore
    count_lake: lake.CountLake
    frontier: stream.Frontier = field(default_factory=dict)
    sent: Sequence[SentWindow] = ()


def count_window(conn: Connection, window: Window, arms: Arms, at: datetime) -> Counted:
    """Count a window.

    The connection must be in a repeatable-read transaction, as a role that reads `ops`, `landing`, `intermediate` and
    `marts` of every tenant; it is ended before raw objects are read, for who drops or makes a partition waits for it,
    and who lands for them. Whatever cannot be counted is a difference of its own.

    Args:
        conn: the warehouse.
        window: what to count.
        arms: the arms outside.
        at: a moment from before the transaction, before which nothing is written any more (`ledger.settled_moment`).

    Raises:
        psycopg.Error: the warehouse cannot be read.
    """
    counted = Counted(window, at)
    ledger.count_ledger(conn, counted)
    ledger.count_landing(conn, counted)
    ledger.count_rejects(conn, counted)
    ledger.count_partner_files(conn, counted)
    ledger.count_pipelines(conn, counted)
    stream.count_frontier(counted, arms.frontier)
    stream.count_chain(conn, counted)
    stream.count_overlaps(conn, counted)
    stream.count_sender(conn, counted, arms.sent)
    lake.count_lake_commits(conn, counted)
    marts.count_marts(conn, counted)
    conn.commit()
    count_objects(conn, counted, arms.raw)
    lake.count_lake(counted, arms.count_lake)
    counted.differences = _without_arms(counted.differences)
    return counted


def _without_arms(differences: list[Difference]) -> list[Difference]:
    """A batch that is gone from landing and from the raw objects is lost here, unless the stream still has it."""
    gone = {d.batch_id for d in differences if d.mend is Mend.ROWS}
    gone &= {d.batch_id for d in differences if d.mend is Mend.OBJECT}
    return [
        replace(d, cause=Cause.LOST, words=f"{d.words}; gone from the other arm too")
        if d.batch_id in gone and d.mend in (Mend.ROWS, Mend.OBJECT)
        else d
        for d in differences
    ]
