"""What became of a frame: exactly one outcome each, so that counts add up."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """The closed vocabulary; `COUNTED` says under which count of a vehicle each one falls."""

    DECODED = 0
    TRANSPORT = 1
    """Part of a multi-frame transfer, or control (request, flow control, negative reply): carries no signal itself."""
    UNKNOWN_ID = 2
    UNKNOWN_PID = 3
    WRONG_LENGTH = 4
    UNKNOWN_SELECTOR = 5
    NO_TRANSFER = 6
    """Data of a transfer whose beginning was not seen, or that was given up."""
    MALFORMED = 7
    """Contradicts its protocol: an id of too many bits, a count that does not fit its bytes."""
    NO_DECODER = 8
    """The manifest has nothing for the vehicle's model, year and channel."""


COUNTED: dict[Outcome, str] = {
    Outcome.DECODED: "decoded",
    Outcome.TRANSPORT: "transport",
    Outcome.UNKNOWN_ID: "unknown_id",
    Outcome.UNKNOWN_PID: "unknown_id",
    Outcome.WRONG_LENGTH: "wrong_length",
    Outcome.UNKNOWN_SELECTOR: "undecodable",
    Outcome.NO_TRANSFER: "undecodable",
    Outcome.MALFORMED: "undecodable",
    Outcome.NO_DECODER: "no_decoder",
}

KEPT_RAW = frozenset(Outcome) - {Outcome.DECODED, Outcome.TRANSPORT}
"""Outcomes whose frames are handed back as they came."""
