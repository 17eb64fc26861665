"""Killed at every step: a process that dies by SIGKILL leaves nothing lost and nothing twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

import pytest

from ingestion.cdc import apply, ledger, publication, slot, stage
from ingestion.cdc.stage import Stage
from tests.integration.cdc_orders import DRIVERS, SITES, Pair

# Where the process dies: just before this function runs for the nth time. Every call by which a pull reads or writes
# one of the two databases stands here, in its order; what lies between two of them changes nothing outside the process.
PULL_STEPS = [
    (ledger, "read_source"),
    (publication, "read_published"),
    (slot, "flush_lsn"),
    (slot, "copy_temporarily"),
    (slot, "take"),
    (ledger, "read_layouts"),
    (ledger, "next_batch_id"),
    (apply, "read_mirror"),
    (stage, "complete"),
    (Stage, "_fetch"),
    (Stage, "_copy"),
    (Stage, "_take_out"),
    (ledger, "record_batch"),
    (ledger, "record_applied"),
    (slot, "advance"),
    (ledger, "record_pull"),
]
SNAPSHOT_STEPS = [
    (ledger, "announce_snapshot"),
    (slot, "create"),
    (slot, "plain_output"),
    (ledger, "record_batch"),
    (ledger, "record_snapshot"),
    (ledger, "record_pull"),
]


def die_before(module: Any, name: str, calls: int, work: Callable[[], Any]) -> int:
    """Run the work in a process that is killed at the nth call of the function; return how it ended."""

    def run() -> None:
        real, left = getattr(module, name), [calls]

        def step(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        setattr(module, name, step)
        work()

    process = get_context("fork").Process(target=run)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.parametrize(("module", "name"), PULL_STEPS, ids=[name for _, name in PULL_STEPS])
def test_pull_killed(pair: Pair, module: Any, name: str) -> None:
    pair.write(SITES.format(1, 20))
    pair.snapshot()
    changes = 0
    for call in (1, 2, 3):
        pair.write(
            SITES.format(call * 100, call * 100 + 9),
            f"update sites set city = 'c{call}' where site_id < 'S15'",
        )
        pair.write("delete from sites where site_id = 'S15'", SITES.format(15, 15))
        ended = die_before(module, name, call, lambda: pair.pull(round_changes=10))
        assert ended in (-signal.SIGKILL, 0)
        changes += ended == -signal.SIGKILL
    assert changes > 0, "the step was never reached"
    pair.pull()
    pair.assert_mirrored()
    assert pair.rows("select _lsn, _seq from source.sites_history group by 1, 2 having count(*) > 1") == []
    # 20 from the snapshot; each time 10 new, 6 (of S1, S10 to S14) changed, one deleted and one put back.
    assert pair.rows("select count(*), max(batch_id) is not null from source.sites_history")[0][0] == total(
        pair
    )


def total(pair: Pair) -> int:
    """What the ledger says came."""
    return int(pair.rows("select sum(accepted) from ops.batch where feed = 'sites'")[0][0])


@pytest.mark.parametrize(("module", "name"), SNAPSHOT_STEPS, ids=[name for _, name in SNAPSHOT_STEPS])
def test_snapshot_killed(pair: Pair, module: Any, name: str) -> None:
    pair.write(SITES.format(1, 20), DRIVERS.format(1, 5))
    assert die_before(module, name, 1, pair.snapshot) == -signal.SIGKILL
    pair.write(SITES.format(21, 25))
    if name == "record_pull":  # the snapshot itself was complete
        pair.pull()
    else:
        assert pair.snapshot().changes == {"sites": 25, "drivers": 5}
    pair.assert_mirrored()
    assert pair.rows("select count(*) from source.sites_history") == [(25,)]
    assert pair.rows("select epoch, applied_lsn is not null from ops.cdc_source") == [(1, True)]


def test_failed_snapshot_leaves_no_slot(pair: Pair) -> None:
    """A slot that nobody pulls would keep the order database's log until its disk is full."""
    pair.write(SITES.format(1, 2), "alter table sites alter column tenant_id drop not null")
    pair.write("update sites set tenant_id = null where site_id = 'S1'")
    with pytest.raises(Exception, match="tenant_id"):
        pair.snapshot()
    assert pair.order_rows(
        "select count(*) from pg_replication_slots where database = current_database()"
    ) == [(0,)]
    pair.write("update sites set tenant_id = 'acme'")
    pair.snapshot()
    pair.assert_mirrored()
