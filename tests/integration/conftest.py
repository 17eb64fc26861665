"""The one stack that reconciliation and retention share: filled once, mended by every test that damages it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.reconcile_stack import ReconcileStack


@pytest.fixture(scope="session")
def filled_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReconcileStack]:
    """52 GPS events, two of them refused, and 20 shipments' lives: landed, in the lake, in the marts, and ordered."""
    from fleetflow.local.stack import running
    from tests.integration.reconcile_stack import ReconcileStack

    home = tmp_path_factory.mktemp("reconcile")
    with running(home, ("postgres", "aws"), env={"FLEETFLOW_KINESIS_LIMITS": "0"}) as settings:
        filled = ReconcileStack(settings)
        filled.order("w")
        filled.fill("w")
        filled.truth("run", {"gps_location": {"sent": 52, "distinct": 52}})
        yield filled
