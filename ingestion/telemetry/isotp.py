"""Reassembly of ISO-TP messages (ISO 15765-2): a first frame with the size, then consecutive frames in order.

Only replies are followed: one message at a time comes from an ECU's id. The sequence number counts 1..15, 0, 1.. ; any
other number loses the message. Single frames are no transfers; `single_frame` reads them.
"""

from __future__ import annotations

from ingestion.telemetry.j1939_transport import BusFrame, Step
from ingestion.telemetry.outcomes import Outcome
from ingestion.telemetry.transfers import Loss, OpenTransfers, Protocol, Transfer

_EXTENDED = 1 << 31
_TAKEN = Step(Outcome.TRANSPORT)


def take_isotp(frame: BusFrame, transfers: OpenTransfers) -> Step:
    """Take one first, consecutive or flow control frame; an ECU's are to come in the order of their capture."""
    if len(frame.payload) < 2:
        return Step(Outcome.WRONG_LENGTH)
    kind = frame.payload[0] >> 4
    if kind == 1:
        return _first(frame, transfers)
    if kind == 2:
        return _consecutive(frame, transfers)
    return _TAKEN if kind == 3 else Step(Outcome.MALFORMED)


def _first(frame: BusFrame, transfers: OpenTransfers) -> Step:
    size = (frame.payload[0] & 0x0F) << 8 | frame.payload[1]
    if len(frame.payload) < 8:
        return Step(Outcome.WRONG_LENGTH)
    if size < 8 or size <= len(frame.payload) - 2:
        return Step(Outcome.MALFORMED)
    source = frame.arbitration_id | (_EXTENDED if frame.is_extended else 0)
    transfer = Transfer(
        frame.vehicle, frame.channel, Protocol.ISOTP, source, 0, None, size, frame.captured_us,
        frame.captured_us, bytearray(frame.payload[2:]), have=1,
    )  # fmt: skip
    before = transfers.find(frame.vehicle, transfer.key)
    if before is not None and (before.started_us, before.received) == (
        transfer.started_us,
        transfer.received,
    ):
        return _TAKEN  # delivered twice
    transfers.begin(transfer)
    return _TAKEN


def _consecutive(frame: BusFrame, transfers: OpenTransfers) -> Step:
    source = frame.arbitration_id | (_EXTENDED if frame.is_extended else 0)
    transfer = transfers.find(frame.vehicle, (frame.channel, True, source, 0))
    if transfer is None:
        return Step(Outcome.NO_TRANSFER)
    if abs(frame.captured_us - transfer.last_us) > transfer.silence_us:
        transfers.lose(transfer, Loss.TIMEOUT)
        return Step(Outcome.NO_TRANSFER)
    number, data = transfer.have.bit_length(), frame.payload[1:]
    given = frame.payload[0] & 0x0F
    if given != number & 0x0F:
        again = given == number - 1 & 0x0F and transfer.received.endswith(data) and number > 1
        if not (again and frame.captured_us == transfer.last_us):
            transfers.lose(transfer, Loss.GAP)
        return _TAKEN
    missing = transfer.size - len(transfer.received)
    if len(data) < min(missing, 7):
        transfers.lose(transfer, Loss.GAP)
        return _TAKEN
    transfer.received.extend(data[:missing])
    transfer.have |= 1 << number
    transfers.touch(transfer, frame.captured_us)
    if len(transfer.received) < transfer.size:
        return _TAKEN
    transfers.end(transfer)
    return Step(Outcome.TRANSPORT, transfer)
