"""OBD-II replies: mode 01 PIDs to signals, services 03, 07 and 0A to trouble codes.

A reply is a service byte (0x40 + the service), then for mode 01 each PID with its data, up to six (SAE J1979). Where
one PID ends and the next begins follows from their lengths alone, so a reply with a PID of unknown length is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingestion.telemetry.extract import Integers, Payloads, raw_values, scaled_values
from ingestion.telemetry.obd_pids import PID_BYTES, PID_FIELDS
from ingestion.telemetry.outcomes import Outcome
from ingestion.telemetry.routes import Route
from ingestion.telemetry.rows import SignalRows
from ingestion.telemetry.trouble_codes import SERVICES, TroubleCodeRows

CURRENT_DATA, NEGATIVE = 0x41, 0x7F
_MOST_PIDS = 6
_SIZES = np.zeros(256, np.int64)
_SIZES[list(PID_BYTES)] = list(PID_BYTES.values())

Outcomes = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Replies:
    """Replies without their transport's bytes. `rows`: places of their (last) frames in the batch."""

    payloads: Payloads
    lengths: Integers
    rows: Integers


def decode_replies(replies: Replies, route: Route, signals: SignalRows, codes: TroubleCodeRows) -> Outcomes:
    """Decode replies of any service; return an `Outcome` for each."""
    outcomes = np.full(len(replies.rows), Outcome.UNKNOWN_PID, np.int8)
    service = replies.payloads.byte(0)
    outcomes[service == NEGATIVE] = Outcome.TRANSPORT
    current = np.flatnonzero(service == CURRENT_DATA)
    if len(current):
        outcomes[current] = _current_data(_some(replies, current), route, signals)
    for number in SERVICES:
        chosen = np.flatnonzero(service == number)
        if len(chosen):
            part = _some(replies, chosen)
            sound = codes.add_replies(part.payloads, part.lengths, part.rows, number, route, signals)
            outcomes[chosen] = np.where(sound, Outcome.DECODED, Outcome.MALFORMED)
    return outcomes


def _some(replies: Replies, chosen: Integers) -> Replies:
    return Replies(replies.payloads.take(chosen), replies.lengths[chosen], replies.rows[chosen])


def _current_data(replies: Replies, route: Route, signals: SignalRows) -> Outcomes:
    """Walk all replies at once from PID to PID, then decode those that came out even."""
    n = len(replies.rows)
    place = np.ones(n, np.int64)
    unknown = np.zeros(n, np.bool_)
    steps: list[tuple[Integers, Integers, Integers]] = []
    going = np.flatnonzero(replies.lengths > 1)
    for _ in range(_MOST_PIDS):
        if not len(going):
            break
        at = replies.payloads.offsets[going] + place[going]
        pid = replies.payloads.buffer[at].astype(np.int64)
        size = _SIZES[pid]
        unknown[going[size == 0]] = True
        steps.append((going, pid, at + 1))
        place[going] += 1 + size
        going = going[(size > 0) & (place[going] < replies.lengths[going])]
    even = (place == replies.lengths) & (place > 1) & ~unknown
    for which, pid, at in steps:
        _add_pids(replies, even, which, pid, at, route, signals)
    return np.where(unknown, Outcome.UNKNOWN_PID, np.where(even, Outcome.DECODED, Outcome.MALFORMED)).astype(
        np.int8
    )


def _add_pids(
    replies: Replies, even: npt.NDArray[np.bool_], which: Integers, pid: Integers, at: Integers,
    route: Route, signals: SignalRows,
) -> None:  # fmt: skip
    for number in np.unique(pid).tolist():
        chosen = (pid == number) & even[which]
        data = Payloads(replies.payloads.buffer, at[chosen])
        for field in PID_FIELDS.get(number, ()):
            values = scaled_values(raw_values(data, field), field, signals.words)
            signals.add(field, route.decoder, True, replies.rows[which[chosen]], values)
