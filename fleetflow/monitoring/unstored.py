"""The alert that cannot be stored: the warehouse, which keeps all others, does not answer.

What is known of it lies in `<home>/monitoring/warehouse.json` of the machine that looks, under a lock, so that two
processes there raise it once. When the warehouse is back, the alert and its end are entered in `ops.alert`, and people
are told that it is over.
"""

from __future__ import annotations

import fcntl
import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fleetflow.monitoring.model import Finding
from fleetflow.monitoring.signals import SIGNALS
from fleetflow.notify import outbox
from fleetflow.notify.channels import names_for, open_channels
from fleetflow.notify.message import DETAIL_LIMIT, Alert
from fleetflow.notify.send import send_unstored
from fleetflow.runtime import Connection
from fleetflow.settings import Settings

NAME = "warehouse_unreachable"
_SIGNAL = SIGNALS[NAME]


def read_seen(settings: Settings) -> dict[tuple[str, str], datetime]:
    """Return since when the warehouse has been seen gone."""
    with _file(settings) as known:
        began = known.get("began_at")
    return {(NAME, "platform"): datetime.fromisoformat(began)} if began else {}


def tell(settings: Settings, findings: Sequence[Finding], at: datetime) -> tuple[int, int]:
    """Raise the alert once it has stood long enough, and again after hours; return how many were sent and refused.

    The other faults that can be seen without the warehouse are in its words: a full disk is often the reason.
    """
    gone = next((finding for finding in findings if finding.signal.name == NAME), None)
    if gone is None:
        return 0, 0
    with _file(settings) as known:
        known.setdefault("began_at", gone.began_at.isoformat())
        sent = known.get("sent_at")
        repeat = timedelta(hours=settings.alerts.repeat_hours)
        if not gone.standing or (sent and at - datetime.fromisoformat(sent) < repeat):
            return 0, 0
        also = [finding.words for finding in findings if finding is not gone]
        words = "; also: ".join([gone.words, *(["; ".join(also)] if also else [])])
        known.setdefault("raised_at", at.isoformat())
        known["words"] = words[:DETAIL_LIMIT]
        if send_unstored(_alert(words), _channels(settings)):
            known["sent_at"] = at.isoformat()
            return 1, 0
        return 0, 1


def settle(settings: Settings, conn: Connection, at: datetime) -> int:
    """Enter an alert that could not be stored, with its end, now that the warehouse answers; return how many."""
    with _file(settings) as known:
        raised, words = known.get("raised_at"), known.get("words", "")
        told = known.get("sent_at") is not None
        if raised is not None:
            row = conn.execute(
                "insert into ops.alert"
                " (name, severity, subject, detail, runbook, raised_at, last_seen_at, resolved_at, delivered)"
                " values (%s, 'error', %s, %s, %s, %s, %s, %s, %s) returning alert_id",
                (NAME, socket.gethostname(), words, _SIGNAL.runbook, raised, at, at, told),
            ).fetchone()
            assert row is not None
            outbox.queue(conn, [row[0]], "resolved", _channels(settings))
        known.clear()
    return int(raised is not None)


def _alert(words: str) -> Alert:
    return Alert(NAME, "error", socket.gethostname(), words, _SIGNAL.runbook)


def _channels(settings: Settings) -> dict[str, Any]:
    chosen = names_for(settings, "error")
    return {name: channel for name, channel in open_channels(settings).items() if name in chosen}


@contextmanager
def _file(settings: Settings) -> Iterator[dict[str, Any]]:
    """Hold what is known alone, and keep what becomes of it; a damaged file counts as empty."""
    path: Path = settings.home / "monitoring" / "warehouse.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        try:
            known = json.loads(file.read() or "{}")
        except ValueError:
            known = {}
        yield known
        file.seek(0)
        file.truncate()
        json.dump(known, file)
