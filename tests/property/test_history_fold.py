"""The status history against a reference interpreter in plain Python over `domain.lifecycle.judge`.

Whatever the events, however often they repeat, even with another content under the same id, in whatever order and in
whatever batches they arrive: the history and what it comes to are those of the reference.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain.lifecycle import STATUSES, judge, read_transitions
from fleetflow.dbt_project import run_models
from fleetflow.local.stack import running
from fleetflow.runtime import Connection, connect
from fleetflow.settings import PROJECT_ROOT, Settings
from fleetflow.transform import claim, mark

START = datetime(2026, 1, 1, tzinfo=UTC)
LEGAL = read_transitions((PROJECT_ROOT / "dbt/seeds/shipment_transition.csv").read_text().splitlines())
MODELS = "int_shipment_event_claimed int_shipment_touched int_shipment_status_history"
TENANTS = itertools.count()
LIKELY = ("created", "assigned", "picked_up", "in_transit", "out_for_delivery", "delivered", "failed_attempt")


@dataclass(frozen=True)
class Event:
    """A shipment event; minutes count from START. The fields after event_id are in the order of the content."""

    shipment_id: str
    event_id: str
    recorded: int
    occurred: int
    sequence: int | None
    status: str
    reason_code: str | None
    driver_id: str | None
    origin: str = "device"


def last_none(values: Sequence[Any]) -> tuple[tuple[bool, Any], ...]:
    """A key that sorts None after any value."""
    return tuple((value is None, 0 if value is None else value) for value in values)


def content(event: Event) -> tuple[Any, ...]:
    """The smallest wins: of a partner's contents the one sent last, of others the one sent first."""
    corrects = event.origin == "partner"
    return (not corrects, -event.recorded if corrects else 0, *last_none(astuple(event)))


def reference(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    """(shipment, event, position, previous status, status, is legal, occurred) of each distinct event, judged."""
    winners: dict[tuple[str, str], Event] = {}
    for event in events:
        key = (event.shipment_id, event.event_id)
        winners[key] = min(winners.get(key, event), event, key=content)
    rows = []
    for shipment in {event.shipment_id for event in winners.values()}:
        life = sorted(
            (event for event in winners.values() if event.shipment_id == shipment),
            key=lambda e: last_none((e.occurred, e.sequence, e.recorded, e.event_id)),
        )
        state: str | None = None
        verdicts = judge([event.status for event in life], LEGAL)
        for position, (event, is_legal) in enumerate(zip(life, verdicts, strict=True), start=1):
            rows.append((shipment, event.event_id, position, state, event.status, is_legal, event.occurred))
            state = event.status if is_legal else state
    return sorted(rows)


events = st.builds(
    Event,
    shipment_id=st.sampled_from([f"s{i}" for i in range(8)]),
    event_id=st.sampled_from([f"e{i}" for i in range(12)]),
    recorded=st.integers(0, 5),
    occurred=st.integers(0, 8),
    sequence=st.none() | st.integers(0, 3),
    status=st.sampled_from(LIKELY) | st.sampled_from(STATUSES),
    reason_code=st.none() | st.just("traffic"),
    driver_id=st.none() | st.sampled_from(["d1", "d2"]),
    origin=st.sampled_from(("device", "partner")),
)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("history"), ("postgres",)) as stack:
        run_models(stack, None)
        yield stack


def land(conn: Connection, tenant: str, batch: Sequence[Event]) -> None:
    row = conn.execute(
        "insert into ops.batch (source, feed, events_read, accepted, rejected, worker)"
        " values ('stream', 'shipment_event', %(n)s, %(n)s, 0, 'test') returning batch_id",
        {"n": len(batch)},
    ).fetchone()
    assert row is not None
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into landing.shipment_event (tenant_id, event_id, recorded_at, schema_version, shipment_id, status,"
            " occurred_at, driver_id, reason_code, sequence, origin, batch_id, line, arrived_at)"
            " values (%s, %s, %s, 1, %s, %s, %s, %s, %s, %s, %s, %s, %s, now())",
            [
                (tenant, e.event_id, START + timedelta(minutes=e.recorded), e.shipment_id, e.status,
                 START + timedelta(minutes=e.occurred), e.driver_id, e.reason_code, e.sequence, e.origin, row[0],
                 line)
                for line, e in enumerate(batch)
            ],
        )  # fmt: skip


def transform(stack: Settings) -> None:
    with connect(stack.dsn("transformer"), autocommit=True) as conn:
        run = claim(conn)
        assert run is not None
        run_models(stack, run.run_id, select=MODELS)
        mark(conn, run)


def stored(conn: Connection, tenant: str) -> list[tuple[Any, ...]]:
    rows = conn.execute(
        "select shipment_id, event_id, position, previous_status, status, is_legal,"
        " (extract(epoch from occurred_at - %s) / 60)::int"
        " from intermediate.int_shipment_status_history where tenant_id = %s",
        (START, tenant),
    )
    return sorted(rows.fetchall())


def lives(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """(shipment, last legal status, events, illegal ones, failed attempts) by the history's rows."""
    found = []
    for shipment, group in itertools.groupby(sorted(rows, key=lambda r: (r[0], r[2])), key=lambda r: r[0]):
        life = list(group)
        legal = [row[4] for row in life if row[5]]
        found.append((shipment, legal[-1] if legal else None, len(life), len(life) - len(legal),
                      legal.count("failed_attempt")))  # fmt: skip
    return sorted(found)


def stored_lives(conn: Connection, tenant: str) -> list[tuple[Any, ...]]:
    rows = conn.execute(
        "select shipment_id, status, events, illegal_transitions, failed_attempts"
        " from intermediate.int_shipment_life where tenant_id = %s",
        (tenant,),
    )
    return sorted(rows.fetchall())


@settings(
    max_examples=6,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
@given(batches=st.lists(st.lists(events, min_size=20, max_size=60), min_size=2, max_size=3), data=st.data())
def test_history_equals_the_reference(
    warehouse: Settings, batches: list[list[Event]], data: st.DataObject
) -> None:
    tenant = f"t{next(TENANTS)}"
    repeated = data.draw(st.lists(st.sampled_from(batches[0]), max_size=10), label="repeated")
    arrived: list[Event] = []
    with connect(warehouse.dsn("owner"), autocommit=True) as conn:
        for batch in [*batches[:-1], batches[-1] + repeated]:
            land(conn, tenant, batch)
            transform(warehouse)
            arrived += batch
            assert stored(conn, tenant) == reference(arrived)
            assert stored_lives(conn, tenant) == lives(reference(arrived))


def test_reference_knows_a_repeat_and_an_illegal_step() -> None:
    created = Event("s", "e1", 0, 0, None, "created", None, None)
    delivered = Event("s", "e2", 0, 1, None, "delivered", None, None)
    assert reference([delivered, created, created]) == [
        ("s", "e1", 1, None, "created", True, 0),
        ("s", "e2", 2, "created", "delivered", False, 1),
    ]
