"""Waiting for a partner's files without holding a worker: operators that defer, and the trigger that looks.

The triggerer looks at the partner's directory every half minute. A run goes on when files are there that a load would
take, or when the time is over. A load that took something else than the delivery that the run is for waits again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TriggerEvent

POLL_S = 30.0
# Beyond the trigger's own end: only a triggerer that is gone lets this pass.
_MARGIN = timedelta(minutes=15)

log = logging.getLogger("fleetflow.partners")


class PartnerFilesTrigger(BaseTrigger):  # type: ignore[misc]  # Airflow is not typed
    """Fires when a partner's files are whole, when `until` (ISO 8601) has passed, or when no look can help.

    The first look comes after `pause_s` seconds, the others `poll_s` apart. Its event says which: `names` of the
    files, `waited_s`, and `fault`, in words, `fatal` where another try is idle; `carried` goes into it as it is.
    """

    def __init__(
        self,
        partner: str,
        until: str,
        poll_s: float = POLL_S,
        pause_s: float = 0.0,
        carried: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.partner = partner
        self.until = until
        self.poll_s = poll_s
        self.pause_s = pause_s
        self.carried = carried

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores of it."""
        names = ("partner", "until", "poll_s", "pause_s", "carried")
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            name: getattr(self, name) for name in names
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is something to tell."""
        from fleetflow.tasks.partners import PartnerFaultError, look_for_files
        from ingestion.partners.fetch.place import RemoteFault

        until, began = datetime.fromisoformat(self.until), datetime.now(UTC)
        looks: dict[str, Any] = {}
        await asyncio.sleep(self.pause_s)
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
        told = {"names": names[:20], "waited_s": waited_s, "fault": fault, "fatal": fatal}
        return TriggerEvent({**told, "carried": self.carried})


class _PartnerOperator(BaseOperator):  # type: ignore[misc]  # Airflow is not typed
    """What the two tasks share: whose files, how often is looked, and until when a run waits."""

    def __init__(self, *, partner: str, poll_s: float = POLL_S, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.partner = partner
        self.poll_s = poll_s

    def _until(self, context: Any) -> tuple[datetime, datetime | None]:
        """Return when the run was due, and until when it waits; None where it waits for nothing."""
        from fleetflow.tasks.partners import PartnerFaultError, wait_until

        run = context["dag_run"]
        scheduled = str(getattr(run.run_type, "value", run.run_type)) == "scheduled"
        due = (run.logical_date if scheduled else None) or run.run_after
        if not context["params"].get("wait", True):
            return due, None
        try:
            return due, wait_until(self.partner, due, scheduled=scheduled)
        except PartnerFaultError as fault:
            raise AirflowFailException(str(fault)) from fault

    def _wait(self, until: datetime, pause_s: float = 0.0, carried: dict[str, Any] | None = None) -> NoReturn:
        trigger = PartnerFilesTrigger(self.partner, until.isoformat(), self.poll_s, pause_s, carried)
        timeout = max(until - datetime.now(UTC), timedelta(0)) + _MARGIN
        self.defer(trigger=trigger, method_name="resume", timeout=timeout)
        raise AssertionError("a task that defers ends there")

    @staticmethod
    def _require_fine(event: dict[str, Any]) -> None:
        if event["fault"] and event["fatal"]:
            raise AirflowFailException(event["fault"])
        if event["fault"]:
            raise RuntimeError(event["fault"])


class WaitForPartnerFiles(_PartnerOperator):
    """Waits until a partner's files are whole or overdue. The param `wait` of the run, if false, waits for nothing."""

    def execute(self, context: Any) -> dict[str, Any]:
        """Hand over to the trigger, unless nothing is to be waited for."""
        _, until = self._until(context)
        if until is None:
            return {"waited_s": 0.0}
        self._wait(until)

    def resume(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Go on with what the trigger saw.

        Raises:
            AirflowFailException: nobody gets in before declaration, settings or key are mended.
            RuntimeError: the server could not be reached when the time was over.
        """
        self._require_fine(event)
        return {"names": event["names"], "waited_s": event["waited_s"]}


class LoadPartnerFiles(_PartnerOperator):
    """Loads what is whole; waits again, holding no worker, while the delivery that the run is for is still owed."""

    def execute(self, context: Any, before: dict[str, Any] | None = None) -> dict[str, Any]:
        """Load, and return the counts of all the run's loads.

        Raises:
            AirflowFailException: declaration, settings or key have a fault.
        """
        from fleetflow.tasks.partners import PartnerFaultError, add_reports, is_owed, load_partner

        try:
            report = add_reports(before, load_partner(self.partner))
            due, until = self._until(context)
            owed = until is not None and datetime.now(UTC) < until and is_owed(self.partner, due)
        except PartnerFaultError as fault:
            raise AirflowFailException(str(fault)) from fault
        if until is not None and owed:
            self._wait(until, self.poll_s, report)
        return report

    def resume(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Load what came meanwhile.

        Raises:
            AirflowFailException: nobody gets in before declaration, settings or key are mended.
            RuntimeError: the server could not be reached when the time was over.
        """
        self._require_fine(event)
        return self.execute(context, event["carried"])
