"""Completes rows that a change tells only in part, from the version of the row before it.

Of a deleted row only the key is known; of an updated one a value that lies out of line and did not change is left out
(TOAST). The version before is the one before it in the same segment, else the mirror's current row. A segment holds one
version a row change, in the order of the changes. Keys are compared as they are spelled: see `mirror.KEY_TYPES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ingestion.cdc.pgoutput import KEY, Values, read_values

_FORM = 5


def link(keys: Iterable[bytes], moved: Iterable[int]) -> tuple[list[int], dict[bytes, int]]:
    """Return for each row the place of the version before it (-1: none here), and each key's last place.

    `moved` are the places of rows that got a new key: the version before is the deletion right before it.
    """
    previous: list[int] = []
    last: dict[bytes, int] = {}
    before, follow = last.get, previous.append
    for place, key in enumerate(keys):
        follow(before(key, -1))
        last[key] = place
    for place in moved:
        previous[place] = place - 1
    return previous, last


def take_over(messages: list[bytes], gone: Iterable[int], previous: Sequence[int]) -> set[int]:
    """Put the message of the version before in the place of each deleted row's; return the places without one here."""
    left: set[int] = set()
    for place in gone:
        before = previous[place]
        if before < 0 or before in left:
            left.add(place)
        else:
            messages[place] = messages[before]
    return left


def complete(
    messages: Sequence[bytes],
    places: Iterable[int],
    previous: Sequence[int],
    keys: Sequence[bytes],
    form: int,
    fetch: Callable[[list[bytes]], Mapping[bytes, Values]],
) -> dict[int, Values]:
    """Return the values of the rows at these places, filled in; `fetch` gives the current rows of keys.

    Raises:
        FormError: a value has not the form that was asked for.
    """
    ordered = sorted(places)
    wanted = sorted({keys[place] for place in ordered if previous[place] < 0})
    current = fetch(wanted) if wanted else {}
    whole: dict[int, Values] = {}
    for place in ordered:
        values, kept = read_values(messages[place], form)
        is_gone = messages[place][_FORM] == KEY
        if is_gone or kept:
            before = _before(previous[place], messages, whole, form) or current.get(keys[place])
            if before is not None:
                values = before if is_gone else _filled(values, kept, before)
        whole[place] = values
    return whole


def _before(place: int, messages: Sequence[bytes], whole: Mapping[int, Values], form: int) -> Values | None:
    if place < 0:
        return None
    return whole[place] if place in whole else read_values(messages[place], form)[0]


def _filled(values: Values, kept: Iterable[int], before: Values) -> Values:
    filled = list(values)
    for position in kept:
        filled[position] = before[position]
    return filled
