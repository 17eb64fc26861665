"""The declared suites hold together: names, subjects, thresholds, and what may stop the line."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain.contracts import ENTITIES, FEEDS, Feed
from quality.contract_rules import contract_checks, kept_sql
from quality.model import CheckError
from quality.rules import Generated
from quality.scope import Claim
from quality.subjects import Subject, gate_subjects, nightly_subjects
from quality.suites import GATE, NIGHTLY, SUITES, read_suite

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVERYTHING = frozenset({*FEEDS, *ENTITIES})
CLAIM = Claim(UUID(int=7), "shipments", 3, 9, NOW, NOW, EVERYTHING)


@pytest.mark.parametrize("suite", sorted(SUITES))
def test_a_check_is_named_once_per_subject(suite: str) -> None:
    names = Counter((check.subject, check.name) for check in SUITES[suite])
    assert [name for name, count in names.items() if count > 1] == []


def test_every_subject_of_a_check_exists_and_every_subject_is_checked() -> None:
    assert {c.subject for c in GATE} == {s.name for s in gate_subjects(CLAIM)}
    assert {c.subject for c in NIGHTLY} == {s.name for s in nightly_subjects()}


def test_the_six_set_rules_are_in_force() -> None:
    named = {(suite, check.name) for suite, checks in SUITES.items() for check in checks}
    assert {
        ("gate", "missing_driver_ids"),
        ("gate", "duplicate_shipment_ids"),
        ("gate", "duplicate_event_ids"),
        ("gate", "late_arrivals"),
        ("gate", "volume"),
        ("gate", "complete"),
        ("nightly", "missing_driver_ids"),
        ("nightly", "invalid_transitions"),
        ("nightly", "duplicate_shipment_ids"),
        ("nightly", "late_arrivals"),
        ("nightly", "volume_low"),
        ("nightly", "newest_landed"),
        ("nightly", "oldest_pending"),
    } <= named


@pytest.mark.parametrize("name", ["late_arrivals", "late_recordings", "volume_low", "volume_high"])
def test_a_replay_cannot_stop_the_line(name: str) -> None:
    assert {check.severity for check in (*GATE, *NIGHTLY) if check.name == name} == {"warn"}


def test_a_subject_without_claimed_batches_is_not_queried() -> None:
    only_cdc = Claim(UUID(int=7), "shipments", 3, 9, None, None, frozenset({"shipments"}))
    asked = {subject.name for subject in gate_subjects(only_cdc) if subject.query is not None}
    assert asked == {"claim", "source.shipments"}


def test_claimed_rows_are_bounded_for_the_planner() -> None:
    (events,) = [s.query for s in gate_subjects(CLAIM) if s.name == "landing.shipment_event"]
    assert events is not None
    text = events.as_string()
    assert "batch_id between 3 and 9" in text
    assert "arrived_at between '2026-11-20 12:00:00+00:00'::timestamptz" in text
    assert f"run_id = '{CLAIM.run_id.hex}'::uuid" in text


@pytest.mark.parametrize("subject", [*gate_subjects(CLAIM), *nightly_subjects()], ids=lambda s: s.name)
def test_a_query_is_one_that_great_expectations_takes(subject: Subject) -> None:
    assert subject.query is not None
    query = subject.query.as_string()
    assert re.match(r"select\s", query)
    assert ";" not in query
    assert "%" not in query


@pytest.mark.parametrize("feed", [*FEEDS.values(), *ENTITIES.values()], ids=lambda feed: feed.name)
def test_contract_checks_follow_the_generated_suite(feed: Feed) -> None:
    checks = list(contract_checks(feed))
    kinds = {check.rule.kind for check in checks if isinstance(check.rule, Generated)}
    assert len(kinds) > 1
    assert all(check.severity == "error" and check.error == 0 for check in checks)


def test_no_contract_check_names_personal_data() -> None:
    text = kept_sql(ENTITIES["drivers"]).as_string() + " ".join(
        c.name for c in contract_checks(ENTITIES["drivers"])
    )
    assert not [column.name for column in ENTITIES["drivers"] if column.pii and column.name in text]


def test_an_unknown_suite_is_named() -> None:
    with pytest.raises(CheckError, match="no suite 'hourly'; there are gate, nightly"):
        read_suite("hourly")
