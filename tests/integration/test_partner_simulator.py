"""The simulated partners' files, through SFTP to landing: what the sender says is what the ledger and landing hold."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fleetflow.local.stack import running
from fleetflow.partner_load import load_settled
from fleetflow.partners import read_partner
from fleetflow.settings import Settings
from fleetflow.simulator.fleet import build_fleet
from fleetflow.simulator.partners import FleetFacts, PartnerTruth, drop_files, facts_of, plan_files
from fleetflow.simulator.plan import SimulationPlan

PARTNERS = ("nordcard", "swiftline", "torque")


@pytest.fixture(scope="module")
def facts() -> FleetFacts:
    start = datetime.now(UTC).replace(microsecond=0)
    plan = SimulationPlan(
        start=start, seed=5, history_days=3, history_shipments=300, shipments=300, vehicles=900, drivers=1200,
        telemetry_vehicles=6,
    )  # fmt: skip
    return facts_of(build_fleet(plan))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("partners") / "home"
    with running(home, ("postgres", "aws", "sftp")) as found:
        yield found


@pytest.fixture(scope="module")
def truth(settings: Settings, facts: FleetFacts) -> PartnerTruth:
    """Everything sent and loaded, wave by wave."""
    said = drop_files(settings.home, facts, seed=5, waves=(1,))
    load_all(settings)
    said = drop_files(settings.home, facts, seed=5, waves=(2,), said=said)
    load_all(settings)
    return said


def load_all(settings: Settings) -> None:
    for partner in PARTNERS:
        assert [
            one.fault for one in load_settled(settings, read_partner(settings, partner)) if one.fault
        ] == []


def rows(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.dsn("owner")) as conn:
        return conn.execute(query.encode()).fetchall()


def test_the_same_facts_and_seed_give_the_same_files(facts: FleetFacts) -> None:
    assert plan_files(facts, 5) == plan_files(facts, 5)
    assert [one.content for one in plan_files(facts, 5)] != [one.content for one in plan_files(facts, 6)]


def test_every_file_came_to_what_was_said(settings: Settings, truth: PartnerTruth) -> None:
    found = rows(
        settings,
        "select partner, feed, name, state, coalesce(lines, 0), coalesce(accepted, 0), coalesce(rejected, 0),"
        " coalesce(unchanged, 0), coalesce(superseded, 0) from ops.partner_file where state <> 'missing'",
    )
    said = [
        (file.partner, file.feed, file.name, file.state)
        + (
            (file.lines, file.landed, file.invalid, file.unchanged, file.superseded)
            if file.landed
            else (0,) * 5
        )
        for file in truth.files
    ]
    reasons = rows(settings, "select name, reason from ops.partner_file where reason is not null")
    assert sorted(found) == sorted(said), reasons
    assert {file.state for file in truth.files} == {"loaded", "refused"}


def test_landing_holds_what_was_sent(settings: Settings, truth: PartnerTruth) -> None:
    landed = {
        (partner, feed): count
        for feed in ("fuel_purchase", "service_record")
        for partner, count in rows(settings, f"select partner, count(*) from landing.{feed} group by 1")
    }
    shipments = rows(settings, "select count(*) from landing.shipment_event where origin = 'partner'")[0][0]
    landed["swiftline", "shipment_event"] = shipments
    assert landed == truth.landed()
    assert shipments > 50


def test_vehicles_that_live_a_whole_life_are_billed_for_what_they_bought_and_had_done(
    settings: Settings, truth: PartnerTruth, facts: FleetFacts
) -> None:
    vehicles = sorted({visit.vehicle_id for visit in facts.visits})
    bought = rows(
        settings,
        "select vehicle_id, date_trunc('minute', purchased_at), round(volume_l::numeric, 2), round(lat::numeric, 6)"
        " from landing.fuel_purchase where lat is not null order by 1, 2, 3",
    )
    assert bought == sorted(
        (
            one.vehicle_id,
            datetime.fromtimestamp(one.at_s // 60 * 60, UTC),
            Decimal(f"{one.litres:.2f}"),
            Decimal(f"{one.place.lat:.6f}"),
        )
        for one in facts.purchases
    )
    assert {one[0] for one in bought} <= set(vehicles)
    done = rows(
        settings,
        "select vehicle_id, service, round(odometer_km), round(engine_hours) from landing.service_record"
        " where record_id like 'F%' order by 1, 2",
    )
    assert [one[:2] for one in done] == sorted((one.vehicle_id, one.service) for one in facts.visits)
    meters = {(one.vehicle_id, one.service): (one.odometer_km, one.engine_h) for one in facts.visits}
    for vehicle, service, odometer, hours in done:
        assert (odometer, hours) == pytest.approx(meters[vehicle, service], abs=1)
    # Nothing else is billed to them, so that no random bill contradicts their tanks.
    others = rows(settings, "select distinct vehicle_id from landing.fuel_purchase where lat is null")
    assert not {one for (one,) in others} & set(vehicles)


def test_the_reason_of_the_bad_file_names_the_checksum(settings: Settings, truth: PartnerTruth) -> None:
    [(name, reason)] = rows(settings, "select name, reason from ops.partner_file where state = 'refused'")
    assert name.endswith("_b.txt")
    assert "sha256" in reason


def test_a_new_optional_column_is_kept_and_reported(settings: Settings, truth: PartnerTruth) -> None:
    bonus = rows(settings, "select count(*) from ops.partner_extra where extras ? 'Bonuspunkte'")
    assert bonus == [(298,)]
    versions = rows(
        settings, "select version, state from ops.partner_schema where partner = 'nordcard' order by 1"
    )
    assert versions == [(1, "accepted"), (2, "accepted"), (3, "accepted")]


def test_the_sender_leaves_nothing_half_and_says_what_it_sent(
    settings: Settings, truth: PartnerTruth
) -> None:
    assert list((settings.home / "sftp" / "roots").rglob("*.part")) == []
    written = settings.home / "sent" / "partners" / f"{truth.run}.json"
    assert written.exists()
    key = settings.home / "sftp" / "pgp" / "swiftline.asc"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert settings.environment["FLEETFLOW_PGP_SWIFTLINE"] == str(key)
    assert not any(Path(path).is_symlink() for path in os.scandir(key.parent))
