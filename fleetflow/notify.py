"""The one way out for alerts: the log, a row in `ops.alert`, and the SNS topic if there is one.

An alert never fails its caller: what cannot be stored or sent is logged. The same alert (name and subject)
within `REPEAT_AFTER` of one that got through is not sent again; one that did not get through is tried again.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

import botocore.exceptions
import psycopg

from fleetflow.runtime import client, connect
from fleetflow.settings import Settings

if TYPE_CHECKING:
    from fleetflow.runtime import Connection

REPEAT_AFTER = timedelta(minutes=15)
SUBJECT_LIMIT = 100  # of SNS, in ASCII characters
DETAIL_LIMIT = 2_000
_LEVELS = {"error": logging.ERROR, "warn": logging.WARNING, "info": logging.INFO}

log = logging.getLogger("fleetflow.notify")


@dataclass(frozen=True)
class Alert:
    """Something a person should know; `runbook` is a path in this repository, `detail` holds no secret."""

    name: str
    severity: Literal["error", "warn", "info"]
    subject: str
    detail: str
    runbook: str | None = None


class Outcome(Enum):
    """What became of an alert."""

    DELIVERED = "delivered"
    LOGGED = "logged"
    REPEATED = "repeated"
    FAILED = "failed"


def notify(settings: Settings, alert: Alert) -> Outcome:
    """Log the alert, store it and publish it to the topic; never raises for what lies outside.

    Returns `LOGGED` where there is no topic, `REPEATED` where the same alert got through a short while ago,
    `FAILED` where the topic did not take it: then the row stays `delivered = false`.
    """
    log.log(_LEVELS[alert.severity], "%s: %s", alert.name, alert.subject, extra={"facts": asdict(alert)})
    try:
        with connect(settings.dsn("ops"), autocommit=True) as conn:
            return _deliver(settings, alert, conn)
    except (psycopg.Error, ValueError):
        log.exception("alert %s could not be stored", alert.name)
        return Outcome.DELIVERED if _publish(settings, alert) else Outcome.FAILED


def _deliver(settings: Settings, alert: Alert, conn: Connection) -> Outcome:
    alert_id = _store(conn, alert, unsent=bool(settings.alert_topic_arn))
    if alert_id is None:
        return Outcome.REPEATED
    if settings.alert_topic_arn is None:
        return Outcome.LOGGED
    if not _publish(settings, alert):
        return Outcome.FAILED
    conn.execute("update ops.alert set delivered = true where alert_id = %s", (alert_id,))
    return Outcome.DELIVERED


def _store(conn: Connection, alert: Alert, *, unsent: bool) -> int | None:
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
            return int(recent[0]) if unsent and not recent[1] else None
        row = conn.execute(
            "insert into ops.alert (name, severity, subject, detail, runbook) values (%s, %s, %s, %s, %s)"
            " returning alert_id",
            (alert.name, alert.severity, alert.subject, alert.detail[:DETAIL_LIMIT], alert.runbook),
        ).fetchone()
        assert row is not None
        return int(row[0])


def _publish(settings: Settings, alert: Alert) -> bool:
    if settings.alert_topic_arn is None:
        return False
    try:
        sns: Any = client(settings, "sns", max_attempts=2)
        sns.publish(
            TopicArn=settings.alert_topic_arn,
            Subject=_one_line(f"[{alert.severity}] {alert.name}: {alert.subject}"),
            Message=json.dumps({**asdict(alert), "detail": alert.detail[:DETAIL_LIMIT]}, indent=1),
        )
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        log.exception("alert %s was not taken by the topic", alert.name)
        return False
    return True


def _one_line(text: str) -> str:
    plain = " ".join(text.split()).encode("ascii", "replace").decode()
    return plain if len(plain) <= SUBJECT_LIMIT else plain[: SUBJECT_LIMIT - 3] + "..."
