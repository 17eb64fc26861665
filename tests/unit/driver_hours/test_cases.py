from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from domain.driver_hours.cases import CaseError, evaluate_case
from fleetflow.cli import app

GOOD: dict[str, Any] = {
    "id": "one", "rule": "BREAK", "origin_utc": "2026-01-05T00:00:00Z", "start_offset_min": 0,
    "activities": [["D", 271], ["R", 660]],
}  # fmt: skip
ANSWER = {
    "id": "one", "findings": [{"rule": "BREAK", "measured": 271, "excess": 1, "severity": "MI", "at": 270}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "`id` is missing"),
        ({"rule": "BRAKE"}, "`rule` 'BRAKE' is not one of the eu rules"),
        ({"rule": ["BREAK"]}, "`rule`"),
        ({"rule": "US_PROPERTY"}, "not one of the eu rules"),
        ({"origin_utc": None}, "`origin_utc` is missing"),
        ({"origin_utc": "2026-01-05T00:00:00"}, "no time with a zone"),
        ({"origin_utc": "Monday"}, "no time with a zone"),
        ({"start_offset_min": 1.5}, "`start_offset_min` is 1.5"),
        ({"activities": None}, "`activities` is missing or no list"),
        ({"activities": [["X", 5]]}, "`activities[0]` has the activity 'X'"),
        ({"activities": [["D", 5], ["R", -5]]}, "`activities[1]` has the length -5"),
        ({"activities": [["D", "5"]]}, "has the length '5'"),
        ({"activities": [["D", True]]}, "has the length True"),
        ({"activities": [["D", 10**12]]}, "has the length"),
        ({"activities": [["D"]]}, "is not [letter, length]"),
        ({"activities": [["D", 5, "team"]]}, "has the flag 'team'"),
        ({"activities": [["D", 5, ["crew"]]]}, "has the flag"),
        ({"rule": "MINUTE"}, "`seconds_rle` is missing"),
        ({"rule": "MINUTE", "seconds_rle": [["D", 5, "crew"]]}, "is not [letter, length]"),
        ({"rule": "WEEKLY_REST_SET", "weeks": 0}, "`weeks` is 0"),
        ({"rule": "WEEKLY_REST_SET", "weeks": 2, "weekly_rests": [5]}, "`weekly_rests[0]` is no object"),
        (
            {
                "rule": "WEEKLY_REST_SET", "weeks": 2,
                "weekly_rests": [{"start_min": 0, "minutes": 60}, {"start_min": 59, "minutes": 60}],
            },
            "starts before the end of the one before",
        ),
    ],
)  # fmt: skip
def test_a_malformed_case_says_what_is_wrong(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CaseError) as raised:
        evaluate_case({**GOOD, **change})
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_utc": "2026-01-05"}, "no time with a zone"),
        ({"activities": [["W", 5]]}, "has the activity 'W'"),
        ({"cycle": "80/9"}, "`cycle` '80/9'"),
        ({"cycle": []}, "`cycle` []"),
        ({"zone": "Mars/Base"}, "`zone` 'Mars/Base'"),
        ({"zone": 5}, "`zone` 5"),
    ],
)
def test_a_malformed_us_case_says_what_is_wrong(change: dict[str, Any], message: str) -> None:
    case = {"id": "u", "rule": "US_PROPERTY", "start_utc": "2026-01-05T00:00:00Z", "activities": [["D", 5]]}
    with pytest.raises(CaseError) as raised:
        evaluate_case({**case, **change}, "us")
    assert message in str(raised.value)


def run(tmp_path: Path, content: str, *options: str) -> tuple[int, list[Any], str]:
    file = tmp_path / "cases.json"
    file.write_text(content, encoding="utf-8")
    result = CliRunner().invoke(app, ["driver-hours", "evaluate", str(file), *options])
    fault = f"{result.exception}" if isinstance(result.exception, Exception) else result.stderr
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()], fault


def test_each_case_gets_a_line(tmp_path: Path) -> None:
    second = {**GOOD, "id": "two", "activities": [["D", 270], ["R", 660]]}
    assert run(tmp_path, json.dumps([GOOD, second])) == (0, [ANSWER, {"id": "two", "findings": []}], "")


def test_a_bad_case_gets_its_line_and_the_others_their_answers(tmp_path: Path) -> None:
    status, answers, errors = run(
        tmp_path, json.dumps([{**GOOD, "id": "bad", "activities": [["D", -1]]}, 7, GOOD])
    )
    assert status == 2
    assert answers == [ANSWER]
    lines = errors.splitlines()
    assert len(lines) == 2
    assert "case bad: `activities[0]` has the length -1" in lines[0]
    assert "case number 2 (without an id): a case is an object, not int" in lines[1]


def test_what_is_shown_of_a_bad_case_stays_on_one_short_line(tmp_path: Path) -> None:
    cases = [
        {**GOOD, "id": "a\nb\ud800", "rule": "x" * 5_000},
        {**GOOD, "id": "c", "activities": [["D", "1\n2"]]},
    ]
    status, _, errors = run(tmp_path, json.dumps(cases))
    assert status == 2
    assert len(errors.splitlines()) == 2
    assert max(len(line) for line in errors.splitlines()) < 400


def test_an_id_stands_for_one_case(tmp_path: Path) -> None:
    status, answers, errors = run(tmp_path, json.dumps([GOOD, GOOD]))
    assert (status, answers) == (2, [ANSWER])
    assert "case one: a case before has the same id" in errors


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is no JSON"), ('{"id": "x"}', "is no list of cases, but dict"), ("", "is no JSON")],
)
def test_a_malformed_file_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    status, answers, fault = run(tmp_path, content)
    assert status != 0
    assert answers == []
    assert message in fault
    assert "\n" not in fault


def test_us_rules_are_asked_for(tmp_path: Path) -> None:
    case = {
        "id": "u", "rule": "US_PROPERTY", "start_utc": "2026-01-05T00:00:00Z", "activities": [["D", 481], ["OFF", 600]],
    }  # fmt: skip
    found = [{"type": "BREAK_30", "at": 480, "over_min": 1}]
    assert run(tmp_path, json.dumps([case]), "--rules", "us") == (0, [{"id": "u", "findings": found}], "")
    assert run(tmp_path, json.dumps([case]))[0] == 2


def test_what_needs_evidence_is_kept_apart() -> None:
    case = {**GOOD, "activities": [["D", 200, "inferred"], ["D", 100], ["R", 660]]}
    answer = evaluate_case(case)
    assert answer["findings"] == []
    assert [(item["rule"], item["severity"]) for item in answer["needs_evidence"]] == [("BREAK", "SI")]


def test_each_rule_has_the_fields_of_the_vectors() -> None:
    fields = {
        "DAILY_DRIVING": ([["D", 601], ["R", 660]], ["rule", "measured", "limit", "severity", "at"]),
        "WEEKLY": ([["D", 3361]], ["rule", "week", "measured", "limit", "severity"]),
        "DAILY_REST": ([["W", 1440]], ["rule", "at", "measured", "required", "severity"]),
        "MULTI_MANNING": ([["D", 1800, "crew"]], ["rule", "at", "measured", "required", "severity"]),
        "WEEKLY_REST": ([["R", 1440], ["W", 8641], ["R", 1440]], ["rule", "at", "late", "severity"]),
    }
    for rule, (activities, names) in fields.items():
        (finding,) = evaluate_case({**GOOD, "rule": rule, "activities": activities})["findings"]
        assert list(finding) == names
