"""Verdicts: which threshold counts, and what stops the line."""

from __future__ import annotations

import pytest

from quality.model import Check, CheckError, Observation, SuiteReport, judge
from quality.rules import Holds, Rows, Value

SHARE = Check("missing", "events", Holds("known"), "doc", warn=0.02, error=0.10)
FLOOR = Check("low", "volume", Value("ratio", floor=True), "doc", warn=0.5, error=0.1)
WARNING = Check("late", "events", Holds("in_time"), "doc", warn=0.05)


@pytest.mark.parametrize(
    ("check", "observed", "passed", "severity", "threshold"),
    [
        (SHARE, 0.0, True, "error", 0.02),
        (SHARE, 0.02, True, "error", 0.02),
        (SHARE, 0.021, False, "warn", 0.02),
        (SHARE, 0.10, False, "warn", 0.02),
        (SHARE, 0.101, False, "error", 0.10),
        (FLOOR, 0.5, True, "error", 0.5),
        (FLOOR, 0.49, False, "warn", 0.5),
        (FLOOR, 0.09, False, "error", 0.1),
        (WARNING, 1.0, False, "warn", 0.05),
    ],
)
def test_the_harder_threshold_that_is_crossed_counts(
    check: Check, observed: float, passed: bool, severity: str, threshold: float
) -> None:
    verdict = judge("gate", check, Observation(observed, 1, 100))
    assert (verdict.passed, verdict.severity, verdict.threshold) == (passed, severity, threshold)


@pytest.mark.parametrize(("check", "severity"), [(SHARE, "error"), (WARNING, "warn")])
def test_what_could_not_be_measured_has_failed_at_its_worst(check: Check, severity: str) -> None:
    verdict = judge("gate", check, Observation(fault="no such table"))
    assert (verdict.passed, verdict.severity, verdict.detail) == (
        False,
        severity,
        "not measured: no such table",
    )


def test_nothing_to_judge_passes_and_says_so() -> None:
    verdict = judge("gate", SHARE, Observation(unexpected=0, total=0))
    assert (verdict.passed, verdict.detail) == (True, "nothing to judge")


def test_only_errors_stop_the_line() -> None:
    warned = judge("gate", WARNING, Observation(1.0, 5, 5))
    failed = judge("gate", SHARE, Observation(0.5, 50, 100))
    fine = judge("gate", SHARE, Observation(0.0, 0, 100))
    assert SuiteReport("gate", None, (warned, fine), 1.0).passed
    report = SuiteReport("gate", None, (warned, failed, fine), 1.0)
    assert not report.passed
    assert (report.errors, report.warnings) == ((failed,), (warned,))
    assert report.summary() == (
        "events.missing: 50 of 100 (50.00%), at most 10.00% allowed;"
        " events.late: 5 of 5 (100.00%), at most 5.00% allowed"
    )


def test_a_passed_suite_says_so_in_one_line() -> None:
    assert SuiteReport("gate", None, (), 0.0).summary() == "all 0 checks passed"


@pytest.mark.parametrize(
    ("rule", "warn", "error", "message"),
    [
        (Holds("x"), None, None, "needs a threshold"),
        (Holds("x"), 0.2, 0.1, "would stop the line before it warns"),
        (Rows(), 1, 2, "would stop the line before it warns"),
    ],
)
def test_a_check_that_contradicts_itself_is_refused(
    rule: Holds | Rows, warn: float | None, error: float | None, message: str
) -> None:
    with pytest.raises(CheckError, match=message):
        Check("c", "s", rule, "doc", warn, error)
