"""The life of alerts on a real warehouse: raised once, told together, kept until taken, repeated, resolved once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from alert_sinks import Hook, Mailbox, hook_server, mail_server

from fleetflow.local.stack import running
from fleetflow.monitoring.alerts import LOCK, Told, look_and_tell, read_seen
from fleetflow.monitoring.measure import take_look
from fleetflow.monitoring.model import Look, Measured, Reading
from fleetflow.monitoring.signals import SIGNALS
from fleetflow.notify import Alert, Outcome, notify
from fleetflow.runtime import connect
from fleetflow.settings import PROJECT_ROOT, AlertSettings, Secret, Settings

NOWHERE = Secret("postgresql://u:p4ssw0rd@127.0.0.1:1/none")
GONE, BACK = Reading((), 1, detail="refused"), Reading((), 0)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("life"), ("postgres",)) as settings:
        yield settings


@pytest.fixture
def owner(stack: Settings) -> Iterator[psycopg.Connection[Any]]:
    with connect(stack.dsn("owner"), autocommit=True) as conn:
        conn.execute("truncate ops.alert, ops.health_check, ops.shard_lease cascade")
        yield conn


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hook_server() as taken:
        yield taken


@pytest.fixture
def box() -> Iterator[Mailbox]:
    with mail_server(None) as taken:
        yield taken


@pytest.fixture
def settings(stack: Settings, hook: Hook, box: Mailbox) -> Settings:
    """Errors go by mail and to the webhook, warnings to the webhook only."""
    alerts = AlertSettings(
        webhook_url=f"http://127.0.0.1:{hook.port}/",
        mail_url=Secret(f"smtp+plain://127.0.0.1:{box.port}"),
        mail_from="f@example.com",
        mail_to=("a@example.com",),
        warn=("webhook",),
    )
    return replace(stack, alerts=alerts)


def now(conn: psycopg.Connection[Any]) -> datetime:
    row = conn.execute("select clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def look(at: datetime, **readings: list[Reading] | str) -> Look:
    """A look in which all is well but for these; a text is why a signal could not be measured."""
    measured = {name: Measured(signal) for name, signal in SIGNALS.items()}
    for name, found in readings.items():
        signal = SIGNALS[name]
        measured[name] = (
            Measured(signal, fault=found) if isinstance(found, str) else Measured(signal, tuple(found))
        )
    return Look(at, 0.1, measured)


def held(*files: str, partner: str = "northfuel") -> list[Reading]:
    """Files that are held: an error at once."""
    return [Reading((partner, name), 60, None, "a column is gone") for name in files]


def shards(count: int, seconds: float) -> list[Reading]:
    return [Reading(("gps", str(n)), seconds) for n in range(count)]


def tell(settings: Settings, at: datetime, **readings: list[Reading] | str) -> Told:
    return look_and_tell(settings, "test", look(at, **readings))


def age_notices(conn: psycopg.Connection[Any], span: str) -> None:
    """Let time go by for what was sent and tried."""
    conn.execute(
        "update ops.alert_notice set sent_at = sent_at - %(s)s::interval, tried_at = tried_at - %(s)s::interval,"
        " queued_at = queued_at - %(s)s::interval",
        {"s": span},
    )


def alerts(conn: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return conn.execute(
        "select name, subject, severity, delivered, resolved_at is null, resolution_delivered"
        " from ops.alert order by 1, 2"
    ).fetchall()


def test_an_error_goes_to_all_its_channels_and_a_warning_to_its_one(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook, box: Mailbox
) -> None:
    at = now(owner)
    told = tell(settings, at, partner_file_held=held("a.csv"), dag_failing=[Reading(("d",), 2)])
    assert (told.raised, told.open, told.sent, told.refused) == (2, 2, 3, 0)
    assert [mail["Subject"] for mail in box.mails] == ["[error] partner_file_held: northfuel/a.csv"]
    assert sorted(message["name"] for message in hook.messages) == ["dag_failing", "partner_file_held"]
    assert alerts(owner) == [
        ("dag_failing", "d", "warn", True, True, False),
        ("partner_file_held", "northfuel/a.csv", "error", True, True, False),
    ]


def test_it_is_raised_once_and_resolved_once(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook
) -> None:
    at = now(owner)
    for minute in range(3):
        tell(settings, at + timedelta(minutes=minute), partner_file_held=held("a.csv"))
        age_notices(owner, "1 minute")
    assert [message["severity"] for message in hook.messages] == ["error"]
    (seen,) = owner.execute("select last_seen_at from ops.alert").fetchall()
    assert seen[0] == at + timedelta(minutes=2)
    for minute in (3, 3.5, 4.1, 5):
        tell(settings, at + timedelta(minutes=minute))
        age_notices(owner, "1 minute")
    assert [message["severity"] for message in hook.messages] == ["error", "resolved"]
    assert alerts(owner)[0][3:] == (True, False, True)
    assert owner.execute("select count(*) from ops.alert_state").fetchone() == (0,)


def test_what_flickers_is_neither_raised_nor_resolved(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook
) -> None:
    """A fault has to stand for its time, and an alert ends only when it has been gone for its time."""
    at = now(owner)
    signal = SIGNALS["stream_lag"]
    for n in range(4):
        tell(
            settings,
            at + timedelta(seconds=40 * n),
            stream_lag=shards(1, 200) if n % 2 == 0 else shards(1, 0),
        )
    assert alerts(owner) == []
    at += timedelta(seconds=200)
    tell(settings, at, stream_lag=shards(1, 200))
    tell(settings, at + timedelta(seconds=signal.hold_s), stream_lag=shards(1, 200))
    assert len(alerts(owner)) == 1
    for n in range(1, 5):
        tell(
            settings,
            at + timedelta(seconds=signal.hold_s + 40 * n),
            stream_lag=shards(1, 0 if n % 2 else 200),
        )
    assert [row[4] for row in alerts(owner)] == [True]
    assert len(hook.messages) == 1


def test_forty_shards_are_one_message_and_late_ones_wait_for_the_next(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook, box: Mailbox
) -> None:
    at = now(owner)
    forty, later = held(*(f"{n}.csv" for n in range(40))), held("late.csv")
    assert tell(settings, at, partner_file_held=forty).raised == 40
    assert [mail["Subject"] for mail in box.mails] == ["[error] partner_file_held: 40 raised"]
    tell(settings, at, partner_file_held=forty + later)
    assert len(box.mails) == 1, "no second message within the minute"
    age_notices(owner, "61 seconds")
    tell(settings, at, partner_file_held=forty + later)
    assert [mail["Subject"] for mail in box.mails[1:]] == ["[error] partner_file_held: northfuel/late.csv"]
    assert len(hook.messages) == 2
    over = at + timedelta(seconds=SIGNALS["partner_file_held"].resolve_s)
    tell(settings, at)
    age_notices(owner, "61 seconds")
    assert tell(settings, over).resolved == 41
    assert box.mails[-1]["Subject"] == "[resolved] partner_file_held: 41 resolved"


def test_a_channel_that_is_down_gets_it_later_and_the_other_not_twice(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook, box: Mailbox
) -> None:
    box.down = True
    at = now(owner)
    told = tell(settings, at, partner_file_held=held("a.csv"))
    assert (told.sent, told.refused, len(hook.posts)) == (1, 1, 1)
    assert alerts(owner)[0][3] is False
    tell(settings, at, partner_file_held=held("a.csv"))
    attempts = "select attempts, error from ops.alert_notice where channel = 'email'"
    (row,) = owner.execute(attempts).fetchall()
    assert row[0] == 1, "tried again only after a pause"
    assert "127.0.0.1" in row[1]
    age_notices(owner, "3 minutes")
    found = take_look(settings).measured["not_delivered"].readings
    assert [reading.labels for reading in found] == [("email",)]
    tell(settings, at, partner_file_held=held("a.csv"))
    assert owner.execute(attempts).fetchall()[0][0] == 2
    box.down = False
    age_notices(owner, "3 minutes")
    told = tell(settings, at, partner_file_held=held("a.csv"))
    assert (told.sent, len(box.mails), len(hook.posts)) == (1, 1, 1)
    assert alerts(owner)[0][3] is True
    assert take_look(settings).measured["not_delivered"].readings == ()


def test_what_ended_before_it_was_told_is_told_as_one(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook, box: Mailbox
) -> None:
    box.down = hook.down = True
    at = now(owner)
    tell(settings, at, partner_file_held=held("a.csv"))
    tell(settings, at + timedelta(seconds=1))
    tell(settings, at + timedelta(seconds=62))
    box.down = False
    age_notices(owner, "20 minutes")
    tell(settings, at + timedelta(seconds=70))
    (mail,) = box.mails
    assert mail["Subject"] == "[resolved] partner_file_held: northfuel/a.csv"
    assert "since " in mail.get_content()
    assert ", resolved " in mail.get_content()
    assert owner.execute(
        "select count(*) from ops.alert_notice where channel = 'email' and sent_at is null"
    ).fetchone() == (0,)


def test_it_is_told_again_after_hours_a_warning_later(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook
) -> None:
    at = now(owner)
    both: dict[str, Any] = {"partner_file_held": held("a.csv"), "dag_failing": [Reading(("d",), 2)]}
    tell(settings, at, **both)
    for span, wanted in (
        ("234 minutes", []),
        ("10 minutes", ["partner_file_held"]),
        ("234 minutes", []),
        ("10 minutes", ["partner_file_held"]),
        ("16 hours", ["dag_failing", "partner_file_held"]),
    ):
        before = len(hook.messages)
        age_notices(owner, span)
        tell(settings, at, **both)
        told = hook.messages[before:]
        assert sorted(message["name"] for message in told) == wanted, f"{span} later"
        assert all(alert["notice"] == "reminder" for message in told for alert in message["alerts"])


def test_a_warning_that_becomes_an_error_is_told_again(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook, box: Mailbox
) -> None:
    at = now(owner)
    tell(settings, at, dag_failing=[Reading(("d",), 2)])
    assert (len(hook.posts), len(box.mails)) == (1, 0)
    age_notices(owner, "2 minutes")
    tell(settings, at, dag_failing=[Reading(("d",), 5)])
    assert [message["severity"] for message in hook.messages] == ["warn", "error"]
    assert len(box.mails) == 1
    tell(settings, at, dag_failing=[Reading(("d",), 2)])
    assert (alerts(owner)[0][2], len(hook.posts)) == ("warn", 2)


def test_what_cannot_be_measured_is_not_resolved(settings: Settings, owner: psycopg.Connection[Any]) -> None:
    at = now(owner)
    tell(settings, at, partner_file_held=held("a.csv"))
    for minute in (5, 10):
        tell(settings, at + timedelta(minutes=minute), partner_file_held="permission denied")
    assert alerts(owner)[0][4] is True


def test_a_signal_that_is_no_longer_watched_is_resolved(
    settings: Settings, owner: psycopg.Connection[Any]
) -> None:
    owner.execute(
        "insert into ops.alert (name, severity, subject, detail, last_seen_at, delivered)"
        " values ('of_last_year', 'error', 's', 'd', now(), true)"
    )
    assert tell(settings, now(owner)).resolved == 1
    assert alerts(owner)[0][4] is False


def test_an_event_that_turns_out_to_stand_is_not_told_twice(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook
) -> None:
    event = Alert("partner_file_held", "error", "northfuel/a.csv", "a column is gone")
    assert notify(settings, event) is Outcome.DELIVERED
    assert tell(settings, now(owner), partner_file_held=held("a.csv")).sent == 0
    assert (len(alerts(owner)), len(hook.posts)) == (1, 1)
    later = now(owner) + timedelta(minutes=5)
    tell(settings, later)
    age_notices(owner, "2 minutes")
    tell(settings, later + timedelta(minutes=2))
    assert hook.messages[-1]["severity"] == "resolved"


def test_an_event_that_no_channel_took_is_sent_by_the_next_round(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook, box: Mailbox
) -> None:
    box.down = True
    assert notify(settings, Alert("dag_failed", "error", "d.t", "boom")) is Outcome.FAILED
    box.down = False
    age_notices(owner, "1 minute")
    assert tell(settings, now(owner)).sent == 1
    assert (len(box.mails), len(hook.posts)) == (1, 1)


def test_two_processes_at_once_raise_one_alert(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook
) -> None:
    owner.execute(
        "insert into ops.shard_lease (stream, shard, expires_at)"
        " select 'gps', n::text, now() - interval '10 min' from generate_series(1, 40) as n"
    )
    env = {
        **os.environ,
        "FLEETFLOW_HOME": str(settings.home),
        "FLEETFLOW_ALERT_WEBHOOK_URL": f"http://127.0.0.1:{hook.port}/",
    }
    command = [sys.executable, "-c", "from fleetflow.cli import main; main()", "doctor", "--notify", "--json"]
    running_now = [
        subprocess.Popen(command, env=env, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert {process.wait(120) for process in running_now} == {1}
    for process in running_now:
        assert process.stdout is not None
        assert '"signal": "shard_without_lease"' in process.stdout.read()
    leases = [row for row in alerts(owner) if row[0] == "shard_without_lease"]
    assert (len(leases), len({row[1] for row in leases})) == (40, 40)
    of_leases = [message for message in hook.messages if message["name"] == "shard_without_lease"]
    assert [len(message["alerts"]) + message["left_out"] for message in of_leases] == [40]


def test_while_another_process_is_at_it_nothing_is_done(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook
) -> None:
    owner.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (LOCK,))
    assert tell(settings, now(owner), partner_file_held=held("a.csv")).busy
    owner.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (LOCK,))
    assert (alerts(owner), hook.posts) == ([], [])
    assert tell(settings, now(owner), partner_file_held=held("a.csv")).raised == 1


def test_a_warehouse_that_is_gone_is_told_once_and_entered_when_it_is_back(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook
) -> None:
    gone = replace(settings, warehouse={**settings.warehouse, "ops": NOWHERE})
    at = now(owner)
    full = [Reading(("/data",), 0.99)]
    for seconds, posts in ((0, 0), (9, 0), (11, 1), (30, 1), (600, 1)):
        seen = look(at + timedelta(seconds=seconds), warehouse_unreachable=[GONE], disk_used=full)
        told = look_and_tell(gone, "test", seen)
        assert (told.stored, len(hook.posts)) == (False, posts), f"after {seconds} s"
    assert "the disk under /data is 99.0% full" in hook.messages[0]["detail"]
    assert read_seen(gone, look(at, warehouse_unreachable=[GONE])) == {}
    back = at + timedelta(seconds=700)
    told = look_and_tell(settings, "test", look(back, warehouse_unreachable=[BACK]))
    assert (told.stored, told.resolved) == (True, 1)
    assert [message["severity"] for message in hook.messages] == ["error", "resolved"]
    ((name, _, severity, delivered, is_open, over),) = alerts(owner)
    assert (name, severity, delivered, is_open, over) == ("warehouse_unreachable", "error", True, False, True)
    look_and_tell(settings, "test", look(back, warehouse_unreachable=[BACK]))
    assert len(hook.posts) == 2


def test_a_short_outage_of_the_warehouse_is_not_told(
    settings: Settings, owner: psycopg.Connection[Any], hook: Hook
) -> None:
    at = now(owner)
    look_and_tell(settings, "test", look(at, warehouse_unreachable=[GONE]))
    look_and_tell(settings, "test", look(at + timedelta(seconds=5), warehouse_unreachable=[BACK]))
    look_and_tell(settings, "test", look(at + timedelta(seconds=20), warehouse_unreachable=[GONE]))
    look_and_tell(settings, "test", look(at + timedelta(seconds=25), warehouse_unreachable=[BACK]))
    assert (hook.posts, alerts(owner)) == ([], [])


def test_every_look_that_tells_is_entered(settings: Settings, owner: psycopg.Connection[Any]) -> None:
    tell(settings, now(owner), partner_file_held=held("a.csv"), slot_lag="timeout")
    row = owner.execute("select checker, errors, warnings, unmeasured from ops.health_check").fetchone()
    assert row == ("test", 1, 0, 1)
