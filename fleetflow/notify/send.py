"""Tells people of something that happened once: stored, then sent to every channel of its severity."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import Enum

import psycopg

from fleetflow.notify import outbox
from fleetflow.notify.channels import Channel, ChannelError, names_for, open_channels
from fleetflow.notify.message import DETAIL_LIMIT, Alert, Item, Message
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings

REPEAT_AFTER = timedelta(minutes=15)
_LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO}

log = logging.getLogger("fleetflow.notify")


class Outcome(Enum):
    """What became of an alert."""

    DELIVERED = "delivered"
    LOGGED = "logged"
    REPEATED = "repeated"
    FAILED = "failed"


def notify(settings: Settings, alert: Alert) -> Outcome:
    """Log the alert, store it and send it; never raises for what lies outside.

    Returns `LOGGED` where there is no channel, `REPEATED` where the same alert (name and subject) got through in the
    last 15 minutes, `FAILED` where a channel did not take it: that one is tried again, by the next call and by the
    health check.
    """
    log.log(_LEVELS[alert.severity], "%s: %s", alert.name, alert.subject, extra={"facts": asdict(alert)})
    channels = {
        name: c for name, c in open_channels(settings).items() if name in names_for(settings, alert.severity)
    }
    try:
        with connect(settings.dsn("ops"), autocommit=True) as conn:
            return _deliver(alert, conn, channels)
    except (psycopg.Error, ValueError):
        log.exception("alert %s could not be stored", alert.name)
        return Outcome.DELIVERED if send_unstored(alert, channels) else Outcome.FAILED


def send_unstored(alert: Alert, channels: Mapping[str, Channel], resolved_at: datetime | None = None) -> bool:
    """Send an alert of which nothing can be kept; return whether there is a channel and every one took it."""
    now = datetime.now(UTC)
    item = Item(alert, "resolved" if resolved_at else "raised", now, resolved_at)
    taken = []
    for name, channel in channels.items():
        try:
            channel.send(Message([item]))
            taken.append(True)
        except ChannelError as fault:
            log.error("channel %s did not take %s: %s", name, alert.name, fault)
            taken.append(False)
    return bool(taken) and all(taken)


def _deliver(alert: Alert, conn: Connection, channels: Mapping[str, Channel]) -> Outcome:
    alert_id = _store(conn, alert, channels)
    if alert_id is None:
        return Outcome.REPEATED
    if not channels:
        return Outcome.LOGGED
    outbox.deliver(conn, channels, only=alert_id, at_once=True)
    row = conn.execute("select delivered from ops.alert where alert_id = %s", (alert_id,)).fetchone()
    return Outcome.DELIVERED if row and row[0] else Outcome.FAILED


def _store(conn: Connection, alert: Alert, channels: Mapping[str, Channel]) -> int | None:
    """Return the alert's row, new or the one that was not delivered yet; None for a repetition."""
    key = f"{alert.name}\x1f{alert.subject}"
    with conn.transaction():
        # Two tasks that fail at once raise one alert.
        conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (key,))
        recent = conn.execute(
            "select alert_id, delivered from ops.alert where name = %s and subject = %s"
            " and raised_at > clock_timestamp() - %s order by alert_id desc limit 1",
            (alert.name, alert.subject, REPEAT_AFTER),
        ).fetchone()
        if recent is not None:
            if recent[1] or not channels:
                return None
            _queue_missing(conn, int(recent[0]), channels)
            return int(recent[0])
        row = conn.execute(
            "insert into ops.alert (name, severity, subject, detail, runbook) values (%s, %s, %s, %s, %s)"
            " returning alert_id",
            (alert.name, alert.severity, alert.subject, alert.detail[:DETAIL_LIMIT], alert.runbook),
        ).fetchone()
        assert row is not None
        _queue_missing(conn, int(row[0]), channels)
        return int(row[0])


def _queue_missing(conn: Connection, alert_id: int, channels: Mapping[str, Channel]) -> None:
    """Enter the notice where it is not entered yet: a channel that has taken it does not get it again."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into ops.alert_notice (alert_id, channel, notice) values (%s, %s, 'raised') on conflict do nothing",
            [(alert_id, name) for name in channels],
        )
