"""Waiting for a partner's files without holding a worker: an operator that defers, and the trigger that looks.

The triggerer looks at the partner's directory every half minute. The operator goes on when files are there that a
load would take, or when the time is over: what is missing then, the load and its ledger say.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent

POLL_S = 30.0
# Beyond the trigger's own end: only a triggerer that is gone lets this pass.
_MARGIN = timedelta(minutes=15)

log = logging.getLogger("fleetflow.partners")


class PartnerFilesTrigger(BaseTrigger):  # type: ignore[misc]  # Airflow is not typed
    """Fires when a partner's files are whole, when `until` (ISO 8601) has passed, or when no look can help.

    Its event says which: `names` of the files, `waited_s`, and `fault`, in words, `fatal` where another try is idle.
    """

    def __init__(self, partner: str, until: str, poll_s: float = POLL_S) -> None:
        super().__init__()
        self.partner = partner
        self.until = until
        self.poll_s = poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores of it."""
        kept = {"partner": self.partner, "until": self.until, "poll_s": self.poll_s}
        return f"{type(self).__module__}.{type(self).__qualname__}", kept

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is something to tell."""
        from fleetflow.tasks.partners import PartnerFaultError, look_for_files
        from ingestion.partners.place import RemoteFault

        until, began = datetime.fromisoformat(self.until), datetime.now(UTC)
        looks: dict[str, Any] = {}
        while True:
            names: list[str] = []
            fault = None
            try:
                names, looks = await look_for_files(self.partner, looks)
            except PartnerFaultError as found:
                yield self._event(began, [], str(found), fatal=True)
                return
            except RemoteFault as found:
                fault = str(found)
                log.warning("%s: %s", self.partner, fault)
            left = (until - datetime.now(UTC)).total_seconds()
            if names or left <= 0:
                yield self._event(began, names, fault)
                return
            await asyncio.sleep(min(self.poll_s, left))

    def _event(
        self, began: datetime, names: list[str], fault: str | None, *, fatal: bool = False
    ) -> TriggerEvent:
        waited_s = round((datetime.now(UTC) - began).total_seconds(), 1)
        return TriggerEvent({"names": names[:20], "waited_s": waited_s, "fault": fault, "fatal": fatal})


class WaitForPartnerFiles(BaseOperator):  # type: ignore[misc]  # Airflow is not typed
    """Waits until a partner's files are whole or overdue. The param `wait` of the run, if false, waits for nothing."""

    def __init__(self, *, partner: str, poll_s: float = POLL_S, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.partner = partner
        self.poll_s = poll_s

    def execute(self, context: Any) -> dict[str, Any]:
        """Hand over to the trigger, unless nothing is to be waited for."""
        from fleetflow.tasks.partners import PartnerFaultError, wait_until

        run = context["dag_run"]
        if not context["params"].get("wait", True):
            return {"waited_s": 0.0}
        scheduled = str(getattr(run.run_type, "value", run.run_type)) == "scheduled"
        due = (run.logical_date if scheduled else None) or run.run_after
        try:
            until = wait_until(self.partner, due, scheduled=scheduled)
        except PartnerFaultError as fault:
            raise AirflowFailException(str(fault)) from fault
        if until is None:
            return {"waited_s": 0.0}
        trigger = PartnerFilesTrigger(self.partner, until.isoformat(), self.poll_s)
        timeout = max(until - datetime.now(UTC), timedelta(0)) + _MARGIN
        self.defer(trigger=trigger, method_name="resume", timeout=timeout)

    def resume(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Go on with what the trigger saw.

        Raises:
            AirflowFailException: nobody gets in before declaration, settings or key are mended.
            RuntimeError: the server could not be reached when the time was over.
        """
        if event["fault"] and event["fatal"]:
            raise AirflowFailException(event["fault"])
        if event["fault"]:
            raise RuntimeError(event["fault"])
        return {"names": event["names"], "waited_s": event["waited_s"]}
