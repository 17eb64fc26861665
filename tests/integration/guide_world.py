"""A world small enough to work out in Python: what the guide's questions come to, without SQL and without dbt."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from transform_warehouse import NOW, driver, order, population, site, status

from domain.lifecycle import judge, read_transitions
from fleetflow.settings import PROJECT_ROOT

CHAIN = ("created", "assigned", "picked_up", "in_transit", "out_for_delivery")
REASONS = ("traffic", "weather", "customer_absent", "damaged", "gremlins", None)
NEEDED = {"created": 480, "assigned": 420, "picked_up": 300, "in_transit": 240, "out_for_delivery": 60,
          "failed_attempt": 480, "exception": 480}  # fmt: skip


@dataclass
class Shipment:
    """A shipment as a person would work it out from its order and its events."""

    order: dict[str, Any]
    region: str | None
    events: list[dict[str, Any]]
    legal: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> str:
        reached = self.legal[-1]["status"] if self.legal else "created"
        return (
            "cancelled" if self.order["cancelled_at"] and reached in ("created", "assigned") else str(reached)
        )

    def first(self, status: str) -> datetime | None:
        return next((e["occurred_at"] for e in self.legal if e["status"] == status), None)

    def last(self, status: str) -> datetime | None:
        return next((e["occurred_at"] for e in reversed(self.legal) if e["status"] == status), None)

    @property
    def delivered_at(self) -> datetime | None:
        return self.last("delivered")

    @property
    def transit(self) -> timedelta:
        """From the first pick-up to delivery, of a shipment that has both."""
        picked, delivered = self.first("picked_up"), self.delivered_at
        assert picked is not None
        assert delivered is not None
        return delivered - picked

    @property
    def promised_date(self) -> date:
        promised: datetime = self.order["promised_at"]
        return promised.date()

    @property
    def week(self) -> date:
        return self.promised_date - timedelta(days=self.promised_date.weekday())

    @property
    def sla_state(self) -> str:
        if self.status in ("cancelled", "returned"):
            return self.status
        if self.delivered_at:
            return "on_time" if self.delivered_at <= self.order["promised_at"] else "late"
        return "overdue" if self.order["promised_at"] < NOW else "open"

    @property
    def minutes_late(self) -> int:
        return minutes((self.delivered_at or NOW) - self.order["promised_at"])

    @property
    def troubles(self) -> list[dict[str, Any]]:
        return [e for e in self.legal if e["status"] in ("exception", "failed_attempt")]

    def count(self, status: str) -> int:
        return sum(e["status"] == status for e in self.legal)

    @property
    def breach_reason(self) -> str:
        """The last reason given before delivery, else the stage that overran its share of the promised time most."""
        created, promised = self.order["created_at"], self.order["promised_at"]
        delivered, end = self.delivered_at, self.delivered_at or NOW
        given = [e["reason_code"] for e in self.troubles if e["reason_code"] and e["occurred_at"] <= end]
        if given:
            return str(given[-1])
        picked = self.first("picked_up") or delivered or NOW
        out = self.last("out_for_delivery") or delivered or NOW
        span = promised - created
        over = {
            "late_pickup": picked - created - span * 0.25,
            "late_linehaul": out - picked - span * 0.5,
            "late_last_mile": end - out - span * 0.25,
        }
        return max(over, key=lambda stage: over[stage])

    def held_minutes(self, trouble: dict[str, Any]) -> int:
        after = self.legal[self.legal.index(trouble) + 1 :]
        freed = next((e["occurred_at"] for e in after if e not in self.troubles), NOW)
        return minutes(freed - trouble["occurred_at"])


def minutes(span: timedelta) -> int:
    """Whole minutes, as floor has them."""
    return span // timedelta(minutes=1)


@dataclass
class World:
    """What is landed, in two parts with a close between, and the shipments of the order system that it comes to."""

    rows: dict[str, list[dict[str, Any]]]
    early: list[dict[str, Any]]
    late: list[dict[str, Any]]

    def known(self, events: Iterable[dict[str, Any]]) -> list[Shipment]:
        """The shipments as known from some of the events; what a partner sends again replaces what it sent."""
        transitions = read_transitions((PROJECT_ROOT / "dbt/seeds/shipment_transition.csv").open())
        regions = {s["site_id"]: s["region"] for s in self.rows["sites"]}
        latest: dict[str, dict[str, Any]] = {}
        for event in events:
            was = latest.get(event["event_id"])
            if was is None or event["recorded_at"] > was["recorded_at"]:
                latest[event["event_id"]] = event
        found = []
        for each in self.rows["shipments"]:
            mine = [e for e in latest.values() if e["shipment_id"] == each["shipment_id"]]
            mine.sort(key=lambda e: (e["occurred_at"], e["sequence"]))
            shipment = Shipment(each, regions.get(each["destination_site_id"]), mine)
            verdicts = judge([e["status"] for e in mine], transitions)
            shipment.legal = [e for e, legal in zip(mine, verdicts, strict=True) if legal]
            found.append(shipment)
        return found

    @property
    def now(self) -> list[Shipment]:
        return self.known([*self.early, *self.late])


def make_world(shipments: int = 150, seed: int = 5) -> World:
    """Shipments with legal lives, some troubled, some illegal steps; a fifth of the events comes after the close."""
    dice = random.Random(seed)
    rows = {"sites": [site(i, lat=50.0 + i) for i in range(6)], "drivers": [driver(1)],
            "vehicles": population(1)["vehicles"], "shipments": []}  # fmt: skip
    early: list[dict[str, Any]] = []
    late: list[dict[str, Any]] = []
    for number in range(shipments):
        name = f"g{number:03}"
        made = order(name, dice)
        made["destination_site_id"] = f"x{dice.randint(0, 5)}"
        rows["shipments"].append(made)
        for event in _life(name, made, dice):
            (late if dice.random() < 0.2 else early).append(event)
    for event in dice.sample([e for e in early if e["origin"] == "partner"], 12):
        late.append(event | {"recorded_at": NOW, "status": "exception", "reason_code": "weather"})
    return World(rows, early, late)


def _life(name: str, made: dict[str, Any], dice: random.Random) -> list[dict[str, Any]]:
    steps: list[tuple[str, str | None]] = [
        (step, None) for step in CHAIN[: dice.choice((2, 3, 4, 5, 5, 5, 5, 5))]
    ]
    if len(steps) == 5:
        if dice.random() < 0.4:
            steps += [("failed_attempt", dice.choice(REASONS)), ("out_for_delivery", None)]
        if dice.random() < 0.8:
            steps.append(("delivered", None))
    if len(steps) > 4 and dice.random() < 0.4:
        steps[4:4] = [("exception", dice.choice(REASONS)), ("in_transit", None)]
    if dice.random() < 0.1:
        steps.append(("assigned", None))
    at = (made["created_at"] - NOW) / timedelta(minutes=1)
    origin = dice.choice(("device", "partner"))
    events = []
    for number, (step, reason) in enumerate(steps):
        at += dice.choice((5.0, dice.uniform(5, 500)))
        place = float(made["origin_site_id" if number < 4 else "destination_site_id"][1:])
        events.append(
            status(name, number, step, min(at, -1 + number / 100), origin=origin, reason_code=reason, driver_id="d1",
                   lat=50.0 + place + (0.001 if number % 2 else 0.0), lon=9.0)
        )  # fmt: skip
    return events
