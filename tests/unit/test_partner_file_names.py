"""Names from outside: what is refused, what is shown instead, what a pattern still finds."""

from __future__ import annotations

import pytest

from ingestion.partners.fetch.file_names import matches, read_name, show_name


@pytest.mark.parametrize(
    "name",
    ["fuel_1.csv", "Kraftstoff Mai (2).csv", "übersicht.csv", "燃料.csv", "a" * 200, "-rf.csv", "~x.csv"],
)
def test_plain_names_are_safe(name: str) -> None:
    assert read_name(name.encode()) == (name, None)


@pytest.mark.parametrize(
    ("raw", "shown", "why"),
    [
        (b"../fuel_1.csv", "../fuel_1.csv", "leads to another directory"),
        (b"a/fuel_1.csv", "a/fuel_1.csv", "leads to another directory"),
        (b"..\\fuel_1.csv", "..\\fuel_1.csv", "leads to another directory"),
        (b"..", "..", "dots only"),
        (b"", "", "empty"),
        (b"fuel\n1.csv", "fuel<U+000A>1.csv", "control or invisible"),
        (b"fuel\x001.csv", "fuel<U+0000>1.csv", "control or invisible"),
        (b"fuel\x1b[31m.csv", "fuel<U+001B>[31m.csv", "control or invisible"),
        ("fuel\u202evsc.exe".encode(), "fuel<U+202E>vsc.exe", "control or invisible"),
        (b"fuel_\xff.csv", "fuel_\ufffd.csv", "not UTF-8"),
        (b" fuel_1.csv", " fuel_1.csv", "begins or ends with a blank"),
    ],
)
def test_odd_names_are_unsafe_and_shown_without_harm(raw: bytes, shown: str, why: str) -> None:
    name, fault = read_name(raw)
    assert name == shown
    assert fault is not None
    assert why in fault


def test_a_name_that_is_too_long_is_cut_and_stays_apart_from_its_like() -> None:
    first, fault = read_name(b"a" * 300)
    assert fault == "the name is longer than 200 bytes"
    assert len(first) <= 200
    assert first != read_name(b"a" * 301)[0]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("fuel_1.csv", True),
        ("FUEL_1.csv", False),
        (".fuel_1.csv", False),
        ("../fuel_1.csv", True),
        ("..\\fuel_1.csv", True),
        ("fuel_1.csv\n", True),
        ("../other.csv", False),
        ("x/.fuel_1.csv", False),
    ],
)
def test_a_pattern_also_finds_what_is_unsafe(name: str, found: bool) -> None:
    assert matches(name, "fuel_*.csv") is found


@pytest.mark.parametrize(
    "raw",
    [b"fuel_\n1.csv", b"fuel_1.csv\n", b"x/fuel_1.csv", b"fuel_\xff.csv", b"fuel_" + b"a" * 300 + b".csv"],
)
def test_what_is_shown_of_an_unsafe_name_is_still_found_and_can_be_stored(raw: bytes) -> None:
    shown, fault = read_name(raw)
    assert fault is not None
    assert matches(shown, "fuel_*.csv")
    assert shown.isprintable()
    assert show_name(shown) == shown
