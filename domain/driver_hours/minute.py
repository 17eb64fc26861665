"""From seconds to minutes: Reg. 2016/799 Annex IC, requirements 050 to 052.

The recording equipment does this before data reaches us; here it is for sources that report seconds.
Requirement 049 (a change to rest within 120 s of the automatic change to work counts from the stop) needs to
know which change was automatic: only the equipment does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from domain.driver_hours.model import Kind

_MINUTE = 60


def whole_minutes(runs: Iterable[tuple[Kind, int]]) -> list[Kind]:
    """Return the kind of each minute of runs (kind, seconds) that follow each other.

    The last minute may be incomplete. A minute takes its longest continuous activity, of equals the latest
    (052); between two minutes of driving it is driving (051). The neighbours are judged before 051, so that it
    does not feed itself.
    """
    plain = [_longest(parts) for parts in _cut(_joined(runs))]
    return [
        Kind.DRIVING if _between_driving(plain, place) else kind for place, kind in enumerate(plain)
    ]  # fmt: skip


def _between_driving(plain: Sequence[Kind], place: int) -> bool:
    inside = 0 < place < len(plain) - 1
    return inside and plain[place - 1] is Kind.DRIVING and plain[place + 1] is Kind.DRIVING


def _joined(runs: Iterable[tuple[Kind, int]]) -> list[tuple[Kind, int]]:
    joined: list[tuple[Kind, int]] = []
    for kind, seconds in runs:
        if seconds <= 0:
            continue
        if joined and joined[-1][0] is kind:
            joined[-1] = (kind, joined[-1][1] + seconds)
        else:
            joined.append((kind, seconds))
    return joined


def _cut(runs: list[tuple[Kind, int]]) -> list[list[tuple[Kind, int]]]:
    """Return the runs of each minute, in order."""
    minutes: list[list[tuple[Kind, int]]] = []
    second = 0
    for kind, length in runs:
        end = second + length
        while second < end:
            if second % _MINUTE == 0:
                minutes.append([])
            part = min(end, (second // _MINUTE + 1) * _MINUTE) - second
            minutes[-1].append((kind, part))
            second += part
    return minutes


def _longest(parts: Sequence[tuple[Kind, int]]) -> Kind:
    place = max(range(len(parts)), key=lambda part: (parts[part][1], part))
    return parts[place][0]
