"""The one way out for alerts: the log, a row in `ops.alert`, and every channel that its severity goes to.

Channels are an SNS topic, e-mail and a webhook. What a channel does not take stays in `ops.alert_notice` and is tried
again. An alert never fails its caller: what cannot be stored or sent is logged.
"""

from fleetflow.notify.message import Alert, Item, Message
from fleetflow.notify.send import Outcome, notify

__all__ = ["Alert", "Item", "Message", "Outcome", "notify"]
