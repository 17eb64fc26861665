"""Shipments that the report's tests write: into the order database, and as events into landing."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from fleetflow.runtime import connect
from fleetflow.settings import Settings

TENANT, OTHER = "acme", "globex"
# Ahead by more than a whole test run takes, since this is set when tests are collected; events may be an hour ahead.
AS_OF = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=50)
REPORT_DAY = AS_OF.date() - timedelta(days=1)
SITES = {"HUB-1": "Nord", "HUB-2": "Süd", "HUB-3": "West"}
TARGETS = {"express": 0.97, "standard": 0.95, "economy": 0.90}
WAYS = {
    "on_time": ("out_for_delivery", "delivered"),
    "late": ("out_for_delivery", "delivered"),
    "open": ("out_for_delivery",),
    "returned": ("returned",),
    "cancelled": (),
}


@dataclass(frozen=True)
class Shipment:
    """One shipment that the test writes, and what is to become of it."""

    shipment_id: str
    tenant: str
    carrier: str
    level: str
    origin: str
    destination: str
    promised_at: datetime
    outcome: str
    late_min: int = 0
    reason: str | None = None

    @property
    def day(self) -> date:
        return self.promised_at.date()

    @property
    def region(self) -> str:
        return SITES[self.destination.removeprefix(f"{self.tenant}-")]

    def member(self, dimension: str) -> str:
        return {"all": "all", "region": self.region, "carrier": self.carrier, "service_level": self.level}[
            dimension
        ]

    def steps(self) -> list[tuple[str, datetime, str | None]]:
        """Return the events of its life: status, time, reason."""
        if self.outcome == "cancelled":
            return []
        start = self.promised_at - timedelta(hours=30)
        way = ["created", "assigned", "picked_up", "in_transit"]
        if self.reason:
            way += ["exception", "in_transit"]
        way += WAYS[self.outcome]
        times = [start + timedelta(hours=3 * n) for n in range(len(way))]
        if way[-1] == "delivered":
            times[-1] = self.promised_at + timedelta(minutes=self.late_min, seconds=5 if self.late_min else 0)
        return [(s, t, self.reason if s == "exception" else None) for s, t in zip(way, times, strict=True)]


def make_shipments() -> list[Shipment]:
    chance = random.Random(11)
    made = []
    midnight = datetime.combine(REPORT_DAY, datetime.min.time(), UTC)
    for n in range(420):
        tenant = TENANT if n % 6 else OTHER
        back = chance.choice((0, 0, 0, 1, 2, 3, 5, 7, 8))
        promised = midnight - timedelta(days=back) + timedelta(minutes=chance.randrange(1440))
        outcome = chance.choices(tuple(WAYS), (70, 15, 7, 4, 4))[0]
        origin, destination = (f"{tenant}-{site}" for site in chance.sample(tuple(SITES), 2))
        made.append(
            Shipment(
                f"SHP-{n:04}",
                tenant,
                chance.choice(("own", "=2+3", "north")),
                chance.choice(tuple(TARGETS)),
                origin,
                destination,
                promised,
                outcome,
                chance.randrange(1, 500) if outcome == "late" else 0,
                chance.choice((None, None, "traffic", "weather")),
            )
        )
    for n, left in enumerate((30, 90, 210, 700)):
        made.append(
            Shipment(
                f"RISK-{n}",
                TENANT,
                "own",
                "express",
                f"{TENANT}-HUB-1",
                f"{TENANT}-HUB-2",
                AS_OF + timedelta(minutes=left),
                "open",
            )
        )
    return made


SHIPMENTS = make_shipments()
OURS = [s for s in SHIPMENTS if s.tenant == TENANT]
COUNTED = [s for s in OURS if s.outcome != "cancelled"]


def fill_orders(settings: Settings) -> None:
    with connect(settings.orders_dsn.reveal()) as conn:
        for tenant in (TENANT, OTHER):
            for site, region in SITES.items():
                conn.execute(
                    "insert into sites"
                    " (site_id, tenant_id, name, kind, region, country, city, lat, lon, timezone)"
                    " values (%s, %s, %s, 'hub', %s, 'DE', 'Essen', 51, 7, 'Europe/Berlin')",
                    (f"{tenant}-{site}", tenant, f"<script>alert('{site}')</script>", region),
                )
        for s in SHIPMENTS:
            created = s.promised_at - timedelta(days=2)
            cancelled = created if s.outcome == "cancelled" else None
            conn.execute(
                "insert into shipments values (%s, %s, %s, 'cust', %s, %s, 'road', %s, %s, 1, 5, 100, 'EUR',"
                " 'created', %s, %s, %s)",
                (
                    s.shipment_id,
                    s.tenant,
                    s.shipment_id,
                    s.carrier,
                    s.level,
                    s.origin,
                    s.destination,
                    created,
                    s.promised_at,
                    cancelled,
                ),
            )


def fill_landing(settings: Settings) -> None:
    rows = [(s, *step) for s in SHIPMENTS for step in s.steps()]
    with connect(settings.dsn("loader")) as conn:
        found = conn.execute(
            "insert into ops.batch (source, feed, events_read, accepted, rejected, worker)"
            " values ('stream', 'shipment_event', %s, %s, 3, 'test') returning batch_id",
            (len(rows) + 3, len(rows)),
        ).fetchone()
        assert found is not None
        (batch,) = found
        for n, (s, status, at, reason) in enumerate(rows):
            conn.execute(
                "insert into landing.shipment_event"
                " (tenant_id, event_id, recorded_at, schema_version, shipment_id,"
                " status, occurred_at, vehicle_id, reason_code, origin, batch_id, line, arrived_at)"
                " values (%s, %s, %s, 1, %s, %s, %s, 'VEH-1', %s, 'device', %s, %s, now())",
                (s.tenant, f"E{n}", at, s.shipment_id, status, at, reason, batch, n),
            )
        conn.cursor().executemany(
            "insert into ops.rejected (batch_id, feed, rule, detail, raw)"
            " values (%s, 'shipment_event', %s, 'x', 'x')",
            [(batch, "wrong_type"), (batch, "wrong_type"), (batch, "malformed_json")],
        )
    with connect(settings.dsn("transformer")) as conn:
        for passed, hours in ((False, 3), (True, 1)):
            conn.execute(
                "insert into ops.check_result"
                " (suite, check_name, subject, severity, passed, detail, checked_at)"
                " values ('marts', 'late_events', 'x', 'error', %s, 'seen', %s)",
                (passed, AS_OF - timedelta(hours=hours)),
            )
