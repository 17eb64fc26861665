"""Killed at every step: a reconciliation that dies by SIGKILL and runs again comes to what it would have come to."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from typing import Any

import pytest

from fleetflow.order_reconciliation import reconcile_orders
from tests.integration.reconcile_stack import ReconcileStack

GPS, STATUS = "gps_location", "shipment_event"

# Where the process dies: at the nth time that the step is announced. The object and the rows of two feeds are damaged,
# so each window counts, records, repairs, counts again and records again.
STEPS = [
    ("count", 1),
    ("compare", 1),
    ("record", 1),
    ("advance", 1),
    ("advanced", 1),
    ("before object", 1),
    ("after object", 1),
    ("count", 2),
    ("rows before commit", 1),
    ("rows after commit", 1),
    ("record", 2),
    ("advance", 2),
    ("advanced", 4),
]
ORDER_STEPS = ["counted", "queued", "recorded", "advanced"]
CASES = [(grain, step, number) for grain in ("hour", "day") for step, number in STEPS]


@pytest.fixture
def stack(filled_stack: ReconcileStack) -> ReconcileStack:
    return filled_stack


@pytest.fixture(scope="module")
def undisturbed(filled_stack: ReconcileStack) -> dict[str, dict[str, Any]]:
    """What a run of each grain comes to that nobody kills."""
    found = {}
    for grain in ("hour", "day"):
        damage(filled_stack)
        filled_stack.check(grain)
        found[grain] = standing(filled_stack)
    return found


def damage(stack: ReconcileStack) -> None:
    """Delete the GPS object and most status rows; forget what was ever found."""
    stack.execute("truncate ops.reconciliation, ops.verified_through")
    stack.delete([key for key in stack.objects() if f"/{GPS}/" in key])
    stack.execute(f"delete from landing.{STATUS} where line > 10")


def standing(stack: ReconcileStack) -> dict[str, Any]:
    """What a reconciliation comes to: the arms, the newest verdicts, how far each feed is verified."""
    return {
        "objects": stack.objects(),
        "sizes": stack.sql("select batch_id, object_bytes from ops.batch order by 1"),
        "bodies": {key: stack.body(key) for key in stack.objects()},
        "rows": stack.sql(f"select * from landing.{STATUS} order by batch_id, line"),
        "verdicts": stack.sql(
            "select feed, verdict, differences, counts - 'landing_rows_dropped' from ops.reconciliation_standing"
            " where counts ->> 'batches' <> '0' order by 1"
        ),
        "verified": stack.sql("select feed, grain, verified_from from ops.verified_through order by 1"),
    }


def dies(work: Callable[..., Any], step: str, time: int = 1) -> bool:
    """Do some work in a process that kills itself at the nth time that the step is announced; return whether it did."""
    seen: Counter[str] = Counter()

    def die(at: str) -> None:
        seen[at] += 1
        if (at, seen[at]) == (step, time):
            os.kill(os.getpid(), signal.SIGKILL)

    process = get_context("fork").Process(target=work, kwargs={"step": die})
    process.start()
    process.join(120)
    return process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("grain", ["hour", "day"])
def test_the_undisturbed_run_repairs(undisturbed: dict[str, dict[str, Any]], grain: str) -> None:
    found = undisturbed[grain]
    assert [row[:3] for row in found["verdicts"]] == [(GPS, "repaired", []), (STATUS, "repaired", [])]
    assert [len(found[name]) for name in ("objects", "rows", "verified")] == [2, 120, 2]


@pytest.mark.parametrize(("grain", "step", "time"), CASES, ids=[f"{g} {step} {n}" for g, step, n in CASES])
def test_killed(
    stack: ReconcileStack, undisturbed: dict[str, dict[str, Any]], grain: str, step: str, time: int
) -> None:
    damage(stack)
    assert dies(partial(stack.check, grain), step, time), f"{step} {time} was never reached"
    stack.check(grain)
    assert standing(stack) == undisturbed[grain]


def order_standing(stack: ReconcileStack) -> dict[str, Any]:
    """What a night's look at the order database comes to, once its repairs have gone through."""
    reconcile_orders(stack.settings)
    stack.downstream()
    attempt = reconcile_orders(stack.settings)
    return {
        "holds": (attempt.verdict.holds, stack.words(attempt)),
        "marts": stack.sql("select shipment_id, promised_at, status from marts.fct_shipment order by 1"),
        "waiting": stack.sql("select count(*) from ops.pending_batch"),
        "verified": stack.sql(
            "select verified_through from ops.verified_through where feed = 'order_database'"
        ),
    }


@pytest.fixture(scope="module")
def ordered(filled_stack: ReconcileStack) -> dict[str, Any]:
    """The order database beside marts that are up to date."""
    found = order_standing(filled_stack)
    assert found["holds"] == (True, "")
    assert (len(found["marts"]), len(found["verified"])) == (20, 1)
    return found


@pytest.mark.parametrize("step", ORDER_STEPS)
def test_killed_over_the_orders(stack: ReconcileStack, ordered: dict[str, Any], step: str) -> None:
    stack.execute(
        "truncate ops.reconciliation, ops.verified_through",
        "update marts.fct_shipment set promised_at = promised_at + interval '1 hour' where shipment_id = 'wS3'",
    )
    assert dies(partial(reconcile_orders, stack.settings), step), f"{step} was never reached"
    assert order_standing(stack) == ordered
