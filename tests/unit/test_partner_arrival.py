"""When a partner's file is whole, when one is expected, and which expectation a file serves."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from ingestion.partners.declare.model import Arrival, Completeness, CsvFormat, Declaration
from ingestion.partners.fetch.arrival import Stage, expected_at, find_whole, judge, next_expected, serve
from ingestion.partners.fetch.place import RemoteFile

AT = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def declared(pattern: str = "fuel_*.csv", arrival: Arrival | None = None, **rules: object) -> Declaration:
    return Declaration(
        name="alpha", tenant_id="acme", feed="fuel_purchase", account="alpha", directory="out", pattern=pattern,
        format=CsvFormat(), columns={}, line_key=(), arrival=arrival,
        completeness=Completeness(**rules),  # type: ignore[arg-type]
    )  # fmt: skip


def listed(*names: str, at: datetime = AT, size: int = 10) -> list[RemoteFile]:
    return [RemoteFile(name, size, at) for name in names]


@pytest.mark.parametrize(
    ("rules", "names", "whole"),
    [
        ({}, ["fuel_1.csv"], ["fuel_1.csv"]),
        ({}, ["fuel_1.csv.part", "fuel_2.csv.tmp", "fuel_3.csv.filepart", "note.txt"], []),
        ({}, ["fuel_1.csv", "fuel_1.csv.part"], []),
        ({}, [".fuel_1.csv"], []),
        ({"temporary": (".up",)}, ["fuel_1.csv.up", "fuel_2.csv"], ["fuel_2.csv"]),
        ({"done": "{name}.done"}, ["fuel_1.csv", "fuel_2.csv", "fuel_2.csv.done"], ["fuel_2.csv"]),
        ({"done": "{stem}.ok"}, ["fuel_1.csv", "fuel_1.ok", "fuel_2.csv"], ["fuel_1.csv"]),
        ({"checksum": "{name}.sha256"}, ["fuel_1.csv", "fuel_1.csv.md5"], []),
        ({"checksum": "{name}.sha256"}, ["fuel_1.csv", "fuel_1.csv.sha256"], ["fuel_1.csv"]),
        ({"manifest": "manifest_*.txt"}, ["fuel_1.csv", "manifest_7.txt"], ["fuel_1.csv"]),
        ({"manifest": "{stem}.manifest"}, ["fuel_1.csv", "fuel_2.manifest"], []),
        (
            {"done": "{name}.done", "checksum": "{name}.sha256"},
            ["fuel_1.csv", "fuel_1.csv.done", "fuel_2.csv", "fuel_2.csv.done", "fuel_2.csv.sha256"],
            ["fuel_2.csv"],
        ),
        ({"stable": True}, ["fuel_1.csv"], []),
        ({"trailer": True}, ["fuel_1.csv"], []),
        ({"trailer": True, "done": "{name}.done"}, ["fuel_1.csv", "fuel_1.csv.done"], ["fuel_1.csv"]),
    ],
)
def test_what_a_first_look_finds_whole(rules: dict[str, object], names: list[str], whole: list[str]) -> None:
    found = find_whole(listed(*names), declared(**rules), {})
    assert [one.file.name for one in found] == whole


def test_companions_come_along_and_are_no_files_of_their_own() -> None:
    files = listed("fuel_1", "fuel_1.done", "fuel_1.sha256", "fuel_2.done")
    rules = declared("fuel_*", done="{name}.done", checksum="{name}.sha256")
    (one,) = find_whole(files, rules, {})
    assert one.file.name == "fuel_1"
    assert {companion.name for companion in one.companions} == {"fuel_1.done", "fuel_1.sha256"}
    assert [sighting.file.name for sighting in judge(files, rules, {})] == ["fuel_1"]


@pytest.mark.parametrize("rule", ["stable", "trailer"])
@pytest.mark.parametrize(
    ("before", "whole"),
    [((10, AT), True), ((9, AT), False), ((10, AT - SECOND), False)],
)
def test_two_equal_looks(rule: str, before: tuple[int, datetime], whole: bool) -> None:
    found = find_whole(listed("fuel_1.csv"), declared(**{rule: True}), {"fuel_1.csv": before})
    assert bool(found) is whole


def test_a_marker_that_an_earlier_version_left_does_not_count() -> None:
    files = [RemoteFile("fuel_1.csv", 10, AT), RemoteFile("fuel_1.csv.done", 0, AT - SECOND)]
    (one,) = judge(files, declared(done="{name}.done"), {})
    assert (one.stage, one.words) == (Stage.WAITING, "the marker fuel_1.csv.done is older than the file")


def test_names_with_signs_of_globs_are_taken_literally() -> None:
    files = listed("fuel_[1].csv", "fuel_1.csv.done")
    assert find_whole(files, declared(done="{name}.done"), {}) == []
    assert find_whole([*files, *listed("fuel_[1].csv.done")], declared(done="{name}.done"), {})
    assert find_whole(listed("fuel_[1].csv", "fuel_1.mf"), declared(manifest="{stem}.mf"), {}) == []


def test_an_unsafe_file_is_shown_with_its_reason_and_never_whole() -> None:
    odd = RemoteFile("../fuel_1.csv", 10, AT, "the name leads to another directory")
    (one,) = judge([odd], declared(), {})
    assert (one.stage, one.words) == (Stage.UNSAFE, "the name leads to another directory")
    assert find_whole([odd], declared(), {}) == []


def test_what_is_waited_for_is_said() -> None:
    (one,) = judge(listed("fuel_1.csv", "fuel_1.csv.part"), declared(stable=True, done="{name}.ok"), {})
    assert one.words == (
        "fuel_1.csv.part is being written; the marker fuel_1.csv.ok is not there yet;"
        " it must look the same on two looks"
    )


def instants(arrival: Arrival, first: str, last: str) -> list[str]:
    begin, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last))
    return [f"{at:%m-%d %H:%M}" for at in expected_at(declared(arrival=arrival), begin, end)]


@pytest.mark.parametrize(
    ("arrival", "first", "last", "expected"),
    [
        (Arrival((time(4),)), "2026-03-02T04:00", "2026-03-03T04:00", ["03-02 04:00"]),
        (Arrival((time(4), time(16, 30))), "2026-03-02T00:00", "2026-03-03T00:00", ["03-02 04:00", "03-02 16:30"]),
        # Berlin: +1 until 29 March, then +2; 02:30 of that day is left out, and is 03:30 summer time.
        (
            Arrival((time(2, 30),), "Europe/Berlin"), "2026-03-28T00:00", "2026-03-31T00:00",
            ["03-28 01:30", "03-29 01:30", "03-30 00:30"],
        ),
        # ... and 25 October has it twice: the first counts.
        (
            Arrival((time(2, 30),), "Europe/Berlin"), "2026-10-24T00:00", "2026-10-27T00:00",
            ["10-24 00:30", "10-25 00:30", "10-26 01:30"],
        ),
        (
            Arrival((time(23, 30),), "America/New_York", ("mon", "fri")), "2026-03-02T00:00", "2026-03-09T12:00",
            ["03-03 04:30", "03-07 04:30"],
        ),
        (Arrival((time(1),), "Asia/Tokyo"), "2026-03-02T00:00", "2026-03-02T23:59", ["03-02 16:00"]),
        (Arrival((time(6),), month_days=(1, 15)), "2026-02-01T00:00", "2026-03-02T00:00",
         ["02-01 06:00", "02-15 06:00", "03-01 06:00"]),
        (Arrival((time(6),), weekdays=("sun",), month_days=(1,)), "2026-01-01T00:00", "2026-04-30T00:00",
         ["02-01 06:00", "03-01 06:00"]),
    ],
)  # fmt: skip
def test_expected_instants(arrival: Arrival, first: str, last: str, expected: list[str]) -> None:
    assert instants(arrival, first, last) == expected


def test_without_a_schedule_nothing_is_expected() -> None:
    assert expected_at(declared(), AT, AT + timedelta(days=400)) == []
    assert next_expected(declared(), AT) is None


def test_the_next_expected_instant() -> None:
    monthly = declared(arrival=Arrival((time(6),), month_days=(31,)))
    assert next_expected(monthly, datetime(2026, 3, 31, 6, tzinfo=UTC)) == datetime(
        2026, 5, 31, 6, tzinfo=UTC
    )


DUE = [datetime(2026, 3, day, 6, tzinfo=UTC) for day in (2, 3, 4)]


@pytest.mark.parametrize(
    ("came", "now", "verdicts"),
    [
        (["02 06:20", "03 06:00", "04 06:59"], "04 07:00", ["on time", "on time", "on time"]),
        (["02 05:10", "03 06:20"], "04 07:00", ["on time", "on time", "open"]),
        (["02 05:10", "03 06:20"], "04 07:01", ["on time", "on time", "missing"]),
        (["02 09:00"], "03 06:30", ["late", "open", "open"]),
        # Monday's never came; Tuesday's, a little early, is Tuesday's.
        (["03 05:50"], "03 08:00", ["missing", "on time", "open"]),
        # Two files of one delivery do not serve the next one.
        (["02 06:10", "02 06:11"], "03 08:00", ["on time", "missing", "open"]),
        # Far too early, but nearer to the next than to the last, which is served.
        (["02 06:10", "02 23:00"], "03 08:00", ["on time", "on time", "open"]),
        ([], "01 00:00", ["open", "open", "open"]),
    ],
)
def test_which_expectation_a_file_serves(came: list[str], now: str, verdicts: list[str]) -> None:
    def moment(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-03-{text}").replace(tzinfo=UTC)

    rules = declared(arrival=Arrival((time(6),), grace=timedelta(hours=1)))
    found = serve(rules, DUE, [moment(text) for text in came], moment(now))
    shown = [
        "missing" if one.is_missing else "late" if one.is_late else "on time" if one.at else "open"
        for one in found
    ]
    assert shown == verdicts
