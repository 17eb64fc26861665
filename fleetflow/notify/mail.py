"""Alerts by e-mail: SMTP with TLS, or Amazon SES by its API.

`smtp://user:password@host:587` starts TLS and refuses to go on without; `smtps://` speaks TLS from the start;
`smtp+plain://` speaks none and is for a relay on this machine. `ses://` sends by SES in the settings' region.
"""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any
from urllib.parse import unquote, urlsplit

import botocore.exceptions

from fleetflow.notify.channels import ChannelError
from fleetflow.notify.message import Message
from fleetflow.runtime import client
from fleetflow.settings import Settings

TIMEOUT_S = 10.0
_PORTS = {"smtp": 587, "smtps": 465, "smtp+plain": 25}


class MailChannel:
    """A mail server, and who gets the mail."""

    def __init__(self, settings: Settings) -> None:
        assert settings.alerts.mail_url is not None
        self._place = urlsplit(settings.alerts.mail_url.reveal())
        self._alerts = settings.alerts

    def send(self, message: Message) -> None:
        """Hand the mail to the server.

        Raises:
            ChannelError: the server cannot be reached, is not trusted, or refuses sender or a recipient.
        """
        try:
            with self._connect() as server:
                if self._place.username:
                    server.login(unquote(self._place.username), unquote(self._place.password or ""))
                refused = server.send_message(compose(message, self._alerts.mail_from, self._alerts.mail_to))
        except (smtplib.SMTPException, OSError) as fault:
            raise ChannelError(f"{self._place.hostname} did not take the mail: {fault}") from fault
        if refused:
            raise ChannelError(f"{self._place.hostname} refused recipients: {', '.join(sorted(refused))}")

    def _connect(self) -> smtplib.SMTP:
        host = self._place.hostname or ""
        port = self._place.port or _PORTS[self._place.scheme]
        trust = ssl.create_default_context()
        if self._place.scheme == "smtps":
            return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=trust)
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
        if self._place.scheme == "smtp":
            try:
                server.starttls(context=trust)
            except BaseException:
                server.close()
                raise
        return server


class SesChannel:
    """Amazon SES, and who gets the mail."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def send(self, message: Message) -> None:
        """Hand the mail to SES.

        Raises:
            ChannelError: SES did not take it.
        """
        alerts = self._settings.alerts
        mail = compose(message, alerts.mail_from, alerts.mail_to)
        try:
            ses: Any = client(self._settings, "ses", max_attempts=2)
            ses.send_raw_email(
                Source=alerts.mail_from,
                Destinations=list(alerts.mail_to),
                RawMessage={"Data": mail.as_bytes()},
            )
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as fault:
            raise ChannelError(f"SES did not take the mail: {fault}") from fault


def compose(message: Message, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """Return the message as a mail in plain text; replies of machines are not asked for."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = message.title
    mail["Date"] = format_datetime(message.items[0].raised_at)
    mail["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or None)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail
