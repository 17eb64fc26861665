"""Notices on their way: queued in the transaction that raises the alert, sent after it, kept until they are taken.

Alerts of one name that wait for the same channel go in one message, and no more than one message a minute, so that
forty shards are one mail. Two processes never send the same notice at once; one that dies between sending and marking
lets it be sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fleetflow.notify.channels import Channel, ChannelError
from fleetflow.notify.message import Alert, Item, Message, Notice
from fleetflow.runtime import Connection

GROUP_PAUSE = timedelta(seconds=60)
FIRST_RETRY_S, LAST_RETRY_S = 15, 900

log = logging.getLogger("fleetflow.notify")


@dataclass(frozen=True)
class Delivery:
    """How many notices were taken, and how many were not."""

    sent: int = 0
    refused: int = 0


def queue(conn: Connection, alert_ids: Iterable[int], notice: Notice, channels: Iterable[str]) -> None:
    """Enter a notice of each alert for each channel; one that was sent before is to be sent again."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into ops.alert_notice (alert_id, channel, notice) values (%s, %s, %s)"
            " on conflict (alert_id, channel, notice) do update"
            " set queued_at = clock_timestamp(), sent_at = null, attempts = 0, tried_at = null, error = null"
            " where alert_notice.sent_at is not null",
            [(alert_id, channel, notice) for alert_id in alert_ids for channel in channels],
        )


def deliver(
    conn: Connection, channels: Mapping[str, Channel], *, only: int | None = None, at_once: bool = False
) -> Delivery:
    """Send what waits for these channels; with `at_once` also what is pausing (a group, or after a refusal)."""
    sent = refused = 0
    for channel, name in _groups(conn, list(channels), only, at_once):
        with conn.transaction():
            rows = _take(conn, channel, name, only)
            if not rows:
                continue
            fault = _send(channels[channel], rows)
            _note(conn, rows, channel, fault)
        if fault is None:
            sent += len(rows)
        else:
            refused += len(rows)
            log.error("channel %s did not take %s: %s", channel, name, fault)
    return Delivery(sent, refused)


def _groups(conn: Connection, channels: list[str], only: int | None, at_once: bool) -> list[tuple[str, str]]:
    """Find the channels and names with something to send now."""
    return [
        (channel, name)
        for channel, name in conn.execute(
            """
            select n.channel, a.name
            from ops.alert_notice as n join ops.alert as a using (alert_id)
            where n.sent_at is null and n.channel = any(%(channels)s)
            and (%(only)s::bigint is null or n.alert_id = %(only)s)
            and (%(at_once)s or n.tried_at is null or n.tried_at < clock_timestamp()
                - least(%(first)s * power(2, least(n.attempts, 20) - 1), %(last)s) * interval '1 second')
            and (%(at_once)s or a.last_seen_at is null or not exists (
                select from ops.alert_notice as earlier join ops.alert as b using (alert_id)
                where b.name = a.name and earlier.channel = n.channel
                and earlier.sent_at > clock_timestamp() - %(pause)s
            ))
            group by n.channel, a.name order by min(n.queued_at)
            """,
            {
                "channels": channels, "only": only, "at_once": at_once, "pause": GROUP_PAUSE,
                "first": FIRST_RETRY_S, "last": LAST_RETRY_S,
            },
        ).fetchall()
    ]  # fmt: skip


def _take(conn: Connection, channel: str, name: str, only: int | None) -> list[tuple[Any, ...]]:
    """Lock what is to be sent; what another process is sending now is left out."""
    return conn.execute(
        "select a.alert_id, n.notice, a.name, a.severity, a.subject, a.detail, a.runbook, a.raised_at, a.resolved_at"
        " from ops.alert_notice as n join ops.alert as a using (alert_id)"
        " where n.sent_at is null and n.channel = %(channel)s and a.name = %(name)s"
        " and (%(only)s::bigint is null or n.alert_id = %(only)s)"
        " order by a.alert_id for update of n skip locked",
        {"channel": channel, "name": name, "only": only},
    ).fetchall()


def _send(channel: Channel, rows: list[tuple[Any, ...]]) -> str | None:
    """Send one message of all rows; return why it was not taken."""
    items: dict[int, Item] = {}
    for alert_id, notice, name, severity, subject, detail, runbook, raised_at, resolved_at in rows:
        told: Notice = "resolved" if resolved_at else notice
        alert = Alert(name, severity, subject, detail, runbook)
        items[alert_id] = Item(alert, told, raised_at, resolved_at, alert_id)
    try:
        channel.send(Message(list(items.values())))
    except ChannelError as fault:
        return str(fault)[:500]
    return None


def _note(conn: Connection, rows: list[tuple[Any, ...]], channel: str, fault: str | None) -> None:
    alert_ids = sorted({row[0] for row in rows})
    with conn.cursor() as cursor:
        cursor.executemany(
            "update ops.alert_notice set attempts = attempts + 1, tried_at = clock_timestamp(), error = %(fault)s,"
            " sent_at = case when %(fault)s::text is null then clock_timestamp() end"
            " where alert_id = %(alert_id)s and channel = %(channel)s and notice = %(notice)s",
            [{"fault": fault, "alert_id": row[0], "channel": channel, "notice": row[1]} for row in rows],
        )
    if fault is None:
        conn.execute(
            "update ops.alert as a set"
            " delivered = not exists (select from ops.alert_notice as n where n.alert_id = a.alert_id"
            "  and n.notice = 'raised' and n.sent_at is null),"
            " resolution_delivered = a.resolved_at is not null and not exists ("
            "  select from ops.alert_notice as n where n.alert_id = a.alert_id"
            "  and n.notice = 'resolved' and n.sent_at is null)"
            " where a.alert_id = any(%s)",
            (alert_ids,),
        )
