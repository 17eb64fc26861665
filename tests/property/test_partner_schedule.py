"""Expected instants against a reading of the calendar minute by minute, and what serving always keeps."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.partners.declare.model import WEEKDAYS, Arrival, Completeness, CsvFormat, Declaration
from ingestion.partners.fetch.arrival import expected_at, find_whole, serve
from ingestion.partners.fetch.place import RemoteFile

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = st.builds(time, st.integers(0, 23), st.sampled_from((0, 15, 30, 59)))
ARRIVALS = st.builds(
    Arrival,
    times=st.lists(TIMES, min_size=1, max_size=3, unique=True).map(tuple),
    zone=st.sampled_from(ZONES),
    weekdays=st.lists(st.sampled_from(WEEKDAYS), min_size=1, unique=True).map(tuple),
    month_days=st.lists(st.integers(1, 31), max_size=4, unique=True).map(tuple),
    grace=st.integers(0, 48).map(lambda hours: timedelta(hours=hours)),
)
MOMENTS = st.integers(0, 420 * 24 * 60).map(lambda minutes: BEGIN + timedelta(minutes=minutes))


def declared(arrival: Arrival, completeness: Completeness | None = None) -> Declaration:
    return Declaration(
        name="alpha", tenant_id="acme", feed="fuel_purchase", account="alpha", directory="out", pattern="*",
        format=CsvFormat(), columns={}, line_key=(), arrival=arrival, completeness=completeness or Completeness(),
    )  # fmt: skip


def read_calendar(arrival: Arrival, begin: datetime, end: datetime) -> set[datetime]:
    """Walk over every minute and look at the clock on the wall; the minutes that a spring leaves out are added."""
    zone, found, seen = ZoneInfo(arrival.zone), set(), set()
    at = begin - timedelta(days=2)
    before = None
    while at < end + timedelta(days=2):
        wall = at.astimezone(zone)
        shown = [wall.replace(tzinfo=None, fold=0)]
        if before is not None and shown[0] - before > timedelta(minutes=1):
            # What the clock skipped is due as long after the jump as it lay after its beginning.
            skipped = int((shown[0] - before) / timedelta(minutes=1)) - 1
            for n in range(1, skipped + 1):
                missed = before + timedelta(minutes=n)
                if fits(arrival, missed):
                    found.add(at + timedelta(minutes=n - 1))
        if fits(arrival, shown[0]) and shown[0] not in seen:
            found.add(at)
        seen.add(shown[0])
        before = shown[0]
        at += timedelta(minutes=1)
    return {at for at in found if begin <= at < end}


def fits(arrival: Arrival, wall: datetime) -> bool:
    on_day = WEEKDAYS[wall.weekday()] in arrival.weekdays and (
        not arrival.month_days or wall.day in arrival.month_days
    )
    return on_day and any((wall.hour, wall.minute) == (one.hour, one.minute) for one in arrival.times)


@settings(max_examples=25, deadline=None)
@given(ARRIVALS, MOMENTS, st.integers(0, 3 * 24 * 60))
def test_expected_instants_are_those_of_the_calendar(arrival: Arrival, begin: datetime, minutes: int) -> None:
    end = begin + timedelta(minutes=minutes)
    assert set(expected_at(declared(arrival), begin, end)) == read_calendar(arrival, begin, end)


@settings(max_examples=60, deadline=None)
@given(ARRIVALS, MOMENTS, st.integers(1, 30), st.integers(1, 30))
def test_windows_that_touch_give_each_instant_once(
    arrival: Arrival, begin: datetime, first: int, second: int
) -> None:
    middle, end = begin + timedelta(days=first), begin + timedelta(days=first + second)
    rules = declared(arrival)
    assert expected_at(rules, begin, middle) + expected_at(rules, middle, end) == expected_at(
        rules, begin, end
    )


@settings(max_examples=100, deadline=None)
@given(ARRIVALS, MOMENTS, st.lists(st.integers(-2000, 20_000), max_size=8), st.integers(-500, 25_000))
def test_serving_uses_each_file_at_most_once_and_in_its_time(
    arrival: Arrival, begin: datetime, minutes: list[int], until: int
) -> None:
    rules, now = declared(arrival), begin + timedelta(minutes=until)
    expected = expected_at(rules, begin, begin + timedelta(days=12))
    came = [begin + timedelta(minutes=n) for n in minutes]
    found = serve(rules, expected, came, now)
    assert [one.expected_at for one in found] == expected
    used = [one.at for one in found if one.at is not None]
    assert all(used.count(at) <= came.count(at) for at in used)
    for one in found:
        overdue = now > one.expected_at + arrival.grace
        assert one.is_missing == (one.at is None and overdue)
        assert one.is_late == (one.at is not None and one.at > one.expected_at + arrival.grace)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 3)), max_size=12))
def test_a_growing_file_is_not_whole_before_two_equal_looks(writes: list[tuple[str, int, int]]) -> None:
    """A stable file is what the look before found, and nothing else; looks of other names do not help it."""
    rules = declared(Arrival((time(6),)), Completeness(stable=True))
    before: dict[str, tuple[int, datetime]] = {}
    state: dict[str, tuple[int, datetime]] = {}
    for name, size, second in writes:
        state[name] = (size, BEGIN + timedelta(seconds=second))
        listing = [RemoteFile(n, s, at) for n, (s, at) in state.items()]
        whole = {one.file.name for one in find_whole(listing, rules, before)}
        assert whole == {n for n, look in state.items() if before.get(n) == look}
        before = dict(state)
