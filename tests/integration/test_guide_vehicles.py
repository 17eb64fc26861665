"""The guide's questions about vehicles, run as an analyst, against answers worked out in Python from the same rows; and
each metric of vehicles against SQL by hand and Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

import pytest
import test_guide_shipments
import yaml
from guide_fleet import TODAY, Fleet, Row, dues, make_fleet, remaining
from guide_page import answer, statements
from psycopg import sql
from transform_warehouse import NOW, warehouse

from fleetflow.dbt_project import run_models
from fleetflow.local.stack import running
from fleetflow.metrics import DEFINITIONS, Question, ask, load_metrics
from fleetflow.runtime import connect
from fleetflow.settings import Settings

Rows = list[tuple[Any, ...]]
MONTH = timedelta(days=28)
FLEETS = {"acme": make_fleet("acme", 1), "rival": make_fleet("rival", 2)}


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A warehouse built of no events, with the rows of two tenants."""
    with running(tmp_path_factory.mktemp("guide"), ("postgres",)) as stack, warehouse(stack) as settings:
        run_models(settings, None)
        with connect(settings.dsn("transformer"), autocommit=True) as conn, conn.cursor() as cursor:
            for fleet in FLEETS.values():
                for mart, rows in fleet.items():
                    names = list(rows[0])
                    statement = sql.SQL("insert into {} ({}) values ({})").format(
                        sql.Identifier("marts", mart),
                        sql.SQL(", ").join(map(sql.Identifier, names)),
                        sql.SQL(", ").join([sql.Placeholder()] * len(names)),
                    )
                    cursor.executemany(statement, [[row[name] for name in names] for row in rows])
        yield settings


def groups(rows: Iterable[Row], *names: str) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        key = tuple(row[name] for name in names)
        found[key if len(names) > 1 else key[0]].append(row)
    return found


def total(rows: Iterable[Row], name: str) -> float:
    return sum(row[name] for row in rows if row[name] is not None)


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def lately(moment: datetime) -> bool:
    return NOW - MONTH <= moment < NOW


def with_vehicle(fleet: Fleet, mart: str) -> list[Row]:
    vehicles = {vehicle["vehicle_id"]: vehicle for vehicle in fleet["dim_vehicle"]}
    return [{**vehicles[row["vehicle_id"]], **row} for row in fleet[mart]]


def infringements(fleet: Fleet) -> list[Row]:
    """Proven by the data, under EU rules."""
    return [
        finding
        for finding in fleet["fct_driver_hours_finding"]
        if not finding["needs_evidence"] and finding["article"].startswith("Art.")
    ]


def utilization_by_site(fleet: Fleet) -> Rows:
    days = with_vehicle(fleet, "fct_vehicle_utilization_daily")
    recent = groups((day for day in days if day["local_date"] >= TODAY - MONTH), "home_site_id")
    rows = [
        (site, len({day["vehicle_id"] for day in g}), total(g, "driving_s") / total(g, "day_s"))
        for site, g in recent.items()
    ]
    return sorted(rows, key=lambda row: -row[2])


def empty_km_by_week(fleet: Fleet) -> Rows:
    weeks: dict[date, list[Row]] = defaultdict(list)
    for day in fleet["fct_vehicle_utilization_daily"]:
        weeks[monday(day["local_date"])].append(day)
    rows = ((week, total(g, "distance_km"), total(g, "empty_km")) for week, g in sorted(weeks.items()))
    return [(week, km, empty, empty / km) for week, km, empty in rows]


def time_at_sites(fleet: Fleet) -> Rows:
    sites = {site["site_id"]: site for site in fleet["dim_site"]}
    over = groups((visit for visit in fleet["fct_site_visit"] if visit["left_at"]), "site_id")
    rows = [
        (sites[s]["name"], sites[s]["kind"], len(g), median(visit["dwell_s"] for visit in g) / 60)
        for s, g in over.items()
    ]
    return sorted(rows, key=lambda row: -row[3])


def infringements_per_100(fleet: Fleet) -> Rows:
    days = sum(lately(day["started_at"]) for day in fleet["fct_driver_day"])
    counted = Counter(f["rule"] for f in infringements(fleet) if lately(f["broken_at"]))
    rows = [(rule, n, 100 * n / days) for rule, n in counted.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def least_to_drive(fleet: Fleet) -> Rows:
    rows = [
        (key, *(left[f"{name}_min"] for name in ("driving", "until_break", "today", "this_week", "this_fortnight")))
        for key, left in remaining(fleet).items()
        if left["is_driving"]
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row[1], row[0]))[:10]


def litres_by_class(fleet: Fleet) -> Rows:
    told = groups(
        (t for t in with_vehicle(fleet, "fct_fuel_trip") if t["litres"] is not None), "vehicle_class"
    )
    return [
        (name, len(g), total(g, "litres"), 100 * total(g, "litres") / total(g, "distance_km"))
        for name, g in sorted(told.items())
    ]


def fuel_anomalies(fleet: Fleet) -> Rows:
    recent = groups((a for a in fleet["fct_fuel_anomaly"] if lately(a["occurred_at"])), "kind")
    rows = [
        (kind, len(g), sum(a["severity"] in ("medium", "high") for a in g), total(g, "volume_l") or None)
        for kind, g in recent.items()
    ]
    return sorted(rows, key=lambda row: (-(row[3] or -1), row[0]))


def overdue_services(fleet: Fleet) -> Rows:
    late = groups((due for due in dues(fleet) if due["status"] == "overdue"), "home_site_id", "task_id")
    rows = [(*key, len(g), min(due["due_since"] for due in g)) for key, g in late.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))


def unplaced_jobs(fleet: Fleet) -> Rows:
    nowhere = groups(
        (j for j in fleet["fct_maintenance_plan"] if j["plan_date"] == TODAY and j["state"] == "unplaced"), "hindrance"
    )  # fmt: skip
    rows = [
        (hindrance, len(g), sum(j["is_overdue"] for j in g), min(j["missing_days"] for j in g))
        for hindrance, g in nowhere.items()
    ]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def stop_codes(fleet: Fleet) -> Rows:
    rows = [
        (spell["vehicle_id"], spell["code"] or f"SPN {spell['spn']} FMI {spell['fmi']}",
         (NOW - spell["opened_at"]).total_seconds() / 86_400, spell["recurrence"])
        for spell in fleet["fct_dtc_spell"]
        if spell["severity"] == 4 and spell["closed_at"] is None
        and NOW - spell["ecu_last_report_at"] <= timedelta(days=14)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))


EXPECTED: dict[str, Callable[[Fleet], Rows]] = {
    f"vehicles.{answers.__name__}": answers
    for answers in (
        utilization_by_site, empty_km_by_week, time_at_sites, infringements_per_100, least_to_drive, litres_by_class,
        fuel_anomalies, overdue_services, unplaced_jobs, stop_codes,
    )
}  # fmt: skip


def approximately(rows: Rows) -> Rows:
    return [tuple(pytest.approx(c, rel=1e-9) if isinstance(c, float) else c for c in row) for row in rows]


def test_the_page_has_twenty_questions_and_each_an_expectation() -> None:
    asked = [identifier for identifier, _ in statements()]
    assert len(asked) >= 20
    assert asked == [*test_guide_shipments.EXPECTED, *EXPECTED]


@pytest.mark.parametrize("tenant", FLEETS)
@pytest.mark.parametrize(
    ("identifier", "statement"),
    statements("vehicles"),
    ids=[identifier for identifier, _ in statements("vehicles")],
)
def test_the_guide_says_of_vehicles_what_a_person_would_work_out(
    marts: Settings, tenant: str, identifier: str, statement: str
) -> None:
    expected = EXPECTED[identifier](FLEETS[tenant])
    assert len(expected) >= 2
    assert answer(marts, statement, tenant) == approximately(expected)
    assert answer(marts, statement, "nobody") == []


def test_every_way_that_a_service_can_stand_is_there() -> None:
    assert {due["status"] for due in dues(FLEETS["acme"])} >= {"overdue", "not_due", "unknown", "retired"}


class Parts(NamedTuple):
    """A metric in Python, by member of a dimension; and in SQL by hand, of the whole and by member."""

    dimension: str
    numerators: Callable[[Fleet], dict[Any, float]]
    denominators: Callable[[Fleet], dict[Any, float]] | None
    whole: str
    by_member: str


def sums(
    mart: str, dimension: str, value: Callable[[Row], float | None]
) -> Callable[[Fleet], dict[Any, float]]:
    """Sum a value over a mart's rows by a dimension; rows of which it is None are left out."""

    def of(fleet: Fleet) -> dict[Any, float]:
        found: dict[Any, float] = defaultdict(float)
        for row in fleet[mart]:
            measured = value(row)
            if measured is not None:
                found[row[dimension]] += measured
        return found

    return of


def counts(
    rows: Callable[[Fleet], Iterable[Row]], dimension: str, each: float = 1
) -> Callable[[Fleet], dict[Any, float]]:
    return lambda fleet: {key: len(g) * each for key, g in groups(rows(fleet), dimension).items()}


def by_hand(dimension: str, value: str, beneath: str) -> tuple[str, str]:
    return (
        f"select ({value})::float from {beneath}",
        f"select {dimension}, ({value})::float from {beneath} group by {dimension} order by {dimension}",
    )


DAY, DUTY, FIXES = (
    "fct_vehicle_utilization_daily",
    "fct_driver_utilization_daily",
    "fct_position_quality_daily",
)
TRIP = "fct_fuel_trip"
PROVEN = "marts.fct_driver_hours_finding where needs_evidence is false and article like 'Art.%'"
METRICS = {
    "utilization_share": Parts(
        "vehicle_id", sums(DAY, "vehicle_id", lambda d: d["driving_s"]), sums(DAY, "vehicle_id", lambda d: d["day_s"]),
        *by_hand("vehicle_id", "avg(driving_s) / avg(day_s)", f"marts.{DAY}"),
    ),
    "driver_utilization_share": Parts(
        "on_duty_source", sums(DUTY, "on_duty_source", lambda d: d["driving_s"]),
        sums(DUTY, "on_duty_source", lambda d: d["on_duty_s"]),
        *by_hand("on_duty_source", "avg(driving_s) / avg(on_duty_s)", f"marts.{DUTY}"),
    ),
    "empty_share": Parts(
        "time_zone", sums(DAY, "time_zone", lambda d: d["empty_km"]),
        sums(DAY, "time_zone", lambda d: d["distance_km"]),
        *by_hand("time_zone", "1 - sum(distance_km - empty_km) / sum(distance_km)", f"marts.{DAY}"),
    ),
    "idle_share": Parts(
        "vehicle_id", sums(DAY, "vehicle_id", lambda d: d["idle_s"]),
        sums(DAY, "vehicle_id", lambda d: d["engine_on_s"]),
        *by_hand("vehicle_id", "avg(idle_s) / avg(engine_on_s)", f"marts.{DAY} where engine_known_s > 0"),
    ),
    "litres_per_100_km": Parts(
        "terrain", sums(TRIP, "terrain", lambda t: t["litres"] and 100 * t["litres"]),
        sums(TRIP, "terrain", lambda t: t["litres"] and t["distance_km"]),
        *by_hand("terrain", "sum(litres) / (sum(distance_km) filter (where litres >= 0) / 100)", f"marts.{TRIP}"),
    ),
    "fuel_anomalies": Parts(
        "kind", counts(lambda fleet: fleet["fct_fuel_anomaly"], "kind"), None,
        *by_hand("kind", "count(distinct (vehicle_id, anomaly_id))", "marts.fct_fuel_anomaly"),
    ),
    "infringements_per_100_driver_days": Parts(
        "driver_key", counts(infringements, "driver_key", 100),
        counts(lambda fleet: fleet["fct_driver_day"], "driver_key"),
        f"select 100 * (select count(*) from {PROVEN})::float / (select count(*) from marts.fct_driver_day)",
        "select driver_key, 100 * coalesce(f.n, 0)::float / d.n from"
        f" (select driver_key, count(*) as n from {PROVEN} group by 1) as f full join"
        " (select driver_key, count(*) as n from marts.fct_driver_day group by 1) as d using (driver_key) order by 1",
    ),
    "overdue_service_share": Parts(
        "task_id", counts(lambda fleet: (d for d in dues(fleet) if d["status"] == "overdue"), "task_id"),
        counts(lambda fleet: (d for d in dues(fleet) if d["status"] in ("overdue", "due", "not_due")), "task_id"),
        *by_hand("task_id", "avg((status = 'overdue')::int)",
                 "marts.fct_maintenance_due where status not in ('unknown', 'retired')"),
    ),
    "refused_position_share": Parts(
        "vehicle_id", sums(FIXES, "vehicle_id", lambda f: f["fixes"] if f["rule"] in ("jump", "zero") else 0),
        sums(FIXES, "vehicle_id", lambda f: f["fixes"] if f["rule"] != "undecided" else 0),
        *by_hand("vehicle_id", "1 - sum(fixes) filter (where rule = any('{kept,static}'))"
                 " / (sum(fixes) filter (where rule <> 'undecided'))", f"marts.{FIXES}"),
    ),
}  # fmt: skip


def divided(above: float, below: float | None) -> float | None:
    return above / below if below else None


def in_python(parts: Parts, fleet: Fleet) -> tuple[float | None, dict[Any, float | None]]:
    above = parts.numerators(fleet)
    if parts.denominators is None:
        return sum(above.values()), dict(above)
    below = parts.denominators(fleet)
    members = {key: divided(above.get(key, 0), below.get(key)) for key in {*above, *below}}
    return divided(sum(above.values()), sum(below.values())), members


def test_each_metric_of_vehicles_has_sql_by_hand() -> None:
    defined = yaml.safe_load((DEFINITIONS / "vehicles.yml").read_text())["metrics"]
    assert {metric["name"] for metric in defined} == set(METRICS)


@pytest.mark.parametrize("tenant", FLEETS)
@pytest.mark.parametrize("name", METRICS)
def test_a_metric_of_vehicles_is_what_sql_by_hand_and_python_say(
    marts: Settings, tenant: str, name: str
) -> None:
    parts, metric = METRICS[name], load_metrics()[name]
    expected, members = in_python(parts, FLEETS[tenant])
    assert expected
    with connect(marts.dsn("analyst"), autocommit=True) as conn:
        [whole] = ask(conn, tenant, metric, Question()).as_dicts()
        by_member = ask(conn, tenant, metric, Question(by=(parts.dimension,))).as_dicts()
        nothing = ask(conn, "nobody", metric, Question()).as_dicts()
    assert answer(marts, parts.whole, tenant) == [(pytest.approx(expected),)]
    assert whole["value"] == pytest.approx(expected)
    assert not nothing[0]["value"]

    approximate = {key: value if value is None else pytest.approx(value) for key, value in members.items()}
    assert len(members) >= 2
    assert dict(answer(marts, parts.by_member, tenant)) == approximate
    assert {row[parts.dimension]: row["value"] for row in by_member} == approximate


def test_a_driver_without_infringements_has_none_and_one_without_days_no_rate() -> None:
    _, members = in_python(METRICS["infringements_per_100_driver_days"], FLEETS["acme"])
    assert 0 in members.values()
    assert None in members.values()


@pytest.mark.parametrize("tenant", FLEETS)
@pytest.mark.parametrize("name", METRICS)
def test_parts_of_a_metric_of_vehicles_come_to_the_whole(marts: Settings, tenant: str, name: str) -> None:
    metric = load_metrics()[name]
    with connect(marts.dsn("analyst"), autocommit=True) as conn:
        [whole] = ask(conn, tenant, metric, Question()).as_dicts()
        for by in (*metric.dimensions, "week"):
            parts = ask(conn, tenant, metric, Question(by=(by,))).as_dicts()
            for measure in ("numerator", "denominator"):
                assert sum(part[measure] or 0 for part in parts) == pytest.approx(whole[measure] or 0)


def test_days_of_both_marts_cut_infringements_per_driver_day(marts: Settings) -> None:
    fleet, first = FLEETS["acme"], TODAY - MONTH
    expected: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for at, rows, name in (
        (0, infringements(fleet), "broken_at"),
        (1, fleet["fct_driver_day"], "started_at"),
    ):
        for row in rows:
            if first <= row[name].date() < TODAY:
                expected[monday(row[name].date()).isoformat()][at] += 1
    question = Question(by=("week",), from_day=first, to_day=TODAY - timedelta(days=1))
    with connect(marts.dsn("analyst"), autocommit=True) as conn:
        rows = ask(conn, "acme", load_metrics()["infringements_per_100_driver_days"], question).as_dicts()
    assert len(rows) >= 4
    assert {row["week"]: [row["numerator"] / 100, row["denominator"]] for row in rows} == expected
