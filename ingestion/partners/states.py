"""The life of a partner's file: its states, and which may follow which. Nothing else decides that."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a file stands, as `ops.partner_file.state` holds it."""

    SEEN = "seen"
    WHOLE = "whole"
    LOADED = "loaded"
    HELD = "held"
    REFUSED = "refused"
    MISSING = "missing"


NEXT: Mapping[State | None, frozenset[State]] = MappingProxyType(
    {
        # A file first appears, or is expected and does not.
        None: frozenset({State.SEEN, State.MISSING}),
        # What was missing came after all.
        State.MISSING: frozenset({State.SEEN}),
        # Its content is here, or it may not even be fetched.
        State.SEEN: frozenset({State.WHOLE, State.REFUSED}),
        State.WHOLE: frozenset({State.LOADED, State.HELD, State.REFUSED}),
        # Somebody approved it, or a later version took its place.
        State.HELD: frozenset({State.WHOLE, State.REFUSED}),
        # Somebody asks for another try, after mending the declaration.
        State.REFUSED: frozenset({State.WHOLE}),
        State.LOADED: frozenset(),
    }
)
ENDED = frozenset({State.LOADED, State.HELD, State.REFUSED})


class IllegalTransitionError(RuntimeError):
    """A file was to go where its state does not lead; the message names the state expected and found."""


def require(before: State | None, after: State) -> None:
    """Refuse a transition that is not one.

    Raises:
        IllegalTransitionError: it is not.
    """
    if after not in NEXT[before]:
        allowed = ", ".join(sorted(NEXT[before])) or "nothing"
        raise IllegalTransitionError(
            f"a file that is {before or 'unknown'} cannot become {after}, only {allowed}"
        )
