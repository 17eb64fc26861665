"""Counts every arm of a window under one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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


def count_window(conn: Connection, window: Window, arms: Arms) -> Counted:
    """Count a window.

    The connection must be in a repeatable-read transaction, as a role that reads `ops`, `landing`, `intermediate` and
    `marts` of every tenant. Whatever cannot be counted is a difference of its own.

    Raises:
        psycopg.Error: the warehouse cannot be read.
    """
    counted = Counted(window, ledger.snapshot_moment(conn))
    ledger.count_ledger(conn, counted)
    ledger.count_landing(conn, counted)
    ledger.count_rejects(conn, counted)
    ledger.count_partner_files(conn, counted)
    ledger.count_pipelines(conn, counted)
    stream.count_frontier(counted, arms.frontier)
    stream.count_chain(conn, counted)
    stream.count_overlaps(conn, counted)
    stream.count_sender(conn, counted, arms.sent)
    count_objects(conn, counted, arms.raw)
    lake.count_lake_commits(conn, counted)
    lake.count_lake(counted, arms.count_lake)
    marts.count_marts(conn, counted)
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
