"""Alerts leave once, are kept, and never fail their caller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from fleetflow.local.stack import running
from fleetflow.notify import Alert, Outcome, notify
from fleetflow.runtime import client, connect
from fleetflow.settings import Secret, Settings

ALERT = Alert(
    "dag_failed", "error", "load__orders__cdc.pull", "Ströme\nfailed", "docs/runbooks/load__orders__cdc.md"
)
NO_TOPIC = "arn:aws:sns:us-east-1:123456789012:no-such-topic"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("alerts"), ("postgres", "aws")) as settings:
        yield settings


@pytest.fixture
def owner(stack: Settings) -> Iterator[psycopg.Connection[Any]]:
    with connect(stack.dsn("owner"), autocommit=True) as conn:
        conn.execute("truncate ops.alert cascade")
        yield conn


def kept(conn: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return conn.execute("select name, subject, delivered from ops.alert order by alert_id").fetchall()


def test_an_alert_is_delivered_and_kept(stack: Settings, owner: psycopg.Connection[Any]) -> None:
    assert notify(stack, ALERT) is Outcome.DELIVERED
    assert kept(owner) == [("dag_failed", ALERT.subject, True)]
    assert owner.execute("select detail, runbook from ops.alert").fetchone() == (ALERT.detail, ALERT.runbook)


def test_the_same_alert_is_not_repeated_within_a_quarter_of_an_hour(
    stack: Settings, owner: psycopg.Connection[Any]
) -> None:
    assert notify(stack, ALERT) is Outcome.DELIVERED
    assert notify(stack, replace(ALERT, detail="another run")) is Outcome.REPEATED
    assert notify(stack, replace(ALERT, subject="other.task")) is Outcome.DELIVERED
    owner.execute("update ops.alert set raised_at = raised_at - interval '16 minutes'")
    assert notify(stack, ALERT) is Outcome.DELIVERED
    assert len(kept(owner)) == 3


def test_a_topic_that_does_not_take_it_is_tried_again(
    stack: Settings, owner: psycopg.Connection[Any]
) -> None:
    broken = replace(stack, alert_topic_arn=NO_TOPIC)
    assert notify(broken, ALERT) is Outcome.FAILED
    assert notify(broken, ALERT) is Outcome.FAILED
    assert kept(owner) == [("dag_failed", ALERT.subject, False)]
    assert notify(stack, ALERT) is Outcome.DELIVERED
    assert kept(owner) == [("dag_failed", ALERT.subject, True)]


def test_without_a_topic_an_alert_is_logged_and_kept(stack: Settings, owner: psycopg.Connection[Any]) -> None:
    quiet = replace(stack, alert_topic_arn=None)
    assert notify(quiet, ALERT) is Outcome.LOGGED
    assert notify(quiet, ALERT) is Outcome.REPEATED
    assert kept(owner) == [("dag_failed", ALERT.subject, False)]


def test_without_a_warehouse_an_alert_still_leaves(stack: Settings, caplog: pytest.LogCaptureFixture) -> None:
    gone = replace(
        stack, warehouse={**stack.warehouse, "ops": Secret("postgresql://u:p4ssw0rd@127.0.0.1:1/none")}
    )
    assert notify(gone, ALERT) is Outcome.DELIVERED
    assert "could not be stored" in caplog.text
    assert "p4ssw0rd" not in caplog.text
    assert notify(replace(gone, alert_topic_arn=NO_TOPIC), ALERT) is Outcome.FAILED


def test_a_long_subject_is_one_that_sns_takes(stack: Settings, owner: psycopg.Connection[Any]) -> None:
    assert notify(stack, replace(ALERT, subject="ü" * 300 + "\nx", detail="y" * 10_000)) is Outcome.DELIVERED
    assert owner.execute("select length(detail) from ops.alert").fetchone() == (2_000,)


def test_the_topic_of_the_stack_exists(stack: Settings) -> None:
    topics = client(stack, "sns").list_topics()["Topics"]
    assert {"TopicArn": stack.alert_topic_arn} in topics
