"""Meters, due dates, projections and trouble codes: whatever order facts come in, and whatever they say."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.maintenance.due import Due, Life, Limit, ServiceDone, ServiceTask, Status, add_months, judge_due
from domain.maintenance.meters import ODOMETER, Reading, read_meter
from domain.maintenance.projection import KindUse, Use, kind_of, observe, pool, project, shrink
from domain.maintenance.trouble_codes import SAME_SPELL, Code, Lamp, Report, find_spells

TODAY = date(2026, 6, 30)
START = datetime(2026, 6, 1, tzinfo=UTC)
days = st.integers(-60, 5).map(lambda number: TODAY + timedelta(days=number))
values = (
    st.floats(allow_nan=True, allow_infinity=True)
    | st.floats(-10, 400_000)
    | st.integers(0, 5_000).map(float)
)
readings = st.lists(st.builds(Reading, days, values), max_size=25)
codes = st.sampled_from([Code(100, 1), Code(639, 9), Code(text="P0301")])
reports = st.lists(
    st.builds(
        Report,
        st.sampled_from(["v1", "v2"]),
        st.integers(0, 1),
        st.integers(0, 500).map(lambda minutes: START + timedelta(minutes=minutes)),
        st.lists(st.tuples(codes, st.none() | st.integers(0, 126)), max_size=3).map(tuple),
        st.frozensets(st.sampled_from(list(Lamp)), max_size=2),
    ),
    max_size=25,
)


@given(given_readings=readings, data=st.data())
def test_a_meter_never_falls_and_forgets_the_order(
    given_readings: list[Reading], data: st.DataObject
) -> None:
    meter = read_meter(ODOMETER, given_readings, TODAY)
    shuffled = data.draw(st.permutations(given_readings + given_readings[:5]))
    again = read_meter(ODOMETER, shuffled, TODAY)
    assert (again.days, again.used, again.replaced_on) == (meter.days, meter.used, meter.replaced_on)
    assert list(meter.used) == sorted(meter.used)
    assert all(use >= 0 for use in meter.daily().values())
    assert all(before < after for before, after in zip(meter.days, meter.days[1:], strict=False))


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.integers(1, 600))
def test_months_are_whole(day: date, months: int) -> None:
    later = add_months(day, months)
    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day == day.day or (later.day < day.day and (later + timedelta(days=1)).day == 1)


@given(given_readings=readings, done=st.lists(days, max_size=4), every=st.floats(1, 50_000), data=st.data())
def test_a_task_is_judged_the_same_in_any_order(
    given_readings: list[Reading], done: list[date], every: float, data: st.DataObject
) -> None:
    task, life = ServiceTask("oil", every_km=every, every_months=2), Life("v1", TODAY - timedelta(days=50))
    services = [ServiceDone(day, "v1", "oil") for day in done]
    meter = read_meter(ODOMETER, given_readings, TODAY)
    due = judge_due(task, life, services, TODAY, meter)
    assert due == judge_due(task, life, data.draw(st.permutations(services)) + services, TODAY, meter)
    left = [limit.left for limit in due.limits if limit.left is not None]
    assert (due.status is Status.OVERDUE) == any(one < 0 for one in left)


@settings(deadline=None)
@given(
    daily=st.dictionaries(days, st.floats(allow_nan=True) | st.floats(0, 900), max_size=40),
    others=st.lists(st.dictionaries(days, st.floats(0, 900), max_size=20), max_size=3),
    left=st.floats(0, 100_000),
)
def test_a_projection_never_fails_and_its_days_are_in_order(
    daily: dict[date, float], others: list[dict[date, float]], left: float
) -> None:
    use = shrink(observe(daily, TODAY), pool(observe(one, TODAY) for one in others))
    due = Due("v1", "oil", Status.NOT_DUE, None, (Limit("odometer", "km", left, 1.0),))
    found = project(due, TODAY, {"odometer": use})
    if found.due_on is not None:
        assert found.not_before is not None
        assert TODAY < found.not_before <= found.due_on
        assert found.not_after is None or found.due_on <= found.not_after
    assert found.words


@given(given_reports=reports, data=st.data())
def test_spells_forget_order_and_repeats(given_reports: list[Report], data: st.DataObject) -> None:
    now = START + timedelta(minutes=400)
    spells = find_spells(given_reports, now)
    repeated = data.draw(st.permutations(given_reports + given_reports[:6]))
    assert find_spells(repeated, now) == spells


@given(given_reports=reports)
def test_spells_are_what_a_plain_reading_of_the_reports_says(given_reports: list[Report]) -> None:
    """Minute by minute: the list an ECU gave last says what is active; gaps of less than an hour are none."""
    now = START + timedelta(minutes=400)
    expected = set()
    for vehicle, ecu in {(one.vehicle_id, one.ecu) for one in given_reports}:
        mine = [one for one in given_reports if (one.vehicle_id, one.ecu) == (vehicle, ecu) and one.at <= now]
        for code in {code for one in mine for code, _ in one.codes}:
            spans: list[list[datetime | None]] = []
            for at in sorted({one.at for one in mine}):
                listed = any(code == one for report in mine if report.at == at for one, _ in report.codes)
                open_now = bool(spans) and spans[-1][1] is None
                if listed and not open_now:
                    closed = spans[-1][1] if spans else None
                    if closed is not None and at - closed < SAME_SPELL:
                        spans[-1][1] = None
                    else:
                        spans.append([at, None])
                elif not listed and open_now:
                    spans[-1][1] = at
            expected |= {(vehicle, ecu, code, i, *span) for i, span in enumerate(spans)}
    found = {
        (one.vehicle_id, one.ecu, one.code, one.recurrence, one.opened_at, one.closed_at)
        for one in find_spells(given_reports, now)
    }
    assert found == expected


@given(
    listed=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 90), st.booleans()), min_size=1, max_size=12)
)
def test_equal_reports_in_a_row_may_be_given_as_one(listed: list[tuple[int, int, bool]]) -> None:
    """Runs of so many reports, minutes apart, each with the code or all clear."""
    every, runs, minute = [], [], 0
    for times, apart, with_code in listed:
        codes = ((Code(100, 1), 3),) if with_code else ()
        at = [START + timedelta(minutes=minute + apart * n) for n in range(times)]
        minute += apart * times
        every += [Report("v1", 0, one, codes) for one in at]
        runs.append(Report("v1", 0, at[0], codes, until=at[-1], times=times))
    assert find_spells(runs, at[-1]) == find_spells(every, at[-1])


# Round figures: at a limit that is reached to the last bit, another order of adding would decide.
kind_uses = st.builds(
    KindUse, st.integers(0, 900).map(float), st.integers(0, 90_000).map(float), st.integers(0, 40)
)
uses = st.builds(Use, st.tuples(kind_uses, kind_uses, kind_uses), st.just("own"))


@settings(deadline=None)
@given(use=uses, left=st.integers(-500, 200_000).map(float), today=st.dates(TODAY, TODAY + timedelta(days=8)))
def test_a_projection_is_what_adding_day_by_day_gives(use: Use, left: float, today: date) -> None:
    total = variance = 0.0
    counts = [0, 0, 0]
    reached: dict[str, date] = {}
    for step in range(1, 1_097):
        day = today + timedelta(days=step)
        kind = kind_of(day)
        counts[kind] += 1
        total += use.kinds[kind].mean
        variance += use.kinds[kind].variance
        of_means = sum(
            count**2 * one.variance / (one.days + 10) for count, one in zip(counts, use.kinds, strict=True)
        )
        margin = 1.2816 * math.sqrt(variance + of_means)
        for name, sum_ in (("early", total + margin), ("expected", total), ("late", total - margin)):
            if sum_ >= left:
                reached.setdefault(name, day)
    due = Due("v", "oil", Status.NOT_DUE, None, (Limit("odometer", "km", left, 1_000_000),))
    found = project(due, today, {"odometer": use})
    assert (found.not_before, found.due_on, found.not_after) == tuple(
        reached.get(name) for name in ("early", "expected", "late")
    )
