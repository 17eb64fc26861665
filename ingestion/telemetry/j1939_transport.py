"""Reassembly of J1939 messages of 9 to 1785 bytes, as a listener on the bus: broadcast (BAM) and connection (RTS/CTS).

Source: SAE J1939-21, 5.10. A message is announced by a TP.CM frame and carried by TP.DT frames of a packet number and
seven bytes. A broadcast's packets come in order or the message is lost; on a connection the receiver asks again for
what it missed, so packets are kept by their number until all are there. One message at a time goes from a source to a
destination; a new announcement ends the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ingestion.telemetry.identifiers import GLOBAL_ADDRESS, TP_CM
from ingestion.telemetry.outcomes import Outcome
from ingestion.telemetry.transfers import Loss, OpenTransfers, Protocol, Transfer, VehicleKey

RTS, CTS, END_OF_MESSAGE_ACK, BAM, ABORT = 16, 17, 19, 32, 255
_PACKET = 7
_SMALLEST, _LARGEST = 9, 1785


class BusFrame(NamedTuple):
    """One frame of a transport protocol."""

    vehicle: VehicleKey
    channel: str
    arbitration_id: int
    is_extended: bool
    captured_us: int
    payload: bytes


@dataclass(frozen=True)
class Step:
    """What a frame was, and the message that it completed."""

    outcome: Outcome
    completed: Transfer | None = None


_TAKEN = Step(Outcome.TRANSPORT)
_MALFORMED = Step(Outcome.MALFORMED)


def take_j1939(frame: BusFrame, transfers: OpenTransfers) -> Step:
    """Take one TP.CM or TP.DT frame; frames of a vehicle and channel are to come in the order of their capture."""
    if len(frame.payload) != 8:
        return Step(Outcome.WRONG_LENGTH)
    source, destination = frame.arbitration_id & 0xFF, frame.arbitration_id >> 8 & 0xFF
    if frame.arbitration_id >> 8 & 0xFF00 == TP_CM:
        return _control(frame, source, destination, transfers)
    return _data(frame, source, destination, transfers)


def _control(frame: BusFrame, source: int, destination: int, transfers: OpenTransfers) -> Step:
    control = frame.payload[0]
    if control in (BAM, RTS):
        return _announce(frame, source, destination, transfers)
    if control not in (CTS, END_OF_MESSAGE_ACK, ABORT):
        return _MALFORMED
    pgn = int.from_bytes(frame.payload[5:8], "little")
    # The receiver answers from its own address: the message goes the other way. Either side may abort.
    ways = [(destination, source)] + ([(source, destination)] if control == ABORT else [])
    for way in ways:
        transfer = transfers.find(frame.vehicle, (frame.channel, False, *way))
        if transfer is None or transfer.pgn != pgn or transfer.protocol is not Protocol.CONNECTION:
            continue
        if _silent(transfer, frame.captured_us):
            transfers.lose(transfer, Loss.TIMEOUT)
        elif control == ABORT:
            transfers.lose(transfer, Loss.ABORTED)
        elif control == END_OF_MESSAGE_ACK:
            transfers.lose(transfer, Loss.GAP)  # the receiver has all of it, this listener has not
        else:
            transfers.touch(transfer, frame.captured_us)
    return _TAKEN


def _announce(frame: BusFrame, source: int, destination: int, transfers: OpenTransfers) -> Step:
    payload = frame.payload
    size, packets = payload[1] | payload[2] << 8, payload[3]
    broadcast = payload[0] == BAM
    if not _SMALLEST <= size <= _LARGEST or packets != -(-size // _PACKET):
        return _MALFORMED
    if broadcast != (destination == GLOBAL_ADDRESS):
        return _MALFORMED
    transfer = Transfer(
        frame.vehicle, frame.channel, Protocol.BAM if broadcast else Protocol.CONNECTION,
        source, destination, int.from_bytes(payload[5:8], "little"), size, frame.captured_us, frame.captured_us,
    )  # fmt: skip
    before = transfers.find(frame.vehicle, transfer.key)
    if before is not None and _same_announcement(before, transfer):
        return _TAKEN
    transfers.begin(transfer)
    return _TAKEN


def _same_announcement(before: Transfer, again: Transfer) -> bool:
    """Tell whether a frame was delivered twice: the same announcement at the same microsecond."""
    return (before.pgn, before.size, before.started_us) == (again.pgn, again.size, again.started_us)


def _data(frame: BusFrame, source: int, destination: int, transfers: OpenTransfers) -> Step:
    transfer = transfers.find(frame.vehicle, (frame.channel, False, source, destination))
    if transfer is None:
        return Step(Outcome.NO_TRANSFER)
    if _silent(transfer, frame.captured_us):
        transfers.lose(transfer, Loss.TIMEOUT)
        return Step(Outcome.NO_TRANSFER)
    number, data = frame.payload[0], frame.payload[1:]
    packets = -(-transfer.size // _PACKET)
    if not 1 <= number <= packets:
        transfers.lose(transfer, Loss.GAP)
        return _TAKEN
    start = _PACKET * (number - 1)
    if transfer.protocol is Protocol.BAM and transfer.have >> (number - 1) != 0:
        if frame.captured_us == transfer.last_us and transfer.received[start:] == data:
            return _TAKEN  # the last packet, delivered twice
        transfers.lose(transfer, Loss.GAP)
        return _TAKEN
    if transfer.protocol is Protocol.BAM and number != transfer.have.bit_length() + 1:
        transfers.lose(transfer, Loss.GAP)
        return _TAKEN
    return _keep(transfer, number, start, data, packets, frame.captured_us, transfers)


def _keep(
    transfer: Transfer,
    number: int,
    start: int,
    data: bytes,
    packets: int,
    captured_us: int,
    transfers: OpenTransfers,
) -> Step:
    if len(transfer.received) < start:
        transfer.received.extend(bytes(start - len(transfer.received)))
    transfer.received[start : start + _PACKET] = data
    transfer.have |= 1 << (number - 1)
    transfers.touch(transfer, captured_us)
    if transfer.have != (1 << packets) - 1:
        return _TAKEN
    transfers.end(transfer)
    del transfer.received[transfer.size :]
    return Step(Outcome.TRANSPORT, transfer)


def _silent(transfer: Transfer, captured_us: int) -> bool:
    return abs(captured_us - transfer.last_us) > transfer.silence_us
