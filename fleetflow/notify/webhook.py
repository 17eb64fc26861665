"""Alerts to a webhook: an HTTPS POST of JSON, signed with HMAC-SHA-256.

The receiver checks `X-FleetFlow-Signature: t=<unix seconds>,v1=<hex>`: the HMAC of `<t>.<body>` under the shared
secret. An old time or a wrong signature is not ours. Redirects are not followed: the secret's holder is one address.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from fleetflow.notify.channels import ChannelError
from fleetflow.notify.message import Message
from fleetflow.settings import Secret

TIMEOUT_S = 5.0
PAUSES_S = (0.2, 1.0)  # between the three tries of one sending; the outbox tries again later


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def sign(secret: str, body: bytes, at: int) -> str:
    """Return the signature header of a body sent at a time (Unix seconds)."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class WebhookChannel:
    """One address that takes alerts."""

    def __init__(
        self,
        url: str,
        secret: Secret,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._secret = secret
        self._pause = pause
        self._clock = clock
        self._opener = urllib.request.build_opener(_NoRedirects())

    def send(self, message: Message) -> None:
        """Post the message; tried again after a timeout, a broken connection, 429 and 5xx.

        Raises:
            ChannelError: the address did not answer 2xx.
        """
        body = json.dumps(message.payload).encode()
        for pause in (*PAUSES_S, None):
            fault, worth_another = self._post(body)
            if fault is None:
                return
            if pause is None or not worth_another:
                # The path may hold a token, so only the host is named.
                raise ChannelError(f"{urlsplit(self._url).hostname} did not take it: {fault}")
            self._pause(pause)

    def _post(self, body: bytes) -> tuple[str | None, bool]:
        headers = {"Content-Type": "application/json", "User-Agent": "fleetflow"}
        if self._secret:
            headers["X-FleetFlow-Signature"] = sign(self._secret.reveal(), body, int(self._clock()))
        request = urllib.request.Request(self._url, data=body, headers=headers, method="POST")
        try:
            with self._opener.open(request, timeout=TIMEOUT_S):
                return None, False
        except urllib.error.HTTPError as fault:
            fault.close()
            return f"HTTP {fault.code}", fault.code == 429 or fault.code >= 500
        except (urllib.error.URLError, OSError) as fault:
            return str(fault), True
