"""Killed at every step: a reconciliation that dies by SIGKILL and runs again comes to what it would have come to."""

from __future__ import annotations

import os
import signal
from collections import Counter
from multiprocessing import get_context
from typing import Any

import pytest

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


@pytest.fixture
def stack(filled_stack: ReconcileStack) -> ReconcileStack:
    return filled_stack


@pytest.fixture(scope="module")
def undisturbed(filled_stack: ReconcileStack) -> dict[str, Any]:
    damage(filled_stack)
    filled_stack.check()
    return standing(filled_stack)


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


def test_the_undisturbed_run_repairs(stack: ReconcileStack, undisturbed: dict[str, Any]) -> None:
    assert [row[:3] for row in undisturbed["verdicts"]] == [(GPS, "repaired", []), (STATUS, "repaired", [])]
    assert [len(undisturbed[name]) for name in ("objects", "rows", "verified")] == [2, 120, 2]


@pytest.mark.parametrize(("step", "time"), STEPS, ids=[f"{step} {n}" for step, n in STEPS])
def test_killed(stack: ReconcileStack, undisturbed: dict[str, Any], step: str, time: int) -> None:
    damage(stack)
    seen: Counter[str] = Counter()

    def die(at: str) -> None:
        seen[at] += 1
        if (at, seen[at]) == (step, time):
            os.kill(os.getpid(), signal.SIGKILL)

    process = get_context("fork").Process(target=stack.check, kwargs={"step": die})
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL, f"{step} {time} was never reached"
    stack.check()
    assert standing(stack) == undisturbed
