"""The guide's questions about shipments, run as an analyst, against answers worked out in Python"
" from the same events."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import yaml
from guide_page import answer, statements
from guide_world import NEEDED, Shipment, World, make_world, minutes
from psycopg import sql
from transform_warehouse import NOW, land, mirror, transform, warehouse

from fleetflow.local.stack import running
from fleetflow.metrics import DEFINITIONS, Question, ask, load_metrics
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings

Rows = list[tuple[Any, ...]]
RATES = {"express": 1200, "standard": 500, "economy": 200}
CONTROLLABLE = {"traffic": False, "weather": False, "customer_absent": False, "damaged": True}
EDI = {
    "traffic": ("BE", "condition of the road"),
    "weather": ("AO", "weather or a natural disaster"),
    "customer_absent": ("AQ", "recipient not available"),
    "damaged": ("AK", "damaged and wrapped anew at a hub"),
}


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Settings]:
    """The world in a warehouse: a part before the close of 9 March, the rest on the 10th; and a"
    " second tenant's."""
    with running(tmp_path_factory.mktemp("guide"), ("postgres",)) as stack, warehouse(stack) as settings:
        with connect(settings.dsn("owner"), autocommit=True) as conn:
            _turn_to(conn, "2026-03-09 20:00+00")
            for entity, rows in world.rows.items():
                mirror(conn, entity, [*rows, *(_of_rival(entity, row) for row in rows[:5])])
            land(conn, "shipment_event", [*world.early, *(_of_rival("event", e) for e in world.early[:30])])
            transform(settings)
            _turn_to(conn, f"{NOW:%F %T}+00")
            land(conn, "shipment_event", world.late)
            transform(settings)
        yield settings


def _turn_to(conn: Connection, moment: str) -> None:
    conn.execute(
        sql.SQL("alter database {} set fleetflow.as_of = {}").format(
            sql.Identifier(conn.info.dbname), sql.Literal(moment)
        )
    )


def _of_rival(entity: str, row: dict[str, Any]) -> dict[str, Any]:
    keys = {"sites": "site_id", "drivers": "driver_id", "vehicles": "vehicle_id"}
    key = keys.get(entity, "shipment_id")
    return row | {"tenant_id": "rival", key: f"r-{row[key]}"}


def by(shipments: Sequence[Shipment], *names: str) -> dict[tuple[Any, ...], list[Shipment]]:
    groups: dict[tuple[Any, ...], list[Shipment]] = defaultdict(list)
    for shipment in shipments:
        groups[tuple(_fact(shipment, name) for name in names)].append(shipment)
    return groups


def _fact(shipment: Shipment, name: str) -> Any:
    return shipment.order[name] if name in shipment.order else getattr(shipment, name)


def promised(world: World) -> list[Shipment]:
    return [s for s in world.now if s.status != "cancelled"]


def delivered(world: World) -> list[Shipment]:
    return [s for s in world.now if s.delivered_at]


def on_time(shipments: Sequence[Shipment]) -> int:
    return sum(s.sla_state == "on_time" for s in shipments)


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def on_time_by_carrier(world: World) -> Rows:
    due = [s for s in promised(world) if s.promised_date <= NOW.date()]
    rows = [(k, len(g), on_time(g), on_time(g) / len(g)) for (k,), g in by(due, "carrier_id").items()]
    return sorted(rows, key=lambda row: (row[2] - row[1], row[0]))


def breach_reasons(world: World) -> Rows:
    broken = [s for s in world.now if s.sla_state in ("late", "overdue")]
    counted = Counter((s.breach_reason, s.sla_state) for s in broken)
    return sorted(((*key, n) for key, n in counted.items()), key=lambda row: (-row[2], row[0], row[1]))


def at_risk(world: World) -> Rows:
    left = [
        (s.region or "unknown", minutes(s.order["promised_at"] - NOW))
        for s in world.now
        if s.sla_state == "open" and minutes(s.order["promised_at"] - NOW) < NEEDED[s.status]
    ]
    regions = {region for region, _ in left}
    rows = [(r, sum(x == r for x, _ in left), min(m for x, m in left if x == r)) for r in regions]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def exceptions_per_100(world: World) -> Rows:
    return sorted(
        (level, len(g), sum(s.count("exception") for s in g) * 100 / len(g))
        for (level,), g in by(promised(world), "service_level").items()
    )


def reattempts(world: World) -> Rows:
    return sorted(
        (region or "unknown", len(g), sum(s.count("failed_attempt") > 0 for s in g) / len(g))
        for (region,), g in by(delivered(world), "region").items()
    )


def cost(shipment: Shipment) -> int:
    return int(shipment.minutes_late * RATES[shipment.order["service_level"]] / 60 + 0.5)


def cost_of_delay(world: World) -> Rows:
    broken = [s for s in world.now if s.sla_state in ("late", "overdue")]
    groups: dict[tuple[str, bool | None], list[Shipment]] = defaultdict(list)
    for s in broken:
        groups[s.order["carrier_id"], CONTROLLABLE.get(s.breach_reason)].append(s)
    rows = [
        (k, c, len(g), sum(s.minutes_late for s in g), sum(map(cost, g)), "EUR")
        for (k, c), g in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row[4], row[0], {False: 0, True: 1, None: 2}[row[1]]))


def carrier_trend(world: World) -> Rows:
    shares = {
        key: on_time(g) / len(g) for key, g in sorted(by(promised(world), "carrier_id", "week").items())
    }
    rows: Rows = []
    for carrier, week in shares:
        before = [shares[key] for key in shares if key[0] == carrier and key[1] < week]
        rows.append(
            (carrier, week, shares[carrier, week], shares[carrier, week] - before[-1] if before else None)
        )
    return rows


def lateness(world: World) -> Rows:
    late = [s for s in promised(world) if s.sla_state == "late"]
    return [
        (
            *key,
            len(g),
            quantile([s.minutes_late for s in g], 0.5),
            quantile([s.minutes_late for s in g], 0.95),
        )
        for key, g in sorted(by(late, "carrier_id", "week").items())
    ]


def slow_lanes(world: World) -> Rows:
    regions = {s["site_id"]: s["region"] for s in world.rows["sites"]}
    worst: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for (origin, destination, _), g in by(
        delivered(world), "origin_site_id", "destination_site_id", "week"
    ).items():
        hours = [s.transit.total_seconds() / 3600 for s in g]
        worst[regions[origin], regions[destination]].append((len(g), quantile(hours, 0.95)))
    rows = [(*key, sum(n for n, _ in found), max(p for _, p in found)) for key, found in worst.items()]
    return sorted(rows, key=lambda row: (-row[3], row[0], row[1]))


def dwell(world: World) -> Rows:
    stays: Counter[str] = Counter()
    stayed: Counter[str] = Counter()
    for s in world.now:
        places = [round(e["lat"] - 50) for e in s.legal]
        start = 0
        for at in range(1, len(places) + 1):
            if at == len(places) or places[at] != places[start]:
                name = f"Site {places[start]}"
                stays[name] += 1
                stayed[name] += minutes(s.legal[at - 1]["occurred_at"] - s.legal[start]["occurred_at"])
                start = at
    return sorted(((n, stays[n], stayed[n]) for n in stays), key=lambda row: (-row[2], row[0]))


def edi_codes(world: World) -> Rows:
    held: dict[str, list[int]] = defaultdict(list)
    for s in world.now:
        for trouble in s.troubles:
            if trouble["reason_code"] in EDI:
                held[trouble["reason_code"]].append(s.held_minutes(trouble))
    rows = [(*EDI[reason], len(found), sum(found)) for reason, found in held.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def revised_since_close(world: World) -> Rows:
    then = by([s for s in world.known(world.early) if s.status != "cancelled"], "promised_date")
    now = by(promised(world), "promised_date")
    return [(day, len(g), on_time(g), on_time(now[(day,)])) for (day,), g in sorted(then.items())]


def taken_back(world: World) -> Rows:
    """Beliefs change where content, place in the life, verdict or the status before does."""
    known = {"device": [0, 0], "partner": [0, 0]}

    def beliefs(shipments: Sequence[Shipment]) -> dict[str, tuple[Any, ...]]:
        found: dict[str, tuple[Any, ...]] = {}
        for s in shipments:
            before = None
            for place, e in enumerate(s.events, start=1):
                legal = any(e is one for one in s.legal)
                found[e["event_id"]] = (e["origin"], place, before, legal, e["status"], e["recorded_at"])
                before = e["status"] if legal else before
        return found

    was, now = beliefs(world.known(world.early)), beliefs(world.now)
    for event, belief in now.items():
        known[belief[0]][0] += 1
        if event in was and was[event] != belief:
            known[belief[0]][0] += 1
            known[belief[0]][1] += 1
    return [(origin, *counts) for origin, counts in sorted(known.items())]


EXPECTED: dict[str, Callable[[World], Rows]] = {
    f"shipments.{answers.__name__}": answers
    for answers in (
        on_time_by_carrier, breach_reasons, at_risk, exceptions_per_100, reattempts, cost_of_delay, carrier_trend,
        lateness, slow_lanes, dwell, edi_codes, revised_since_close, taken_back,
    )
}  # fmt: skip


def approximately(rows: Rows) -> list[tuple[Any, ...]]:
    return [
        tuple(pytest.approx(c, rel=1e-9, abs=1e-9) if isinstance(c, float) else c for c in row)
        for row in rows
    ]


def test_each_question_has_an_answer() -> None:
    assert [identifier for identifier, _ in statements("shipments")] == list(EXPECTED)


@pytest.mark.parametrize(
    ("identifier", "statement"),
    statements("shipments"),
    ids=[identifier for identifier, _ in statements("shipments")],
)
def test_the_guide_says_what_a_person_would_work_out(
    marts: Settings, world: World, identifier: str, statement: str
) -> None:
    expected = EXPECTED[identifier](world)
    assert expected
    assert answer(marts, statement, "acme") == approximately(expected)
    assert answer(marts, statement, "nobody") == []


# Each metric by hand: another statement than the definition compiles to, over the tables beneath.
BY_HAND = {
    "on_time_share": "select count(*) filter (where delivered_at <= promised_at and status ="
    " 'delivered')::float / count(*)"
    " from marts.fct_shipment where in_order_system and status <> 'cancelled'",
    "late_minutes_mean": "select avg(minutes_late)::float from marts.fct_shipment_sla where"
    " sla_state = 'late'",
    "open_share": "select count(*) filter (where sla_state in ('open', 'overdue'))::float /"
    " count(*) from marts.fct_shipment_sla"
    " where sla_state <> 'cancelled'",
    "exceptions_per_100_shipments": "select 100.0 * (select count(*) from marts.fct_delivery_exception as x"
    " join marts.fct_shipment as s using (tenant_id, shipment_id) where x.kind = 'exception' and"
    " s.status <> 'cancelled'"
    " and s.in_order_system)"
    " / (select count(*) from marts.fct_shipment_sla where sla_state <> 'cancelled')",
    "reattempt_share": "select avg((attempt > 1)::int)::float from marts.fct_delivery_attempt where"
    " outcome = 'delivered'",
    "transit_hours_mean": "select avg(extract(epoch from delivered_at - picked_up_at) /"
    " 3600)::float from marts.fct_shipment"
    " where delivered_at is not null and in_order_system",
    "illegal_event_share": "select avg((not is_legal)::int)::float from"
    " marts.fct_shipment_status_history where is_current",
    "resolve_minutes_mean": "select avg(floor(extract(epoch from resolved_at - occurred_at) / 60))::float"
    " from marts.fct_delivery_exception",
    "delay_cost_minor": "select sum(round((case sla_state when 'late' then minutes_late else"
    " floor(extract(epoch from ops.as_of() - promised_at) / 60) end)"
    " * r.minor_per_hour / 60.0))::float from marts.fct_shipment_sla join marts.delay_rate as r"
    " using (service_level)"
    " where sla_state in ('late', 'overdue')",
    "controllable_delay_share": "select sum(case when e.controllable then m end)::float / sum(m)"
    " from (select breach_reason,"
    " coalesce(minutes_late, floor(extract(epoch from ops.as_of() - promised_at) / 60)) as m"
    " from marts.fct_shipment_sla where sla_state"
    " in ('late', 'overdue')) as s"
    " left join marts.exception_reason as e on e.reason_code = s.breach_reason",
    "dwell_minutes_mean": "select avg(floor(extract(epoch from last_seen_at - arrived_at) /"
    " 60))::float from marts.fct_shipment_dwell",
}


def test_each_metric_of_shipments_has_sql_by_hand() -> None:
    defined = yaml.safe_load((DEFINITIONS / "shipments.yml").read_text())["metrics"]
    assert {metric["name"] for metric in defined} == set(BY_HAND)


@pytest.mark.parametrize("name", BY_HAND)
def test_a_metric_is_what_its_sql_by_hand_says(marts: Settings, name: str) -> None:
    [(expected,)] = answer(marts, BY_HAND[name], "acme")
    with connect(marts.dsn("analyst"), autocommit=True) as conn:
        [row] = ask(conn, "acme", load_metrics()[name], Question()).as_dicts()
        assert row["value"] == pytest.approx(expected)
        assert expected
        nothing = ask(conn, "nobody", load_metrics()[name], Question()).as_dicts()
        assert nothing[0]["value"] is None
        assert conn.execute("select current_setting('fleetflow.tenant', true)").fetchone() in ((None,), ("",))


@pytest.mark.parametrize("name", BY_HAND)
def test_parts_of_a_metric_come_to_the_whole(marts: Settings, name: str) -> None:
    """By each dimension the numerators and denominators add up to those of the whole."""
    metric = load_metrics()[name]
    with connect(marts.dsn("analyst"), autocommit=True) as conn:
        [whole] = ask(conn, "acme", metric, Question()).as_dicts()
        for dimension in (*metric.dimensions, "week"):
            parts = ask(conn, "acme", metric, Question(by=(dimension,))).as_dicts()
            assert sum(p["numerator"] or 0 for p in parts) == pytest.approx(whole["numerator"])
            one = parts[0]
            if one[dimension] is not None and dimension in metric.dimensions:
                member = Question(members={dimension: str(one[dimension]).lower() if isinstance(one[dimension], bool)
                                           else str(one[dimension])})  # fmt: skip
                [again] = ask(conn, "acme", metric, member).as_dicts()
                assert again["numerator"] == pytest.approx(one["numerator"])
