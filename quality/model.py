"""A check, what it observed, and the verdict that we draw from it ourselves.

Great Expectations knows only success; whether a failure stops the line is decided here, by two thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from quality.rules import Rule, is_floor

Severity = Literal["error", "warn"]


class CheckError(ValueError):
    """A check contradicts itself, or a suite, run or subject of that name does not exist."""


@dataclass(frozen=True)
class Check:
    """One rule on one subject, and from where on it is worth a warning or stops the line.

    `warn` and `error` are thresholds on what the rule observes: crossed means beyond, equal is still fine.
    A check without `error` never stops anything.
    """

    name: str
    subject: str
    rule: Rule
    doc: str
    warn: float | None = None
    error: float | None = None

    def __post_init__(self) -> None:
        """Refuse a check that cannot fail, and one that stops the line before it warns."""
        if self.warn is None and self.error is None:
            raise CheckError(f"{self.subject}.{self.name}: needs a threshold")
        if self.warn is not None and self.error is not None:
            milder, harder = (self.error, self.warn) if is_floor(self.rule) else (self.warn, self.error)
            if milder > harder:
                raise CheckError(f"{self.subject}.{self.name}: would stop the line before it warns")

    @property
    def severity(self) -> Severity:
        """The worst that this check can say."""
        return "warn" if self.error is None else "error"

    @property
    def tightest(self) -> float:
        """The threshold that is crossed first."""
        threshold = self.warn if self.warn is not None else self.error
        assert threshold is not None
        return threshold

    def crosses(self, observed: float, threshold: float | None) -> bool:
        """Return whether the observation lies beyond the threshold."""
        if threshold is None:
            return False
        return observed < threshold if is_floor(self.rule) else observed > threshold


@dataclass(frozen=True)
class Observation:
    """What a rule saw: a share, count or value; None where there was nothing to judge.

    `fault` says why it could not look.
    """

    observed: float | None = None
    unexpected: int | None = None
    total: int | None = None
    fault: str | None = None


@dataclass(frozen=True)
class CheckResult:
    """The verdict on one check: a row of `ops.check_result`."""

    suite: str
    check: Check
    severity: Severity
    passed: bool
    threshold: float
    observation: Observation
    detail: str

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "check": self.check.name,
            "subject": self.check.subject,
            "severity": self.severity,
            "passed": self.passed,
            "threshold": self.threshold,
            "observed": self.observation.observed,
            "unexpected": self.observation.unexpected,
            "total": self.observation.total,
            "detail": self.detail,
        }


@dataclass(frozen=True)
class SuiteReport:
    """The verdicts of one run of a suite. `passed` is false only when a check of severity error failed."""

    suite: str
    run_id: UUID | None
    results: tuple[CheckResult, ...]
    seconds: float
    docs: str | None = None

    @property
    def errors(self) -> tuple[CheckResult, ...]:
        """The checks that stop the line."""
        return tuple(r for r in self.results if not r.passed and r.severity == "error")

    @property
    def warnings(self) -> tuple[CheckResult, ...]:
        """The checks that failed but stop nothing."""
        return tuple(r for r in self.results if not r.passed and r.severity == "warn")

    @property
    def passed(self) -> bool:
        """Whether the line goes on."""
        return not self.errors

    def as_json(self) -> dict[str, object]:
        """Return plain values, one entry a check."""
        return {
            "suite": self.suite,
            "run_id": self.run_id and str(self.run_id),
            "passed": self.passed,
            "seconds": round(self.seconds, 3),
            "docs": self.docs,
            "checks": [result.as_json() for result in self.results],
        }

    def summary(self) -> str:
        """Return the failed checks in one line, the stopping ones first."""
        failed = [f"{r.check.subject}.{r.check.name}: {r.detail}" for r in (*self.errors, *self.warnings)]
        return "; ".join(failed) or f"all {len(self.results)} checks passed"


def judge(suite: str, check: Check, seen: Observation) -> CheckResult:
    """Draw the verdict. What could not be measured has failed, at the worst severity the check has."""

    def verdict(severity: Severity, passed: bool, threshold: float, detail: str) -> CheckResult:
        return CheckResult(suite, check, severity, passed, threshold, seen, detail)

    if seen.fault is not None:
        return verdict(check.severity, False, check.tightest, f"not measured: {seen.fault}")
    if seen.observed is None:
        return verdict(check.severity, True, check.tightest, "nothing to judge")
    levels: tuple[tuple[Severity, float | None], ...] = (("error", check.error), ("warn", check.warn))
    for severity, threshold in levels:
        if threshold is not None and check.crosses(seen.observed, threshold):
            return verdict(severity, False, threshold, _describe(check, seen, threshold))
    return verdict(check.severity, True, check.tightest, _describe(check, seen, check.tightest))


def _describe(check: Check, seen: Observation, threshold: float) -> str:
    bound = "at least" if is_floor(check.rule) else "at most"
    if seen.unexpected is None:
        return f"{seen.observed:g}, {bound} {threshold:g} allowed"
    return f"{seen.unexpected} of {seen.total} ({seen.observed:.2%}), {bound} {threshold:.2%} allowed"
