"""Each channel against a real server of its kind: what arrives, and what is not trusted."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alert_sinks import Hook, hook_server, mail_server, make_certificate

from fleetflow.local.stack import running
from fleetflow.notify import Alert, Item, Message
from fleetflow.notify.channels import ChannelError, names_for, open_channels
from fleetflow.notify.webhook import WebhookChannel
from fleetflow.runtime import client
from fleetflow.settings import AlertSettings, Secret, Settings, load_settings

ALERT = Alert("stream_lag", "error", "gps/0", "behind by 4 min", "docs/runbooks/alert_stream_lag.md")
MESSAGE = Message([Item(ALERT, "raised", datetime(2026, 11, 21, 5, 30, tzinfo=UTC), None, 7)])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return certificate


def mail_settings(url: str) -> Settings:
    alerts = AlertSettings(
        mail_url=Secret(url), mail_from="f@example.com", mail_to=("a@example.com", "b@example.com")
    )
    return replace(load_settings(Path("/nowhere"), {}), alerts=alerts)


def send_mail(url: str) -> None:
    open_channels(mail_settings(url))["email"].send(MESSAGE)


def test_mail_goes_encrypted_and_logged_in(trusted: Path) -> None:
    with mail_server(trusted) as box:
        send_mail(f"smtp://alerts:p%40ss@127.0.0.1:{box.port}")
    ((mail,), encrypted, logins) = (box.mails, box.encrypted, box.logins)
    assert (encrypted, logins) == ([True], ["alerts:p@ss"])
    assert (mail["Subject"], mail["To"]) == ("[error] stream_lag: gps/0", "a@example.com, b@example.com")
    assert "behind by 4 min" in mail.get_content()


def test_mail_goes_by_tls_from_the_start(trusted: Path) -> None:
    with mail_server(trusted, tls_first=True) as box:
        send_mail(f"smtps://127.0.0.1:{box.port}")
    assert (len(box.mails), box.encrypted) == (1, [True])


def test_mail_refuses_a_server_that_is_not_trusted(certificate: Path) -> None:
    with mail_server(certificate) as box, pytest.raises(ChannelError, match="certificate verify failed"):
        send_mail(f"smtp://alerts:secret@127.0.0.1:{box.port}")
    assert (box.mails, box.logins) == ([], [])


def test_mail_refuses_a_server_without_encryption() -> None:
    with mail_server(None) as box, pytest.raises(ChannelError, match="STARTTLS"):
        send_mail(f"smtp://alerts:secret@127.0.0.1:{box.port}")
    assert (box.mails, box.logins) == ([], [])


def test_mail_to_a_relay_on_this_machine_needs_no_tls() -> None:
    with mail_server(None) as box:
        send_mail(f"smtp+plain://127.0.0.1:{box.port}")
    assert box.encrypted == [False]


def test_a_refused_recipient_is_a_fault_although_the_other_got_it() -> None:
    with mail_server(None) as box:
        box.refuses.add("b@example.com")
        with pytest.raises(ChannelError, match=r"refused recipients: b@example\.com"):
            send_mail(f"smtp+plain://127.0.0.1:{box.port}")
    assert len(box.mails) == 1


def test_a_mail_server_that_is_down_is_named_without_its_password() -> None:
    with pytest.raises(ChannelError) as caught:
        send_mail("smtp://alerts:secret@127.0.0.1:1")
    assert "127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hook_server() as taken:
        yield taken


def channel(hook: Hook, scheme: str = "http") -> WebhookChannel:
    return WebhookChannel(f"{scheme}://127.0.0.1:{hook.port}/t0ken", Secret("s3cret"), pause=lambda _: None)


def test_a_webhook_gets_signed_json(hook: Hook) -> None:
    channel(hook).send(MESSAGE)
    ((path, headers, body),) = hook.posts
    assert path == "/t0ken"
    stamp, signature = headers["x-fleetflow-signature"].split(",")
    at = stamp.removeprefix("t=")
    expected = hmac.new(b"s3cret", f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    assert signature == f"v1={expected}"
    assert abs(int(at) - time.time()) < 60
    told = json.loads(body)
    assert (told["name"], told["severity"], told["alerts"][0]["alert_id"]) == ("stream_lag", "error", 7)


def test_a_webhook_goes_by_https_to_whom_we_trust(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hook_server(certificate) as secure:
        with pytest.raises(ChannelError, match="certificate verify failed"):
            channel(secure, "https").send(MESSAGE)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        channel(secure, "https").send(MESSAGE)
    assert len(secure.posts) == 1


def test_a_webhook_is_tried_three_times(hook: Hook) -> None:
    hook.answers = [503, 429, 204]
    channel(hook).send(MESSAGE)
    assert len(hook.posts) == 3
    assert len({body for _, _, body in hook.posts}) == 1
    hook.answers = [500, 500, 500]
    with pytest.raises(ChannelError, match="HTTP 500"):
        channel(hook).send(MESSAGE)


@pytest.mark.parametrize("status", [302, 307, 400, 401])
def test_a_webhook_neither_follows_nor_repeats_what_is_final(hook: Hook, status: int) -> None:
    hook.answers = [status]
    with pytest.raises(ChannelError, match=f"HTTP {status}") as caught:
        channel(hook).send(MESSAGE)
    assert [path for path, _, _ in hook.posts] == ["/t0ken"]
    assert "t0ken" not in str(caught.value)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("channels"), ("postgres", "aws")) as settings:
        yield settings


def test_the_topic_gets_json_with_attributes_to_filter_by(aws: Settings) -> None:
    sqs: Any = client(aws, "sqs")
    sns: Any = client(aws, "sns")
    queue = sqs.create_queue(QueueName="alerts")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(
        TopicArn=aws.alert_topic_arn,
        Protocol="sqs",
        Endpoint=arn,
        Attributes={"FilterPolicy": json.dumps({"severity": ["error"]})},
    )
    open_channels(aws)["sns"].send(MESSAGE)
    open_channels(aws)["sns"].send(
        Message([replace(MESSAGE.items[0], alert=replace(ALERT, severity="warn"))])
    )
    (received,) = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    told = json.loads(received["Body"])
    assert told["Subject"] == "[error] stream_lag: gps/0"
    assert json.loads(told["Message"])["alerts"][0]["subject"] == "gps/0"


def test_mail_by_ses_needs_a_sender_that_it_knows(aws: Settings) -> None:
    alerts = mail_settings("ses://").alerts
    settings = replace(aws, alerts=alerts)
    with pytest.raises(ChannelError, match="SES did not take the mail"):
        open_channels(settings)["email"].send(MESSAGE)
    ses: Any = client(aws, "ses")
    ses.verify_email_identity(EmailAddress="f@example.com")
    open_channels(settings)["email"].send(MESSAGE)
    assert float(ses.get_send_quota()["SentLast24Hours"]) >= 1


def test_a_severity_goes_to_the_channels_that_are_set_and_chosen(aws: Settings) -> None:
    alerts = replace(
        mail_settings("smtp://127.0.0.1:1").alerts, warn=("email", "webhook"), error=("sns", "email")
    )
    settings = replace(aws, alerts=alerts)
    assert names_for(settings, "error") == ("sns", "email")
    assert names_for(settings, "warn") == ("email",)
    assert names_for(replace(settings, alert_topic_arn=None), "error") == ("email",)
