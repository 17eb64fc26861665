"""How far the mirror is behind, and what the order database keeps on disk for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from ingestion.cdc import ledger, slot
from ingestion.cdc.lsn import format_lsn
from ingestion.cdc.pull import SLOT

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Lag:
    """The slot as both sides see it; sizes in bytes of write-ahead log, None where nothing can be measured."""

    slot: str
    epoch: int | None
    applied_lsn: str | None
    snapshot_at: datetime | None
    pulled_at: datetime | None
    slot_exists: bool
    slot_active: bool
    wal_status: str | None
    lag_bytes: int | None
    retained_bytes: int | None


def lag(source: Connection, warehouse: Connection, *, slot_name: str = SLOT) -> Lag:
    """Measure a slot; changes nothing, and waits for no pull that is at work."""
    known, state = ledger.read_source(warehouse, slot_name), slot.read_state(source, slot_name)
    applied = known.applied_lsn if known else None
    return Lag(
        slot=slot_name,
        epoch=known.epoch if known else None,
        applied_lsn=None if applied is None else format_lsn(applied),
        snapshot_at=known.snapshot_at if known else None,
        pulled_at=ledger.last_pull(warehouse, slot_name),
        slot_exists=state is not None,
        slot_active=state is not None and state.active,
        wal_status=state.wal_status if state else None,
        lag_bytes=state.lag_bytes if state else None,
        retained_bytes=state.retained_bytes if state else None,
    )
