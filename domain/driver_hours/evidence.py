"""Art. 34(3) Reg. 165/2014: rest that nothing recorded.

Unknown and inferred time counts as rest, so that missing data accuses nobody, but it proves none. A rest comes
as UNPROVEN_REST where its longest proven run would count for less than the whole does: as no break, as a break
but no daily rest, and so on.
"""

from __future__ import annotations

from bisect import bisect_right

from domain.driver_hours import limits
from domain.driver_hours.model import REST, Finding, Rule, Stretch

# Why an infringement is not proven.
INFERRED = "activity is inferred in part: it may have been rest"
_IN_PART = "inferred in part"
# What a rest may count as: part of a break, break, part of a daily rest, daily rests, weekly rests.
_STEPS = (
    limits.FIRST_PART_OF_BREAK, limits.SECOND_PART_OF_BREAK, limits.FULL_BREAK, limits.FIRST_PART_OF_DAILY_REST,
    limits.REDUCED_DAILY_REST.minutes, limits.REGULAR_DAILY_REST.minutes,
    limits.REDUCED_WEEKLY_REST.minutes, limits.REGULAR_WEEKLY_REST.minutes,
)  # fmt: skip


def unproven_rest(stretch: Stretch, found: list[Finding]) -> None:
    """Ask for evidence if a rest counts for more than what is proven of it."""
    length = stretch.end - stretch.start
    if stretch.kind is not REST or stretch.proven == length:
        return
    step = bisect_right(_STEPS, length)
    if step and bisect_right(_STEPS, stretch.proven) < step:
        found.append(
            Finding(
                Rule.UNPROVEN_REST, "34(3) of 165/2014", stretch.start, stretch.end, stretch.start,
                stretch.proven, _STEPS[step - 1], needs_evidence=True,
                reason="unrecorded or inferred time counts as rest here: needs a manual entry or attestation",
            )
        )  # fmt: skip


def is_inferred(finding: Finding) -> bool:
    """Say whether a violation rests on activities that are only inferred."""
    return finding.needs_evidence and _IN_PART in finding.reason
