"""The life of an alert: raised once, kept while its cause stands, repeated after hours, resolved once.

Reads and writes `ops.alert_state` (what stands, also before it is an alert), `ops.alert`, `ops.alert_notice` and
`ops.health_check`. A fault has to stand for the signal's `hold_s` to be raised and to be gone for `resolve_s` to be
resolved. A signal that could not be measured resolves nothing. One process at a time: whoever finds another one at it
leaves it to that one. Without the warehouse the only alert is that it is gone (see `unstored`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from fleetflow.monitoring import unstored
from fleetflow.monitoring.judge import find_faults, summary
from fleetflow.monitoring.measure import take_look
from fleetflow.monitoring.model import Finding, Look
from fleetflow.monitoring.signals import SIGNALS
from fleetflow.notify import outbox
from fleetflow.notify.channels import names_for, open_channels
from fleetflow.notify.message import DETAIL_LIMIT
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings

LOCK = "fleetflow.monitoring"
ADOPT_WITHIN = timedelta(days=1)
WARN_REPEATS_AFTER = 6  # times as long as an error

Key = tuple[str, str]

log = logging.getLogger("fleetflow.monitoring")


@dataclass(frozen=True)
class Told:
    """What one round did: alerts raised and resolved, open now, notices taken and not taken by channels.

    `busy`: another process was at it, nothing was done. `stored`: the warehouse has it.
    """

    raised: int = 0
    resolved: int = 0
    open: int = 0
    sent: int = 0
    refused: int = 0
    busy: bool = False
    stored: bool = True

    def __str__(self) -> str:
        """Say it in a line."""
        if self.busy:
            return "another process is at it"
        where = "" if self.stored else " (the warehouse does not answer: nothing could be stored)"
        return (
            f"{self.raised} raised, {self.resolved} resolved, {self.open} open; {self.sent} notices sent,"
            f" {self.refused} not taken{where}"
        )


@dataclass(frozen=True)
class _Kept:
    """A row of `ops.alert_state`."""

    severity: str
    first_seen_at: datetime
    clear_since: datetime | None
    alert_id: int | None


def look_and_tell(settings: Settings, checker: str, look: Look | None = None) -> Told:
    """Judge a look (a new one, unless handed in), bring the alerts up to date and send what is due; never raises."""
    look = look or take_look(settings)
    if _gone(look):
        return _unstored(settings, look)
    try:
        with connect(settings.dsn("ops"), autocommit=True) as conn:
            return _round(settings, conn, checker, look)
    except psycopg.Error:
        log.exception("the alerts could not be brought up to date")
        return Told(stored=False)


def read_seen(settings: Settings, look: Look) -> dict[Key, datetime]:
    """Return since when earlier looks have found what stands; nothing without the warehouse."""
    if _gone(look):
        return {}
    try:
        with connect(settings.dsn("ops"), autocommit=True, timeout_s=2) as conn:
            return {key: kept.first_seen_at for key, kept in _read(conn).items() if kept.clear_since is None}
    except psycopg.Error:
        return {}


def _gone(look: Look) -> bool:
    return any(reading.value for reading in look.measured["warehouse_unreachable"].readings)


def _unstored(settings: Settings, look: Look) -> Told:
    raised, refused = unstored.tell(
        settings, find_faults(look, unstored.read_seen(settings), eager=False), look.at
    )
    return Told(raised=raised, sent=raised, refused=refused, open=raised, stored=False)


def _round(settings: Settings, conn: Connection, checker: str, look: Look) -> Told:
    locked = conn.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (LOCK,)).fetchone()
    if not (locked and locked[0]):
        return Told(busy=True)
    try:
        with conn.transaction():
            resolved_here = unstored.settle(settings, conn, look.at)
            raised, resolved = _Ledger(settings, conn, look.at).bring_up_to_date(look)
        delivery = outbox.deliver(conn, open_channels(settings))
        _note_check(conn, checker, look)
        row = conn.execute(
            "select count(*) from ops.alert where resolved_at is null and last_seen_at is not null"
        ).fetchone()
    finally:
        conn.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (LOCK,))
    assert row is not None
    return Told(raised, resolved + resolved_here, row[0], delivery.sent, delivery.refused)


def _note_check(conn: Connection, checker: str, look: Look) -> None:
    counts = summary(find_faults(look))
    unmeasured = sum(measured.fault is not None for measured in look.measured.values())
    conn.execute(
        "insert into ops.health_check (checker, checked_at, seconds, errors, warnings, unmeasured)"
        " values (%s, clock_timestamp(), %s, %s, %s, %s) on conflict (checker) do update"
        " set checked_at = excluded.checked_at, seconds = excluded.seconds, errors = excluded.errors,"
        " warnings = excluded.warnings, unmeasured = excluded.unmeasured",
        (checker, look.seconds, counts["error"], counts["warn"], unmeasured),
    )


def _read(conn: Connection) -> dict[Key, _Kept]:
    rows = conn.execute(
        "select name, subject, severity, first_seen_at, clear_since, alert_id from ops.alert_state"
    ).fetchall()
    return {(name, subject): _Kept(*rest) for name, subject, *rest in rows}


class _Ledger:
    """Brings the stored alerts up to date with one look, in the caller's transaction."""

    def __init__(self, settings: Settings, conn: Connection, at: datetime) -> None:
        self._conn = conn
        self._at = at
        self._repeat = timedelta(hours=settings.alerts.repeat_hours)
        self._channels = {severity: names_for(settings, severity) for severity in ("error", "warn")}

    def bring_up_to_date(self, look: Look) -> tuple[int, int]:
        """Return how many alerts were raised, and how many resolved."""
        self._adopt_strays()
        kept = _read(self._conn)
        seen = {key: state.first_seen_at for key, state in kept.items()}
        findings = {(f.signal.name, f.subject): f for f in find_faults(look, seen, eager=False)}
        self._keep(list(findings.values()))
        raised = 0
        for key, finding in findings.items():
            state = kept.get(key)
            if state and state.alert_id is not None:
                self._go_on(finding, state, state.alert_id)
            elif finding.standing:
                self._raise(finding)
                raised += 1
        gone = [key for key in kept if key not in findings and _is_measured(look, key[0])]
        return raised, self._clear({key: kept[key] for key in gone})

    def _adopt_strays(self) -> None:
        """An open alert has a state, whatever became of it: else nobody would ever resolve it."""
        self._conn.execute(
            "insert into ops.alert_state"
            " (name, subject, severity, value, words, first_seen_at, last_seen_at, alert_id)"
            " select name, subject, severity, 0, detail, raised_at, last_seen_at, alert_id from ops.alert"
            " where resolved_at is null and last_seen_at is not null and severity <> 'info'"
            " on conflict (name, subject) do update set alert_id = excluded.alert_id"
            " where alert_state.alert_id is null"
        )

    def _keep(self, findings: Sequence[Finding]) -> None:
        with self._conn.cursor() as cursor:
            cursor.executemany(
                "insert into ops.alert_state"
                " (name, subject, severity, value, words, first_seen_at, last_seen_at)"
                " values (%s, %s, %s, %s, %s, %s, %s) on conflict (name, subject) do update"
                " set severity = excluded.severity, value = excluded.value, words = excluded.words,"
                " last_seen_at = excluded.last_seen_at, clear_since = null,"
                " first_seen_at = least(alert_state.first_seen_at, excluded.first_seen_at)",
                [
                    (
                        f.signal.name,
                        f.subject,
                        f.severity,
                        f.value,
                        f.words[:DETAIL_LIMIT],
                        f.began_at,
                        self._at,
                    )
                    for f in findings
                ],
            )

    def _raise(self, finding: Finding) -> None:
        """Open the alert; one that code told of as an event, under the same name and subject, becomes it."""
        name, subject, words = finding.signal.name, finding.subject, finding.words[:DETAIL_LIMIT]
        row = self._conn.execute(
            "update ops.alert set last_seen_at = %(at)s where alert_id = ("
            " select alert_id from ops.alert where name = %(name)s and subject = %(subject)s"
            " and last_seen_at is null and resolved_at is null and raised_at > %(since)s"
            " order by alert_id desc limit 1) returning alert_id, delivered",
            {"at": self._at, "name": name, "subject": subject, "since": self._at - ADOPT_WITHIN},
        ).fetchone()
        told = row is not None and row[1]
        if row is None:
            row = self._conn.execute(
                "insert into ops.alert (name, severity, subject, detail, runbook, raised_at, last_seen_at)"
                " values (%s, %s, %s, %s, %s, %s, %s) returning alert_id",
                (name, finding.severity, subject, words, finding.signal.runbook, self._at, self._at),
            ).fetchone()
        assert row is not None
        self._conn.execute(
            "update ops.alert_state set alert_id = %s where name = %s and subject = %s",
            (row[0], name, subject),
        )
        if not told:
            outbox.queue(self._conn, [row[0]], "raised", self._channels[finding.severity])
        log.warning("%s: %s", name, finding.words)

    def _go_on(self, finding: Finding, state: _Kept, alert_id: int) -> None:
        self._conn.execute(
            "update ops.alert set last_seen_at = %s, severity = %s, detail = %s where alert_id = %s",
            (self._at, finding.severity, finding.words[:DETAIL_LIMIT], alert_id),
        )
        channels = self._channels[finding.severity]
        if finding.severity == "error" and state.severity == "warn":
            outbox.queue(self._conn, [alert_id], "raised", channels)
            return
        repeat = self._repeat if finding.severity == "error" else self._repeat * WARN_REPEATS_AFTER
        due = self._conn.execute(
            "select array_agg(channel) from (select channel from ops.alert_notice"
            " where alert_id = %s and notice in ('raised', 'reminder')"
            " group by channel having bool_and(sent_at is not null) and max(sent_at) < %s) as old",
            (alert_id, self._at - repeat),
        ).fetchone()
        if due and due[0]:
            outbox.queue(self._conn, [alert_id], "reminder", [c for c in due[0] if c in channels])

    def _clear(self, gone: dict[Key, _Kept]) -> int:
        """Note what is gone; resolve what has been gone for long enough."""
        resolved = 0
        for (name, subject), state in gone.items():
            signal = SIGNALS.get(name)
            wait = timedelta(seconds=signal.resolve_s if signal else 0)
            if state.alert_id is not None and self._at - (state.clear_since or self._at) < wait:
                self._conn.execute(
                    "update ops.alert_state set clear_since = coalesce(clear_since, %s)"
                    " where name = %s and subject = %s",
                    (self._at, name, subject),
                )
                continue
            self._conn.execute(
                "delete from ops.alert_state where name = %s and subject = %s", (name, subject)
            )
            if state.alert_id is not None:
                self._resolve(state.alert_id)
                resolved += 1
        return resolved

    def _resolve(self, alert_id: int) -> None:
        """Close the alert, and tell those who were told of it, or are about to be."""
        self._conn.execute(
            "update ops.alert set resolved_at = %s where alert_id = %s and resolved_at is null",
            (self._at, alert_id),
        )
        told: list[tuple[Any, ...]] = self._conn.execute(
            "select distinct channel from ops.alert_notice where alert_id = %s and notice = 'raised'",
            (alert_id,),
        ).fetchall()
        outbox.queue(self._conn, [alert_id], "resolved", [channel for (channel,) in told])


def _is_measured(look: Look, name: str) -> bool:
    """Whether the look can tell that a fault is gone; one of a signal that is no longer watched is."""
    measured = look.measured.get(name)
    return measured is None or (measured.fault is None and not measured.left_out)
