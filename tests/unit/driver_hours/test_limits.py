from __future__ import annotations

import pytest

from domain.driver_hours import Rule, Severity, limits
from fleetflow.settings import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs/reference/driver_hours.md").read_text(encoding="utf-8")


def test_the_page_has_the_tables_of_the_code() -> None:
    assert limits.eu_table() in PAGE
    assert limits.us_table() in PAGE


@pytest.mark.parametrize("rule", list(Rule))
def test_the_page_explains_each_rule(rule: Rule) -> None:
    assert f"| {rule}" in PAGE or f"; {rule}" in PAGE


@pytest.mark.parametrize("limit", limits.LIMITS, ids=lambda limit: limit.name)
def test_bands_lie_beyond_the_limit_in_order(limit: limits.Limit) -> None:
    bounds = [bound for _, bound in limit.bands]
    severities = [severity for severity, _ in limit.bands]
    assert severities == [Severity.SI, Severity.VSI, Severity.MSI][: len(severities)]
    away = [-1, 1][not limit.is_rest]
    assert bounds == sorted(bounds, reverse=limit.is_rest)
    assert all(limit.broken(bound) for bound in bounds)
    assert not limit.broken(limit.minutes)
    assert limit.severity(limit.minutes + away) is Severity.MI
    assert limit.article
    assert limit.source


@pytest.mark.parametrize(
    ("minutes", "words"), [(270, "4 h 30"), (540, "9 h"), (6750, "112 h 30"), (605, "10 h 05")]
)
def test_hours_are_written_as_in_the_regulation(minutes: int, words: str) -> None:
    assert limits.hours(minutes) == words
