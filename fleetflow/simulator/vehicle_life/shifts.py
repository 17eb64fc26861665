"""One shift as steps: work, driving in trips, breaks. Whole minutes.

A usual shift is lawful under Regulation (EC) 561/2006: no stint of driving beyond 4 h 30, breaks of 45 or 15 and 30
minutes, at most 9 h of driving (10 h where the order says so). What the caller orders beyond that is an infringement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import NamedTuple

MOST_OF_A_STINT = 262
SHORTEST_STOP = 8
NO_BREAK_STINT = (296, 340)


class Kind(StrEnum):
    """What a step is, in the words of the driver_activity feed."""

    DRIVING = "driving"
    WORK = "other_work"
    AVAILABLE = "availability"
    REST = "rest"


class Step(NamedTuple):
    """One thing done for so many minutes."""

    kind: Kind
    minutes: int


class Shape(StrEnum):
    """How a shift is laid out: usual breaks, a break in two parts, or the first one left out."""

    USUAL = "usual"
    SPLIT_BREAK = "split_break"
    NO_BREAK = "no_break"


@dataclass(frozen=True, slots=True)
class Order:
    """What a shift is to be: minutes of driving in all, its shape, and bounds of its length in minutes."""

    driving: int
    shape: Shape = Shape.USUAL
    least_span: int = 0
    most_span: int = 740


@dataclass(frozen=True, slots=True)
class Style:
    """How a class of vehicle works: minutes of a trip on average, of a stop, of driving on a usual day."""

    trip: int
    stop: tuple[int, int]
    driving: int


STYLES = {
    "van": Style(34, (8, 14), 320),
    "truck": Style(75, (12, 22), 420),
    "tractor": Style(130, (18, 32), 480),
}


def lay_out(rng: Random, order: Order, style: Style) -> tuple[Step, ...]:
    """Lay out a shift; it has exactly the ordered minutes of driving."""
    steps = [Step(Kind.WORK, rng.randrange(12, 19))]
    stints = list(_stints(rng, order))
    for number, stint in enumerate(stints):
        last = number == len(stints) - 1
        steps += _stint(rng, stint, style, order.shape, last=last)
    steps.append(Step(Kind.WORK, rng.randrange(10, 16)))
    return _fitted(steps, order)


def span(steps: tuple[Step, ...]) -> int:
    """Return the minutes of a shift."""
    return sum(step.minutes for step in steps)


def _stints(rng: Random, order: Order) -> Iterator[int]:
    left = order.driving
    if order.shape is Shape.NO_BREAK:
        first = rng.randrange(*NO_BREAK_STINT)
        yield first
        left -= first
    count = -(-left // MOST_OF_A_STINT)
    for rest in range(count, 0, -1):
        fair = left / rest
        room = min(MOST_OF_A_STINT - fair, 18) if rest > 1 else 0
        stint = round(fair + (rng.random() * 2 - 1) * room)
        # What is left must still fit into the stints that follow.
        stint = min(MOST_OF_A_STINT, max(stint, left - MOST_OF_A_STINT * (rest - 1)))
        yield stint
        left -= stint


def _stint(rng: Random, minutes: int, style: Style, shape: Shape, *, last: bool) -> Iterator[Step]:
    """Trips with stops between them, and the break after them."""
    count = max(1, round(minutes / style.trip))
    if shape is Shape.SPLIT_BREAK and not last:
        count = max(2, count)
    in_parts = shape is Shape.SPLIT_BREAK and not last
    for number, trip in enumerate(_trips(rng, minutes, count)):
        if number and in_parts and number == (count + 1) // 2:
            yield Step(Kind.REST, rng.randrange(16, 21))
        elif number:
            yield Step(Kind.WORK, rng.randrange(*style.stop))
        yield Step(Kind.DRIVING, trip)
    if not last:
        yield Step(Kind.REST, rng.randrange(31, 37) if in_parts else rng.randrange(46, 57))


def _trips(rng: Random, minutes: int, count: int) -> Iterator[int]:
    left = minutes
    for rest in range(count, 0, -1):
        fair = left / rest
        trip = left if rest == 1 else max(10, round(fair * rng.uniform(0.7, 1.3)))
        trip = min(trip, left - 10 * (rest - 1))
        yield trip
        left -= trip


def _fitted(steps: list[Step], order: Order) -> tuple[Step, ...]:
    """Shorten stops, then lengthen the last work, until the shift is as long as ordered."""
    over = sum(step.minutes for step in steps) - order.most_span
    for place, step in enumerate(steps):
        if over > 0 and step.kind is Kind.WORK and step.minutes > SHORTEST_STOP:
            cut = min(over, step.minutes - SHORTEST_STOP)
            steps[place] = Step(step.kind, step.minutes - cut)
            over -= cut
    lacking = order.least_span - sum(step.minutes for step in steps)
    if lacking > 0:
        steps[-1] = Step(Kind.WORK, steps[-1].minutes + lacking)
    return tuple(steps)
