"""Alerts to an SNS topic: whoever subscribes gets the JSON, a subscriber by e-mail also the title."""

from __future__ import annotations

import json
from typing import Any

import botocore.exceptions

from fleetflow.notify.channels import ChannelError
from fleetflow.notify.message import Message
from fleetflow.runtime import client
from fleetflow.settings import Settings


class TopicChannel:
    """One SNS topic."""

    def __init__(self, settings: Settings, arn: str) -> None:
        self._settings = settings
        self._arn = arn

    def send(self, message: Message) -> None:
        """Publish the message, with name and severity as attributes to filter by.

        Raises:
            ChannelError: the topic did not take it.
        """
        attributes = {
            "name": {"DataType": "String", "StringValue": message.name},
            "severity": {"DataType": "String", "StringValue": message.severity},
        }
        try:
            sns: Any = client(self._settings, "sns", max_attempts=2)
            sns.publish(
                TopicArn=self._arn,
                Subject=message.title,
                Message=json.dumps(message.payload, indent=1),
                MessageAttributes=attributes,
            )
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as fault:
            raise ChannelError(f"the topic did not take it: {fault}") from fault
