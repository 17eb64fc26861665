"""Spells of trouble codes: opening, closing, flickering, coming again, and how bad each is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.maintenance.trouble_codes import (
    RULES,
    Code,
    Lamp,
    Report,
    Severity,
    Spell,
    SpellState,
    find_spells,
    judge_severity,
)

START = datetime(2026, 6, 1, 8, tzinfo=UTC)
OIL, CIRCUIT = Code(spn=100, fmi=1), Code(spn=639, fmi=9)
NONE: frozenset[Lamp] = frozenset()


def report(
    minutes: float, *codes: Code, ecu: int = 0, count: int | None = None, lamp: Lamp | None = None
) -> Report:
    lamps = frozenset({lamp}) if lamp else NONE
    return Report(
        "v1", ecu, START + timedelta(minutes=minutes), tuple((code, count) for code in codes), lamps
    )


def spells(*reports: Report, days: float = 1) -> list[Spell]:
    return find_spells(reports, START + timedelta(days=days))


def test_a_code_is_open_from_its_first_report() -> None:
    (spell,) = spells(report(0, CIRCUIT), report(30, CIRCUIT, count=4), report(60, CIRCUIT, count=3))
    assert (spell.state, spell.opened_at, spell.closed_at) == (SpellState.OPEN, START, None)
    assert (spell.last_seen_at, spell.reports, spell.occurrences) == (START + timedelta(hours=1), 3, 4)
    assert spell.age(START + timedelta(days=1)) == timedelta(days=1)


def test_a_report_without_the_code_closes_it() -> None:
    (spell,) = spells(report(0, CIRCUIT), report(90), report(200))
    assert (spell.state, spell.closed_at) == (SpellState.CLOSED, START + timedelta(minutes=90))
    assert spell.age(START + timedelta(days=9)) == timedelta(minutes=90)


def test_another_ecu_does_not_close_it() -> None:
    (spell,) = spells(report(0, CIRCUIT), report(90, ecu=11))
    assert spell.state is SpellState.OPEN


def test_another_list_of_the_same_ecu_does_not_close_it() -> None:
    other = Report("v1", 0, START + timedelta(minutes=90), listing="service_03")
    (spell,) = spells(report(0, CIRCUIT), other)
    assert (spell.state, spell.listing) == (SpellState.OPEN, "dm1")


def test_a_code_that_flickers_is_one_spell() -> None:
    (spell,) = spells(
        report(0, CIRCUIT), report(5), report(6), report(64, CIRCUIT), report(70), report(75, CIRCUIT)
    )
    assert (spell.state, spell.interruptions, spell.recurrence) == (SpellState.OPEN, 2, 0)


def test_a_code_that_comes_again_is_counted() -> None:
    first, second, third = spells(
        report(0, CIRCUIT), report(5), report(65, CIRCUIT), report(70), report(500, CIRCUIT), report(501)
    )
    assert [one.recurrence for one in (first, second, third)] == [0, 1, 2]
    assert first.closed_at == START + timedelta(minutes=5)
    assert third.interruptions == 0


def test_an_ecu_that_is_silent_says_nothing_any_more() -> None:
    assert spells(report(0, CIRCUIT), days=14)[0].state is SpellState.OPEN
    assert spells(report(0, CIRCUIT), days=15)[0].state is SpellState.SILENT


def test_reports_of_one_instant_are_one() -> None:
    (circuit, oil) = sorted(
        spells(report(0, CIRCUIT), report(0, OIL), report(0)), key=lambda one: -one.code.spn
    )
    assert (circuit.state, oil.state) == (SpellState.OPEN, SpellState.OPEN)


def test_reports_to_come_are_passed_over() -> None:
    assert spells(report(0, CIRCUIT), days=-1) == []


def test_the_worst_severity_of_a_spell_stays() -> None:
    (spell,) = spells(report(0, CIRCUIT, lamp=Lamp.RED_STOP), report(30, CIRCUIT))
    assert (spell.severity, spell.rule) == (Severity.STOP, "red_stop_lamp")


@pytest.mark.parametrize(
    ("code", "lamp", "severity", "rule"),
    [
        (OIL, None, Severity.STOP, "oil_or_coolant_or_brake_pressure_very_low"),
        (Code(110, 0), None, Severity.STOP, "coolant_or_oil_or_engine_speed_very_high"),
        (Code(110, 16), None, Severity.SOON, "vital_system"),
        (Code(110, 1), Lamp.AMBER_WARNING, Severity.SOON, "amber_warning_lamp"),
        (Code(94, 1), None, Severity.SOON, "out_of_range_most_severe"),
        (Code(94, 18), None, Severity.PLAN, "out_of_range_moderately"),
        (Code(94, 17), None, Severity.NOTE, "any_code"),
        (Code(94, 17), Lamp.PROTECT, Severity.PLAN, "protect_lamp"),
        (CIRCUIT, None, Severity.PLAN, "electrical_or_mechanical"),
        (CIRCUIT, Lamp.RED_STOP, Severity.STOP, "red_stop_lamp"),
        (Code(text="P0301"), None, Severity.NOTE, "any_code"),
        (Code(text="P0301"), Lamp.MALFUNCTION, Severity.SOON, "malfunction_indicator_lamp"),
    ],
)
def test_severity_is_the_worst_rule_that_matches(
    code: Code, lamp: Lamp | None, severity: Severity, rule: str
) -> None:
    assert judge_severity(code, frozenset({lamp}) if lamp else NONE) == (severity, rule)


def test_a_table_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="no rule of severity for SPN 94 FMI 17"):
        find_spells([report(0, Code(94, 17))], START, RULES[:-1])


def test_codes_have_names() -> None:
    assert (str(CIRCUIT), str(Code(text="P0301"))) == ("SPN 639 FMI 9", "P0301")
