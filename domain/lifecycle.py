"""The life of a shipment: its statuses, and which may follow which.

The transitions are one seed file, `dbt/seeds/shipment_transition.csv`, read by dbt and by `read_transitions` alike.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable

STATUSES = (
    "created",
    "assigned",
    "picked_up",
    "in_transit",
    "out_for_delivery",
    "delivered",
    "failed_attempt",
    "exception",
    "returned",
    "cancelled",
)
MOVING = ("picked_up", "in_transit", "out_for_delivery")
DRIVER_WANTED = (*MOVING, "delivered", "failed_attempt")

Transitions = frozenset[tuple[str | None, str]]


def read_transitions(lines: Iterable[str]) -> Transitions:
    """Read the legal transitions from the seed's lines; None stands before the first event.

    Raises:
        ValueError: a status is not of the lifecycle.
    """
    pairs = [(row["from_status"] or None, row["to_status"]) for row in csv.DictReader(lines)]
    for before, after in pairs:
        if after not in STATUSES or (before is not None and before not in STATUSES):
            raise ValueError(f"transition {before} -> {after}: not a status of the lifecycle")
    return frozenset(pairs)


def judge(statuses: Iterable[str], transitions: Transitions) -> list[bool]:
    """Judge each status of one shipment, in order, against the last legal state; an illegal one changes no state."""
    state: str | None = None
    verdicts = []
    for status in statuses:
        legal = (state, status) in transitions
        verdicts.append(legal)
        state = status if legal else state
    return verdicts
