"""Change data capture from the order database: a consistent snapshot, then periodic pulls from a slot.

`prepare` publishes and grants, `snapshot` copies, `pull` applies what changed since, `sync` does whichever is
due, `lag` measures. Needs PostgreSQL >= 15 with wal_level=logical on the other side, and psycopg on this one.
"""

from __future__ import annotations

from ingestion.cdc.errors import (
    AlreadyRunningError,
    CdcError,
    NoFreeSlotError,
    NoSnapshotError,
    PublicationError,
    SchemaDriftError,
    SlotMissingError,
    SlotOvertakenError,
    SlotTakenError,
    SnapshotExistsError,
)
from ingestion.cdc.publication import PUBLICATION, TABLES, prepare
from ingestion.cdc.pull import ROUND_CHANGES, SLOT, PullReport, pull
from ingestion.cdc.snapshot import snapshot, sync
from ingestion.cdc.status import Lag, lag

__all__ = [
    "PUBLICATION",
    "ROUND_CHANGES",
    "SLOT",
    "TABLES",
    "AlreadyRunningError",
    "CdcError",
    "Lag",
    "NoFreeSlotError",
    "NoSnapshotError",
    "PublicationError",
    "PullReport",
    "SchemaDriftError",
    "SlotMissingError",
    "SlotOvertakenError",
    "SlotTakenError",
    "SnapshotExistsError",
    "lag",
    "prepare",
    "pull",
    "snapshot",
    "sync",
]
