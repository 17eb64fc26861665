"""The channels that the settings name, and which severity goes where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from fleetflow.notify.message import Message
from fleetflow.settings import Settings


class ChannelError(RuntimeError):
    """The channel did not take the message; the message says why, without a secret."""


class Channel(Protocol):
    """A way to people."""

    def send(self, message: Message) -> None:
        """Send one message; it may arrive twice.

        Raises:
            ChannelError: it was not taken.
        """


def open_channels(settings: Settings) -> Mapping[str, Channel]:
    """Return the channels that are set, by name; nothing is contacted yet."""
    from fleetflow.notify.mail import MailChannel, SesChannel
    from fleetflow.notify.sns import TopicChannel
    from fleetflow.notify.webhook import WebhookChannel

    found: dict[str, Channel] = {}
    chosen = settings.alerts
    if settings.alert_topic_arn:
        found["sns"] = TopicChannel(settings, settings.alert_topic_arn)
    if chosen.mail_url and chosen.mail_to:
        mail = SesChannel if chosen.mail_url.reveal().startswith("ses:") else MailChannel
        found["email"] = mail(settings)
    if chosen.webhook_url:
        found["webhook"] = WebhookChannel(chosen.webhook_url, chosen.webhook_secret)
    return found


def names_for(settings: Settings, severity: str) -> tuple[str, ...]:
    """Return the channels that a severity goes to, of those that are set."""
    chosen = settings.alerts.error if severity == "error" else settings.alerts.warn
    return tuple(name for name in open_channels(settings) if name in chosen)
