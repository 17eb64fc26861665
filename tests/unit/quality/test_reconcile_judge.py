"""From counts to a verdict."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from quality.reconcile import Attempt, Cause, Counted, Difference, Note, Verdict, Window, judge

AT = datetime(2026, 11, 20, 12, 20, tzinfo=UTC)
WINDOW = Window("gps_location", "hour", AT.replace(hour=11, minute=0), AT.replace(minute=0))
GONE = Difference("raw objects", Cause.MISSING, "batch 1: its object is gone")
BLIND = Difference("stream", Cause.NOT_COUNTED, "could not ask stream s")


def counted(*differences: Difference, notes: list[Note] | None = None) -> Counted:
    return Counted(WINDOW, AT, {"read": 3}, list(differences), notes or [])


def earlier(verdict: Verdict, *repairs: str) -> Attempt:
    return Attempt(WINDOW, verdict, AT - timedelta(minutes=1), {}, repairs=repairs)


@pytest.mark.parametrize(
    ("differences", "before", "done", "verdict", "repairs"),
    [
        ((), None, (), Verdict.PASSED, ()),
        ((GONE,), None, (), Verdict.DIFFERS, ()),
        ((GONE, BLIND), None, (), Verdict.NOT_COUNTED, ()),
        ((), earlier(Verdict.DIFFERS), ("mended",), Verdict.REPAIRED, ("mended",)),
        ((GONE,), earlier(Verdict.DIFFERS), ("tried",), Verdict.DIFFERS, ("tried",)),
        ((), earlier(Verdict.DIFFERS), (), Verdict.PASSED, ()),
        ((), earlier(Verdict.NOT_COUNTED), (), Verdict.PASSED, ()),
        # Its process died after the repair, before it could say so.
        ((), earlier(Verdict.DIFFERS, "mend"), (), Verdict.REPAIRED, ("mend",)),
        ((), earlier(Verdict.REPAIRED, "mended"), (), Verdict.REPAIRED, ("mended",)),
        (
            (),
            earlier(Verdict.DIFFERS, "queued"),
            ("queued", "mended"),
            Verdict.REPAIRED,
            ("queued", "mended"),
        ),
    ],
)
def test_verdicts(
    differences: tuple[Difference, ...],
    before: Attempt | None,
    done: tuple[str, ...],
    verdict: Verdict,
    repairs: tuple[str, ...],
) -> None:
    found = judge(counted(*differences), before, done)
    assert (found.verdict, found.repairs) == (verdict, repairs)
    assert found.verdict.holds is (verdict in (Verdict.PASSED, Verdict.REPAIRED))


def test_a_cause_that_needs_no_repair_does_not_stand_in_the_way() -> None:
    found = judge(counted(notes=[Note(Cause.LATE, "came after the hour", 4)]), None)
    assert found.verdict is Verdict.PASSED
    assert found.as_dict()["causes"] == [{"cause": "late", "words": "came after the hour", "count": 4}]
