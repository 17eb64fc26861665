"""Messages of more than one frame on their way: what was received of each, handed from batch to batch as a table."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pyarrow as pa

from ingestion.telemetry.frames import INSTANT

OPEN_TRANSFERS = pa.schema(
    [
        pa.field("tenant_id", pa.string(), nullable=False),
        pa.field("vehicle_id", pa.string(), nullable=False),
        pa.field("channel", pa.string(), nullable=False),
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("source", pa.int64(), nullable=False),
        pa.field("destination", pa.int64(), nullable=False),
        pa.field("pgn", pa.int64()),
        pa.field("size", pa.int32(), nullable=False),
        pa.field("started_at", INSTANT, nullable=False),
        pa.field("last_at", INSTANT, nullable=False),
        pa.field("received", pa.binary(), nullable=False),
        pa.field("packets", pa.list_(pa.int32()), nullable=False),
    ]
)
"""A row is a message begun. `source` and `destination` are J1939 addresses; of ISO-TP `source` is the arbitration id
(bit 31: extended) and `destination` 0. `received` has the bytes so far at their places, `packets` the packets (from 0).
"""
LOST_TRANSFERS = pa.schema([*OPEN_TRANSFERS, pa.field("reason", pa.string(), nullable=False)])
"""A row is a message that gave no signals, and why (`Loss`)."""


class Loss(StrEnum):
    """Why a message of several frames gave nothing."""

    TIMEOUT = "timeout"
    GAP = "gap"
    ABORTED = "aborted"
    RESTARTED = "restarted"
    EVICTED = "evicted"
    UNKNOWN_PGN = "unknown_pgn"
    UNKNOWN_PID = "unknown_pid"
    TOO_SHORT = "too_short"
    UNKNOWN_SELECTOR = "unknown_selector"
    MALFORMED = "malformed"


class Protocol(StrEnum):
    """Who cut the message into frames."""

    BAM = "bam"
    CONNECTION = "connection"
    ISOTP = "isotp"


VehicleKey = tuple[str, str]
"""Tenant and vehicle."""
TransferKey = tuple[str, bool, int, int]
"""Channel, whether ISO-TP, source, destination: at most one message at a time."""


@dataclass(slots=True)
class Transfer:
    """One message on its way; `have` is the set of packet numbers received, as bits."""

    vehicle: VehicleKey
    channel: str
    protocol: Protocol
    source: int
    destination: int
    pgn: int | None
    size: int
    started_us: int
    last_us: int
    received: bytearray = field(default_factory=bytearray)
    have: int = 0

    @property
    def key(self) -> TransferKey:
        """What it is found by among the vehicle's."""
        return self.channel, self.protocol is Protocol.ISOTP, self.source, self.destination

    @property
    def silence_us(self) -> int:
        """How long it may be silent (see the modules of the protocols)."""
        return SILENCE_US[self.protocol]

    @property
    def packets(self) -> list[int]:
        """Which packets were received."""
        return [number for number in range(self.have.bit_length()) if self.have >> number & 1]


SILENCE_US = {Protocol.BAM: 750_000, Protocol.CONNECTION: 1_250_000, Protocol.ISOTP: 1_000_000}
"""T1 between packets of a broadcast; T2 = T3, the longest wait of either side of a connection, as a listener does not
always hear both (SAE J1939-21, 5.10 and appendix C); N_Cr between consecutive frames (ISO 15765-2).
"""


@dataclass(frozen=True)
class Lost:
    """A transfer that ended without signals."""

    transfer: Transfer
    reason: Loss


class OpenTransfers:
    """All transfers under way, by vehicle, the least recently touched first; bounded per vehicle and in all."""

    def __init__(self, per_vehicle: int, in_all: int) -> None:
        self.per_vehicle = per_vehicle
        self.in_all = in_all
        self.lost: list[Lost] = []
        self._by_vehicle: dict[VehicleKey, OrderedDict[TransferKey, Transfer]] = {}

    def find(self, vehicle: VehicleKey, key: TransferKey) -> Transfer | None:
        """Return the transfer under a key."""
        mine = self._by_vehicle.get(vehicle)
        return mine.get(key) if mine else None

    def begin(self, transfer: Transfer) -> None:
        """Put a transfer in; one under the same key is lost as restarted, too many of a vehicle push its oldest out."""
        mine = self._by_vehicle.setdefault(transfer.vehicle, OrderedDict())
        before = mine.get(transfer.key)
        if before is not None:
            silent = abs(transfer.started_us - before.last_us) > before.silence_us
            self.lose(before, Loss.TIMEOUT if silent else Loss.RESTARTED)
        elif len(mine) >= self.per_vehicle:
            self.lose(next(iter(mine.values())), Loss.EVICTED)
        self._by_vehicle.setdefault(transfer.vehicle, mine)[transfer.key] = transfer

    def touch(self, transfer: Transfer, captured_us: int) -> None:
        """Note that it lives."""
        transfer.last_us = captured_us
        self._by_vehicle[transfer.vehicle].move_to_end(transfer.key)

    def end(self, transfer: Transfer) -> None:
        """Take it out."""
        mine = self._by_vehicle[transfer.vehicle]
        del mine[transfer.key]
        if not mine:
            del self._by_vehicle[transfer.vehicle]

    def lose(self, transfer: Transfer, reason: Loss) -> None:
        """Take it out as lost."""
        self.end(transfer)
        self.lost.append(Lost(transfer, reason))

    def expire(self, vehicle: VehicleKey, now_us: int) -> None:
        """Lose what was silent for too long at a moment of the vehicle's own clock."""
        for transfer in list(self._by_vehicle.get(vehicle, {}).values()):
            if now_us - transfer.last_us > transfer.silence_us:
                self.lose(transfer, Loss.TIMEOUT)

    def bound(self) -> None:
        """Lose the longest silent ones of all vehicles beyond the bound."""
        there = sorted(self._every(), key=lambda transfer: transfer.last_us)
        for transfer in there[: max(0, len(there) - self.in_all)]:
            self.lose(transfer, Loss.EVICTED)

    def table(self) -> pa.Table:
        """Return all as a table of `OPEN_TRANSFERS`."""
        return pa.table(_columns(list(self._every())), schema=OPEN_TRANSFERS)

    def _every(self) -> Iterator[Transfer]:
        for mine in self._by_vehicle.values():
            yield from mine.values()


def open_transfers(table: pa.Table | None, per_vehicle: int, in_all: int) -> OpenTransfers:
    """Take up what the batch before left open; none for the first batch."""
    found = OpenTransfers(per_vehicle, in_all)
    if table is None:
        return found
    instants = [field.name for field in OPEN_TRANSFERS if field.type == INSTANT]
    plain = table.cast(OPEN_TRANSFERS)
    for name in instants:
        plain = plain.set_column(plain.column_names.index(name), name, plain[name].cast(pa.int64()))
    for row in plain.to_pylist():
        found.begin(
            Transfer(
                (row["tenant_id"], row["vehicle_id"]), row["channel"], Protocol(row["protocol"]),
                row["source"], row["destination"], row["pgn"], row["size"], row["started_at"], row["last_at"],
                bytearray(row["received"]), sum(1 << number for number in row["packets"]),
            )
        )  # fmt: skip
    return found


def lost_table(lost: Sequence[Lost]) -> pa.Table:
    """Return lost transfers as a table of `LOST_TRANSFERS`."""
    columns = _columns([one.transfer for one in lost])
    return pa.table(columns | {"reason": [one.reason.value for one in lost]}, schema=LOST_TRANSFERS)


def _columns(transfers: Sequence[Transfer]) -> dict[str, list[Any]]:
    return {
        "tenant_id": [one.vehicle[0] for one in transfers],
        "vehicle_id": [one.vehicle[1] for one in transfers],
        "channel": [one.channel for one in transfers],
        "protocol": [one.protocol.value for one in transfers],
        "source": [one.source for one in transfers],
        "destination": [one.destination for one in transfers],
        "pgn": [one.pgn for one in transfers],
        "size": [one.size for one in transfers],
        "started_at": [one.started_us for one in transfers],
        "last_at": [one.last_us for one in transfers],
        "received": [bytes(one.received) for one in transfers],
        "packets": [one.packets for one in transfers],
    }
