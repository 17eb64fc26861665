"""A state as plain values and back: what a warehouse keeps to go on from.

Plain values are lists, numbers, booleans and None, for any serializer. `VERSION` counts what a state is made of and how
the rules read it: whoever changes either raises it, and states of another version are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from domain.driver_hours.engine import State
from domain.driver_hours.model import Kind, Stretch
from domain.driver_hours.weekly_rest import Debt, Rest, Week

VERSION = 1
_TRACKERS = ("breaks", "days", "driving", "spacing", "weekly_rests")
_KINDS = tuple(Kind)
_KIND_CODE = {kind: code for code, kind in enumerate(_KINDS)}


class CodecError(ValueError):
    """These values are no state of this version."""


def dump(state: State) -> list[Any]:
    """Return a state as plain values."""
    last = None if state.last is None else _dump_stretch(state.last)
    return [last, *(_dump_tracker(getattr(state, name)) for name in _TRACKERS)]


def load(values: Sequence[Any]) -> State:
    """Return the state that was dumped.

    Raises:
        CodecError: the values are of another shape.
    """
    state = State()
    try:
        last, *trackers = values
        state.last = None if last is None else _load_stretch(last)
        for name, fields in zip(_TRACKERS, trackers, strict=True):
            tracker = getattr(state, name)
            for slot, value in zip(tracker.__slots__, fields, strict=True):
                setattr(tracker, slot, _load_field(slot, value))
    except (TypeError, ValueError, IndexError) as fault:
        raise CodecError(f"no state of version {VERSION}: {fault}") from None
    return state


def _dump_tracker(tracker: Any) -> list[Any]:
    return [_dump_field(slot, getattr(tracker, slot)) for slot in tracker.__slots__]


def _dump_field(slot: str, value: Any) -> Any:
    if slot == "stretches":
        return [_dump_stretch(stretch) for stretch in value]
    return [list(row) for row in value] if slot in _ROWS else value


def _load_field(slot: str, value: Any) -> Any:
    if slot == "stretches":
        return tuple(_load_stretch(row) for row in value)
    return tuple(_ROWS[slot](*row) for row in value) if slot in _ROWS else value


_ROWS: dict[str, Any] = {"rests": Rest, "closed": Week, "debts": Debt}


def _dump_stretch(stretch: Stretch) -> list[Any]:
    start, end, kind, crew, ferry, proven, run = stretch
    return [start, end, _KIND_CODE[kind], crew, ferry, proven, run]


def _load_stretch(row: Sequence[Any]) -> Stretch:
    start, end, kind, crew, ferry, proven, run = row
    return Stretch(start, end, _KINDS[kind], crew, ferry, proven, run)
