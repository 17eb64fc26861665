"""Reconciliation: everything at once (`reconcile`), and window by window (`count_window`, `judge`, `record`).

Each arm is counted where it lies: what senders say, the stream, the chain of checkpoints, raw objects, the ledger,
landing, rejects, the lake, the marts; and the order database against its mirror and the marts. Nothing here mends
anything: what a difference asks for is named in it, and whoever owns that arm does it.
"""

from __future__ import annotations

from quality.reconcile.count import Arms, count_window
from quality.reconcile.judge import judge
from quality.reconcile.ledger import settled_moment
from quality.reconcile.model import (
    Attempt,
    Cause,
    CouldNotCount,
    Counted,
    Difference,
    Mend,
    Note,
    Verdict,
    Window,
)
from quality.reconcile.record import advance, newest, record, stand_at
from quality.reconcile.sent import Sent, SentWindow, read_sent, read_sent_windows
from quality.reconcile.whole import FeedReconciliation, reconcile
from quality.reconcile.windows import due_windows

__all__ = [
    "Arms",
    "Attempt",
    "Cause",
    "CouldNotCount",
    "Counted",
    "Difference",
    "FeedReconciliation",
    "Mend",
    "Note",
    "Sent",
    "SentWindow",
    "Verdict",
    "Window",
    "advance",
    "count_window",
    "due_windows",
    "judge",
    "newest",
    "read_sent",
    "read_sent_windows",
    "reconcile",
    "record",
    "settled_moment",
    "stand_at",
]
