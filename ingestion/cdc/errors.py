"""What can go wrong between the order database and its mirror; each message says what to do."""

from __future__ import annotations

RECREATE = "`fleetflow cdc snapshot --re-create` makes a new slot and compares every row again"


class CdcError(Exception):
    """A fault of the mirror's surroundings, not of the program."""


class NoSnapshotError(CdcError):
    """There is nothing to pull from yet: the first snapshot was never finished."""


class SnapshotExistsError(CdcError):
    """The slot was snapshotted before; a second snapshot has to be asked for."""


class SlotMissingError(CdcError):
    """The ledger knows a slot that the order database does not have."""


class SlotTakenError(CdcError):
    """The order database has a slot of this name that this warehouse knows nothing of."""


class SlotOvertakenError(CdcError):
    """The slot no longer holds what was not applied yet: changes are lost to it."""


class AlreadyRunningError(CdcError):
    """Another pull or snapshot of the same slot is at work."""


class NoFreeSlotError(CdcError):
    """The order database has no slot left for the pull's temporary one."""


class PublicationError(CdcError):
    """The publication is missing, or publishes something else than the mirrors expect."""


class SchemaDriftError(CdcError):
    """A column was renamed or changed its type; nothing after that change was applied."""

    def __init__(self, entity: str, change: str, detail: str, lsn: int = 0) -> None:
        super().__init__(
            f"{entity}: {detail}; the mirror stops before it. Once the mirror may follow, {RECREATE}"
        )
        self.entity = entity
        self.change = change
        self.detail = detail
        self.lsn = lsn
