"""Which fixes say a believable time of themselves: a condition of SQL, the same wherever fixes are read.

`future` and `outdated` are the rules of `domain.tracks`; beside these, a fix from before 2010, or from after the run's
own clock, is from a clock that was never set. What is refused here is counted by event and never folded, so a clock
at 1970 does not take its vehicle back to 1970.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.tracks import CleaningRules

_RULES = CleaningRules()
assert _RULES.future_after_s is not None
assert _RULES.outdated_after_s is not None
FUTURE = timedelta(seconds=_RULES.future_after_s)
OUTDATED = timedelta(seconds=_RULES.outdated_after_s)
# Clocks that were never set stand at 1970, at GPS's epochs of 1980 and 1999, or a rollover of 1,024 weeks back.
FLOOR = datetime(2010, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)

TOO_LATE = "(e.fixed_at > e.recorded_at + {future} or e.fixed_at > {ceiling})"
TOO_OLD = "(e.fixed_at < {floor} or e.recorded_at > e.fixed_at + {outdated})"


def limits(now: datetime) -> dict[str, Any]:
    """Return the values of the condition's parameters, by name."""
    return {"future": FUTURE, "ceiling": now + AHEAD, "floor": FLOOR, "outdated": OUTDATED}


def condition(template: str, number_from: int | None = None) -> str:
    """Return a condition with psycopg's named places, or with ADBC's numbered ones from a number on."""
    names = ("future", "ceiling", "floor", "outdated")
    kinds = ("interval", "timestamptz", "timestamptz", "interval")
    if number_from is None:
        return template.format(**{name: f"%({name})s" for name in names})
    return template.format(
        **{n: f"${number_from + at}::{kind}" for at, (n, kind) in enumerate(zip(names, kinds, strict=True))}
    )
