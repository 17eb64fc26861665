"""Makes the repairs that differences ask for: each arm from the one that still has the data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

import botocore.exceptions

from fleetflow.landing import feeds_of
from fleetflow.reconciliation_arms import LakeBooks, RawBucket
from fleetflow.runtime import client
from fleetflow.settings import Settings
from ingestion.landing import rebuild
from ingestion.landing.ledger import Ledger
from ingestion.landing.raw_object import put_object
from quality.reconcile import Arms, Difference, Mend

log = logging.getLogger("fleetflow.reconciliation")


@dataclass(frozen=True)
class Repair:
    """One repair to make; `words` say what is set out to be done."""

    mend: Mend
    batch_ids: tuple[int, ...]
    pipeline: str | None
    words: str


class Repairs:
    """Plans and makes repairs, on connections of its own; a context manager that closes them."""

    def __init__(self, settings: Settings, step: Callable[[str], None]) -> None:
        self._settings = settings
        self._step = step
        self._ledger = Ledger(settings.dsn("loader"))
        self._s3 = client(settings, "s3")
        self._kinesis = client(settings, "kinesis")
        self._bucket = RawBucket(settings)

    def __enter__(self) -> Repairs:
        """Open nothing yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._ledger.close()

    def plan(self, differences: Iterable[Difference]) -> tuple[Repair, ...]:
        """Return what could mend the differences: objects first, then rows, then what the pipelines make of them."""
        wanted: dict[tuple[Mend, str | None], list[int]] = {}
        for difference in differences:
            if difference.mend is not None and difference.batch_id is not None:
                ids = wanted.setdefault((difference.mend, difference.pipeline), [])
                if difference.batch_id not in ids:
                    ids.append(difference.batch_id)
        plans: list[Repair] = []
        for mend in (Mend.OBJECT, Mend.ROWS):
            for batch_id in wanted.pop((mend, None), []):
                what = "raw object" if mend is Mend.OBJECT else "rows in landing"
                plans.append(Repair(mend, (batch_id,), None, f"repair the {what} of batch {batch_id}"))
        for (mend, pipeline), ids in wanted.items():
            words = f"queue batches {', '.join(map(str, ids))} for {pipeline}"
            plans.append(Repair(mend, tuple(ids), pipeline, words))
        return tuple(plans)

    def make(self, repairs: Sequence[Repair]) -> tuple[str, ...]:
        """Make the repairs; return in words what was done. What cannot be mended stays a difference."""
        done = []
        for repair in repairs:
            try:
                words = self._make(repair)
            except rebuild.ArmGone as gone:
                log.error("%s: %s", repair.words, gone)
                continue
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as fault:
                log.error("%s: %s", repair.words, fault)
                continue
            log.warning("%s", words)
            done.append(words)
        return tuple(done)

    def after(self, arms: Arms) -> Arms:
        """Return the arms with what a repair may have changed asked anew."""
        return replace(arms, count_lake=LakeBooks(self._settings).count)

    def _make(self, repair: Repair) -> str:
        if repair.pipeline is not None:
            refold = repair.mend is Mend.REFOLD
            rebuild.queue_again(self._ledger, repair.pipeline, repair.batch_ids, refold=refold)
            ids = ", ".join(map(str, repair.batch_ids))
            return f"batches {ids} queued for {repair.pipeline}" + (" to be made anew" if refold else "")
        with self._ledger.transaction() as cursor:
            batch = rebuild.read_batch(cursor, repair.batch_ids[0])
        recovered = self._recover(batch)
        if repair.mend is Mend.OBJECT:
            arm = rebuild.rebuild_object(self._ledger, batch, recovered, self._put, self._step)
            return f"raw object of batch {batch.batch_id} rebuilt from {arm}"
        rows, arm = rebuild.reland_rows(self._ledger, batch, recovered, self._bucket.table, self._step)
        return f"{rows} rows of batch {batch.batch_id} landed again from {arm}"

    def _recover(self, batch: rebuild.LandedBatch) -> rebuild.Recovered | None:
        feeds = feeds_of(self._settings).get(batch.stream or "")
        return rebuild.recover(self._kinesis, batch, feeds) if feeds else None

    def _put(self, key: str, body: bytes) -> None:
        put_object(self._s3, self._settings.raw_bucket, key, body)
