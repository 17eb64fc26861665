"""The one stack that reconciliation and retention share: filled once, mended by every test that damages it.

Who cannot mend it says `stack.spent = True`; whoever asks next gets a new one, in whatever order the files run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.reconcile_stack import ReconcileStack


@pytest.fixture(scope="session")
def take_filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], ReconcileStack]]:
    """Give the filled stack; a new one where the last is spent."""
    from fleetflow.local.stack import running
    from tests.integration.reconcile_stack import ReconcileStack

    filled: list[ReconcileStack] = []
    with ExitStack() as open_stacks:

        def take() -> ReconcileStack:
            if not filled or filled[-1].spent:
                open_stacks.close()
                home = tmp_path_factory.mktemp("reconcile")
                env = {"FLEETFLOW_KINESIS_LIMITS": "0"}
                settings = open_stacks.enter_context(running(home, ("postgres", "aws"), env=env))
                stack = ReconcileStack(settings)
                stack.order("w")
                stack.fill("w")
                stack.truth("run", {"gps_location": {"sent": 52, "distinct": 52}})
                filled.append(stack)
            return filled[-1]

        yield take


@pytest.fixture(scope="module")
def filled_stack(take_filled: Callable[[], ReconcileStack]) -> ReconcileStack:
    """52 GPS events, two of them refused, and 20 shipments' lives: landed, in the lake, in the marts, and ordered."""
    stack = take_filled()
    stack.execute("truncate ops.reconciliation, ops.verified_through")
    return stack
