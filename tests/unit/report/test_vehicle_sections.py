"""The sections on vehicles and drivers: figures, words, and honesty about what is not known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import report_samples as samples
import vehicle_samples as made

from serving.report import render_html
from serving.report.columns import stacked_columns
from serving.report.model import MorningReport
from serving.report.vehicles.lines import behind_words, causes_words, worst_lines
from serving.report.vehicles.model import (
    Behind,
    Cause,
    TroubleCode,
    VehicleSections,
    per_100,
)
from serving.report.vehicles.sheets import vehicle_sheets
from serving.report.vehicles.views import Fact, Section, sections
from serving.report.wording import change, decimal, hours, short_key


@pytest.fixture(scope="module")
def morning() -> MorningReport:
    return samples.morning()


@pytest.fixture(scope="module")
def screens(morning: MorningReport) -> dict[str, Section]:
    return {section.anchor: section for section in sections(morning)}


def fact(section: Section, name: str) -> Fact:
    return next(one for one in section.facts if one.name == name)


def test_utilization_facts_equal_plain_sums(screens: dict[str, Section]) -> None:
    known = made.utilization()
    *before, last = known.days
    share = last.driving_s / last.available_s
    week = sum(day.driving_s for day in before) / sum(day.available_s for day in before)
    shown = fact(screens["utilization"], "driving, of the time available")
    assert shown.value == f"{100 * share:.1f}%"
    assert shown.note == f"{100 * (share - week):+.1f} pts vs 7 days"
    usual = sum(day.distance_km for day in before) / 7
    driven = fact(screens["utilization"], "driven")
    assert (
        driven.note.replace("\N{MINUS SIGN}", "-")
        == f"{100 * (last.distance_km / usual - 1):+.0f}% vs 7 days"
    )
    assert fact(screens["utilization"], "stood all day").note == "of 212; 3 not heard of"


def test_compliance_facts_equal_plain_counts(screens: dict[str, Section]) -> None:
    known = made.compliance()
    *before, last = known.days
    found = sum(last.by_severity.values()) + last.unclassed
    section = screens["driver-hours"]
    assert fact(section, "infringements").value == str(found)
    assert fact(section, "per 100 driver-days").value == f"{100 * found / last.driver_days:.1f}"
    week = sum(sum(day.by_severity.values()) + day.unclassed for day in before)
    rate = 100 * week / sum(day.driver_days for day in before)
    assert fact(section, "per 100 driver-days").note == f"7 days before: {rate:.1f}"
    assert fact(section, "need evidence").value == "9"
    assert fact(section, "most or very serious").bad


def test_us_findings_are_shown_and_not_held_against_driver_days(morning: MorningReport) -> None:
    """The US rules know no driver-days: a fleet that has none still shows what was found."""
    known = made.compliance()
    last = replace(known.days[-1], us=3, unclassed=3)
    mixed = replace(known, days=(*known.days[:-1], last))
    classed = sum(last.by_severity.values())
    assert mixed.today.total == classed + 3
    assert mixed.per_100 == pytest.approx(100 * classed / last.driver_days)
    bare = replace(known, days=(replace(last, driver_days=0, by_severity={}),))
    report = replace(morning, vehicles=replace(morning.vehicles, compliance=bare))
    shown = {section.anchor: section for section in sections(report)}["driver-hours"]
    assert fact(shown, "infringements").value == "3"
    assert fact(shown, "per 100 driver-days") == Fact(
        "per 100 driver-days", "n/a", "7 days before: n/a; without 49 CFR 395"
    )


def test_evidence_is_no_infringement() -> None:
    rule = next(rule for rule in made.compliance().rules if rule.rule == "UNPROVEN_REST")
    assert (rule.total, rule.evidence) == (0, 6)
    assert per_100([]) is None


def test_fuel_facts_equal_plain_sums(screens: dict[str, Section]) -> None:
    known = made.fuel()
    litres = sum(row.litres for row in known.classes)
    km = sum(row.km for row in known.classes)
    assert fact(screens["fuel"], "l/100 km").value == f"{100 * litres / km:.1f}"
    lost = [a.volume_l or 0 for a in known.anomalies if a.kind in ("drain_parked", "drain_moving", "leak")]
    assert fact(screens["fuel"], "drained or leaked").value == f"{sum(lost):.0f} l"
    assert fact(screens["fuel"], "drained or leaked").note == f"in {len(lost)} anomalies"


def test_maintenance_facts_equal_plain_counts(screens: dict[str, Section]) -> None:
    known = made.maintenance()
    assert known.due is not None
    assert known.plan is not None
    section = screens["maintenance"]
    coming = [
        s for s in known.due if not s.is_overdue and s.due_on and s.due_on <= made.TODAY + timedelta(days=14)
    ]
    assert fact(section, "due within 14 days").value == str(len(coming))
    inside = [
        j for j in known.plan.jobs if j.first_day and j.last_day and j.first_day <= made.TODAY <= j.last_day
    ]
    assert fact(section, "in a workshop today").value == str(len(inside))
    late = sum(j.is_overdue for j in known.plan.jobs if j.state == "unplaced")
    assert fact(section, "without a place").note == f"{late} overdue"


def test_day_that_is_not_known_has_no_column() -> None:
    chart = stacked_columns([{"a": 1.0}, None, {"a": 0.0}], [("Mon", "1")] * 3, width=300, height=100)
    assert [column.text for column in chart.columns] == ["1", "0"]
    assert len(chart.x_ticks) == 3
    assert [len(column.parts) for column in chart.columns] == [1, 0]


def test_parts_stand_on_each_other_and_a_mark_keeps_clear_of_the_label() -> None:
    (column,) = stacked_columns(
        [{"a": 1.0, "b": 3.0}], [("Mon", "1")], width=100, height=100, marks=[8.0]
    ).columns
    low, high = column.parts
    assert low.y == pytest.approx(high.y + high.height, abs=0.02)
    assert high.height == pytest.approx(3 * low.height, abs=0.05)
    assert column.mark_y is not None
    assert column.top <= column.mark_y < high.y


def test_missing_sections_say_why_and_show_no_figure(morning: MorningReport) -> None:
    report = replace(morning, vehicles=made.unknown_sections())
    page = render_html(report)
    for word in ("use", "hours", "fuel", "services"):
        assert f"Not known: {word}." in page
    assert 'class="facts"' not in page
    assert worst_lines(report) == []
    assert all(sheet.count(b"\n") == 1 for sheet in vehicle_sheets(report).values())


def test_report_that_was_not_asked_for_them_renders() -> None:
    assert "Not asked for." in render_html(MorningReport("acme", samples.DAY, samples.AS_OF, samples.AS_OF))


def test_what_is_not_known_within_a_section_is_not_zero(morning: MorningReport) -> None:
    use, hours_known, services = made.utilization(), made.compliance(), made.maintenance()
    silent = replace(
        use,
        days=tuple(replace(day, idle_s=None) for day in use.days),
        vehicles=tuple(replace(vehicle, idle_s=None, engine_on_s=None) for vehicle in use.vehicles),
    )
    bare = replace(
        morning,
        vehicles=VehicleSections(
            silent,
            replace(hours_known, remaining=None),
            made.fuel(),
            replace(services, due=None, plan=None, codes=None, notes=("Workshops are not planned yet.",)),
        ),
    )
    shown = {section.anchor: section for section in sections(bare)}
    assert fact(shown["utilization"], "idling").value == "n/a"
    assert fact(shown["driver-hours"], "drivers with little left now").value == "n/a"
    assert {one.value for one in shown["maintenance"].facts} == {"n/a"}
    page = render_html(bare)
    assert "Not known: no vehicle tells whether its engine runs." in page
    assert "Not known: the warehouse has no view of what is left." in page
    assert "Workshops are not planned yet." in page


def test_first_days_have_no_week_to_hold_against(morning: MorningReport) -> None:
    first = replace(
        morning,
        vehicles=VehicleSections(
            replace(made.utilization(), days=made.utilization().days[-1:]),
            replace(made.compliance(), days=made.compliance().days[-1:]),
            replace(made.fuel(), days=made.fuel().days[-1:]),
            made.maintenance(),
        ),
    )
    shown = {section.anchor: section for section in sections(first)}
    assert fact(shown["utilization"], "driven").note == ""
    assert fact(shown["driver-hours"], "infringements").note == "no days before"
    assert fact(shown["driver-hours"], "per 100 driver-days").note == "7 days before: n/a"
    assert fact(shown["fuel"], "burnt").note == ""
    render_html(first)


def test_worst_of_each_section_is_one_line(morning: MorningReport) -> None:
    lines = {line.section: line.text for line in worst_lines(morning)}
    assert (
        lines["driver-hours"] == f"Driver {short_key(made.KEYS[0])}: 1 most serious infringement, daily rest."
    )
    assert lines["fuel"] == "Vehicle VEH-1042: 96 l lost while parked, theft very likely."
    assert lines["maintenance"] == "Vehicle VEH-1059: trouble code SPN 100 FMI 1 says stop, for 2 d 4 h."
    assert (
        lines["utilization"] == "Vehicle VEH-1042: idled 3 h 24 min of the 11 h 18 min that its engine ran."
    )


def test_overdue_service_is_the_worst_where_no_code_says_stop(morning: MorningReport) -> None:
    services = replace(made.maintenance(), codes=(TroubleCode("V", "P1", "soon", 1.0, 0),))
    report = replace(morning, vehicles=replace(morning.vehicles, maintenance=services))
    (line,) = [line for line in worst_lines(report) if line.section == "maintenance"]
    assert line.text == "Vehicle VEH-1144: inspection overdue since 26 Oct; 7 overdue in all."


def test_clean_day_has_no_worst_line(morning: MorningReport) -> None:
    clean = VehicleSections(
        replace(made.utilization(), vehicles=()),
        replace(made.compliance(), offenders=()),
        replace(made.fuel(), anomalies=()),
        replace(made.maintenance(), due=(), codes=()),
    )
    report = replace(morning, vehicles=clean)
    assert worst_lines(report) == []
    page = render_html(report)
    for words in ("No driver broke a rule.", "Nothing about fuel stood out.", "No service is overdue."):
        assert words in page


def test_causes_that_are_unlikely_are_not_told_unless_they_are_all() -> None:
    anomaly = made.anomaly(0)
    assert causes_words(anomaly) == "theft very likely"
    assert causes_words(replace(anomaly, causes=anomaly.causes[1:])) == "leak unlikely"
    assert causes_words(replace(anomaly, causes=())) == "cause not known"
    many = tuple(Cause(name, "possible", "x") for name in ("theft", "leak", "sensor", "load"))
    assert causes_words(replace(anomaly, causes=many)) == "theft possible, leak possible, sensor possible"


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        (Behind(), None),
        (Behind(samples.AS_OF, 3, samples.AS_OF - timedelta(minutes=70)), None),
        (
            Behind(samples.AS_OF, 3, samples.AS_OF - timedelta(hours=3)),
            "The vehicle side is behind: 3 batches",
        ),
        (Behind(None, 1, samples.AS_OF), "No build of the vehicle side has finished: 1 batch"),
    ],
)
def test_pipeline_that_is_behind_is_said_once_a_turn_was_missed(behind: Behind, words: str | None) -> None:
    found = behind_words(behind, samples.AS_OF)
    assert found == words or (found and words and found.startswith(words))


def test_text_of_vehicles_is_escaped_and_no_formula(morning: MorningReport) -> None:
    attack = "=<script>alert(1)</script>"
    known = made.maintenance()
    assert known.plan is not None
    plan = replace(known.plan, jobs=(made.job(0, vehicle_id=attack, reason=attack),))
    services = replace(known, plan=plan, due=())
    report = replace(morning, vehicles=replace(morning.vehicles, maintenance=services))
    assert "<script" not in render_html(report)
    assert b"'=<script>" in vehicle_sheets(report)["maintenance.csv"]


def test_words_of_figures() -> None:
    assert (hours(3600 * 12.34), hours(3600 * 1204), hours(None)) == ("12.3 h", "1,204 h", "n/a")
    assert (change(110, 100), change(100, 100), change(90, 100), change(1, 0)) == (
        "+10%",
        "±0%",
        "\N{MINUS SIGN}10%",
        "n/a",
    )
    assert (decimal(25.34), decimal(None)) == ("25.3", "n/a")
    assert short_key("ab") == "ab"
