from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
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


def test_cases_may_be_wrapped_and_come_a_line_each(tmp_path: Path) -> None:
    second = {**GOOD, "id": "two", "activities": [["D", 270], ["R", 660]]}
    expected = (0, [ANSWER, {"id": "two", "findings": []}], "")
    for wrapped in ({"cases": [GOOD, second]}, {"about": "ours", "vectors": [GOOD, second]}):
        assert run(tmp_path, json.dumps(wrapped, indent=1)) == expected
    assert run(tmp_path, f"{json.dumps(GOOD)}\n\n{json.dumps(second)}\n") == expected
    assert run(tmp_path, json.dumps(GOOD)) == (0, [ANSWER], "")
    assert "is no JSON" in run(tmp_path, f"{json.dumps(GOOD)}\n{{")[2]


def test_optional_fields_and_their_order_do_not_matter(tmp_path: Path) -> None:
    turned = dict(reversed([*GOOD.items(), ("title", "t"), ("expect", []), ("unheard_of", 1)]))
    del turned["start_offset_min"]
    assert evaluate_case(turned) == ANSWER


def test_activities_may_be_named_in_full() -> None:
    named = [["DRIVING", 271], ["break/rest", 30], ["unknown", 30], ["REST", 600]]
    assert evaluate_case({**GOOD, "activities": named})["findings"] == ANSWER["findings"]
    with pytest.raises(CaseError, match="has the activity 'BREAKS'"):
        evaluate_case({**GOOD, "activities": [["BREAKS", 271]]})


def moment(second: int) -> str:
    return (datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=second)).isoformat()


def test_activities_may_be_rows_of_the_feed_unsorted_to_the_second_and_open() -> None:
    """Driving until 4 h 30 min 31 s is 271 minutes; the rest goes on."""
    rows = [
        {"started_at": moment(16_231), "activity": "rest", "ended_at": None, "recorded_at": moment(90_000)},
        {"activity": "driving", "started_at": moment(9_000), "ended_at": moment(16_231), "crew": None},
        {"activity": "driving", "started_at": moment(0), "ended_at": moment(9_000), "origin": "tachograph"},
    ]
    assert evaluate_case({**GOOD, "activities": rows}) == ANSWER
    guessed = [{**row, "origin": "inferred"} for row in rows]
    assert evaluate_case({**GOOD, "activities": guessed})["findings"] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"started_at": "yesterday"}, "`activities[0].started_at` 'yesterday' is no time with a zone"),
        ({"ended_at": "2026-01-05T00:00:00"}, "`activities[0].ended_at`"),
        ({"activity": "sleeping"}, "`activities[0]` has the activity 'sleeping'"),
        ({"origin": "heard"}, "`activities[0]` has the origin 'heard'"),
        ({"crew": "team"}, "`activities[0]` has the crew 'team'"),
    ],
)
def test_a_malformed_row_of_the_feed_says_what_is_wrong(change: dict[str, Any], message: str) -> None:
    row = {"activity": "driving", "started_at": moment(0), "ended_at": moment(60)}
    with pytest.raises(CaseError) as raised:
        evaluate_case({**GOOD, "activities": [{**row, **change}]})
    assert message in str(raised.value)


def test_adverse_conditions_give_two_hours_of_driving_and_of_the_window() -> None:
    case = {"id": "u", "rule": "US_PROPERTY", "start_utc": "2026-01-05T00:00:00Z", "adverse_conditions": True}

    def found(*rows: list[Any]) -> list[Any]:
        return evaluate_case({**case, "activities": list(rows)}, "us")["findings"]

    assert found(["D", 480], ["OFF", 30], ["D", 300]) == []
    assert found(["D", 480], ["OFF", 30], ["D", 301]) == [{"type": "DRIVE_11", "at": 810, "over_min": 1}]
    assert found(["ON", 900], ["D", 60]) == []
    assert found(["ON", 900], ["D", 61]) == [{"type": "SHIFT_14", "at": 960, "over_min": 1}]
    with pytest.raises(CaseError, match="adverse_conditions"):
        evaluate_case({**case, "adverse_conditions": "yes", "activities": []}, "us")
