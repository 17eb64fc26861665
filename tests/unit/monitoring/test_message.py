"""Messages: a title that SNS takes, a text for a person, JSON for a program, a mail, a signature."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from fleetflow.notify.mail import compose
from fleetflow.notify.message import LISTED, Alert, Item, Message, Notice, Severity
from fleetflow.notify.webhook import sign
from fleetflow.settings import SettingsError, load_settings

AT = datetime(2026, 11, 21, 5, 30, tzinfo=UTC)
PAGE = "docs/runbooks/alert_stream_lag.md"


def item(subject: str, notice: Notice = "raised", severity: Severity = "error") -> Item:
    over = AT + timedelta(minutes=5) if notice == "resolved" else None
    return Item(Alert("stream_lag", severity, subject, f"{subject} is behind", PAGE), notice, AT, over, 7)


def test_one_alert_is_told_by_its_subject() -> None:
    message = Message([item("gps/0")])
    assert message.title == "[error] stream_lag: gps/0"
    assert "RAISED  gps/0\ngps/0 is behind\nsince 2026-11-21 05:30:00 UTC" in message.text
    assert message.text.endswith(f"What to do: {PAGE}\n")


def test_forty_are_one_message_that_lists_twenty() -> None:
    message = Message([item(f"gps/{n}") for n in range(40)])
    assert message.title == "[error] stream_lag: 40 raised"
    assert message.text.count("RAISED") == LISTED
    assert "and 20 more" in message.text
    assert len(message.payload["alerts"]) == LISTED
    assert message.payload["left_out"] == 20


def test_raised_and_resolved_go_together_with_the_worst_that_stands() -> None:
    message = Message([item("a", "resolved"), item("b", "raised", "warn"), item("c", "reminder", "warn")])
    assert message.title == "[warn] stream_lag: 1 raised, 1 still there, 1 resolved"
    assert Message([item("a", "resolved")]).title == "[resolved] stream_lag: a"
    assert "resolved 2026-11-21 05:35:00 UTC" in message.text


@pytest.mark.parametrize("subject", ["ü" * 300, "a\nSubject: injected", "x" * 99])
def test_a_title_is_one_ascii_line_of_a_hundred(subject: str) -> None:
    title = Message([item(subject)]).title
    assert len(title) <= 100
    assert title.isascii()
    assert "\n" not in title


def test_a_mail_keeps_its_head_whatever_the_subject_says() -> None:
    mail = compose(
        Message([item("a\r\nBcc: thief@example.com")]), "f@example.com", ("a@example.com", "b@example.com")
    )
    read = message_from_bytes(mail.as_bytes(), policy=policy.default)
    assert read["Bcc"] is None
    assert read["To"] == "a@example.com, b@example.com"
    assert read["Subject"].startswith("[error] stream_lag: a Bcc: thief")
    assert read["Auto-Submitted"] == "auto-generated"
    assert PAGE in read.get_content()


def test_the_signature_is_the_hmac_of_time_and_body() -> None:
    expected = hmac.new(b"s3cret", b'1763703000.{"a":1}', hashlib.sha256).hexdigest()
    assert sign("s3cret", b'{"a":1}', 1_763_703_000) == f"t=1763703000,v1={expected}"


def test_settings_name_every_fault_of_the_channels(tmp_path: Path) -> None:
    env = {
        "FLEETFLOW_ALERT_WEBHOOK_URL": "http://example.com/hook",
        "FLEETFLOW_ALERT_MAIL_URL": "imap://mail.example.com",
        "FLEETFLOW_ALERT_ERROR_CHANNELS": "sns,pigeon",
        "FLEETFLOW_ALERT_REPEAT_HOURS": "0",
    }
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, env)
    assert all(name in str(caught.value) for name in (*env, "pigeon", "ALERT_MAIL_TO"))


def test_settings_hide_what_is_secret(tmp_path: Path) -> None:
    env = {
        "FLEETFLOW_ALERT_WEBHOOK_URL": "https://example.com/hook",
        "FLEETFLOW_ALERT_WEBHOOK_SECRET": "s3cret",
        "FLEETFLOW_ALERT_MAIL_URL": "smtp://user:passw0rd@mail.example.com",
        "FLEETFLOW_ALERT_MAIL_FROM": "f@example.com",
        "FLEETFLOW_ALERT_MAIL_TO": "a@example.com, b@example.com",
        "FLEETFLOW_ALERT_WARN_CHANNELS": "email",
    }
    alerts = load_settings(tmp_path, env).alerts
    assert (alerts.mail_to, alerts.warn) == (("a@example.com", "b@example.com"), ("email",))
    assert alerts.error == ("sns", "email", "webhook")
    assert "s3cret" not in repr(alerts)
    assert "passw0rd" not in repr(alerts)
