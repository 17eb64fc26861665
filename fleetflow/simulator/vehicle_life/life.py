"""All of it for a plan: drivers' and vehicles' lives, built at once, and their lines, asked for as time goes by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fleetflow.simulator.crew import Crew, Vehicle
from fleetflow.simulator.network import DAY_MS, Network
from fleetflow.simulator.plan import GPS, SimulationPlan, seeded
from fleetflow.simulator.vehicle_life.activities import ActivityWriter
from fleetflow.simulator.vehicle_life.bus import FrameWriter
from fleetflow.simulator.vehicle_life.diary import Diary, keep_diary
from fleetflow.simulator.vehicle_life.duties import DriverLife, live, live_as_crew, weekday
from fleetflow.simulator.vehicle_life.passes import Pass, passes
from fleetflow.simulator.vehicle_life.paths import Surroundings
from fleetflow.simulator.vehicle_life.positions import FixWriter
from fleetflow.simulator.vehicle_life.rosters import Roster, Seat, choose_vehicles, draw_rosters
from fleetflow.simulator.vehicle_life.samples import Samples, sample
from fleetflow.simulator.vehicle_life.services import Visit, neglect_of, plan_visits
from fleetflow.simulator.vehicle_life.sources import Ids, Source, Writer
from fleetflow.simulator.vehicle_life.tank import (
    TURNS,
    Mischief,
    Purchase,
    Tank,
    burn_more,
    fill_and_burn,
    plan_mischief,
    roll_back,
)
from fleetflow.simulator.vehicle_life.trouble import Spell, plan_spells
from fleetflow.simulator.wire import Event

# A stalled run goes on for longer than planned; beyond this the vehicles fall silent.
SLACK, SLACK_MINUTES = 1.25, 20
ROLLED_BACK_KM = 4_000.0
CLASSES = ("tractor", "truck", "van")


@dataclass(frozen=True)
class VehicleLife:
    """One vehicle: where it was and what it drove by, what it burnt, what ailed it, and the writers of its lines."""

    vehicle: Vehicle
    diary: Diary
    samples: Samples
    tank: Tank
    spells: tuple[Spell, ...]
    visits: tuple[Visit, ...]
    passes: tuple[Pass, ...]
    fixes: FixWriter
    bus: FrameWriter


class Lives:
    """The lives of a plan's drivers and vehicles. Lines are handed out once, in the order of time within a source."""

    def __init__(
        self, plan: SimulationPlan, drivers: Sequence[DriverLife], vehicles: Sequence[VehicleLife],
        horizon: int,
    ) -> None:  # fmt: skip
        self.plan, self.drivers, self.vehicles = plan, tuple(drivers), tuple(vehicles)
        self.position_sources: list[Source] = []
        self.telemetry_sources: list[Source] = []
        for one in vehicles:
            self._add(one.fixes, one.fixes.at_ms)
            self._add(one.bus, one.bus.at_ms)
        for life in drivers:
            rng = seeded(plan.fingerprint(), "activities", life.roster.driver)
            writer = ActivityWriter(plan.tenant, life, plan.start_ms, horizon, rng)
            self._add(writer, writer.at_ms)

    def history(self) -> Iterator[tuple[list[Event], list[Event]]]:
        """The lines of positions and of telemetry from before the start, a source and a day at a time."""
        sources = [*self.position_sources, *self.telemetry_sources]
        first = min((int(one.at_ms[0]) for one in sources if len(one.at_ms)), default=self.plan.start_ms)
        for day in range(first // DAY_MS, self.plan.start_ms // DAY_MS + 1):
            until = min((day + 1) * DAY_MS, self.plan.start_ms)
            for one in self.position_sources:
                yield one.until(until, None), []
            for one in self.telemetry_sources:
                yield [], one.until(until, None)

    def live(self, now_ms: int, recorded_ms: int) -> tuple[list[Event], list[Event]]:
        """The lines up to a moment that were not handed out yet."""
        positions = [event for one in self.position_sources for event in one.until(now_ms, recorded_ms)]
        telemetry = [event for one in self.telemetry_sources for event in one.until(now_ms, recorded_ms)]
        return positions, telemetry

    @property
    def history_entries(self) -> int:
        """How many entries of agendas lie before the start: about the lines of the past."""
        sources = (*self.position_sources, *self.telemetry_sources)
        return sum(int(np.searchsorted(one.at_ms, self.plan.start_ms)) for one in sources)

    @property
    def purchases(self) -> list[Purchase]:
        """What the fuel card bills, in the order of time."""
        return sorted((p for one in self.vehicles for p in one.tank.purchases), key=lambda p: p.at_s)

    @property
    def visits(self) -> list[Visit]:
        """What workshops bill, in the order of time."""
        return sorted((visit for one in self.vehicles for visit in one.visits), key=lambda v: v.done_s)

    @property
    def vehicle_numbers(self) -> frozenset[int]:
        """The numbers of the crew's vehicles that live here: nobody else moves them."""
        return frozenset(one.vehicle.number for one in self.vehicles)

    def _add(self, writer: Writer, at_ms: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        sources = self.position_sources if writer.feed == GPS else self.telemetry_sources
        fingerprint = self.plan.fingerprint()
        chance = _dice(self.plan, writer.feed, writer.key).random(len(at_ms))
        number = len(self.position_sources) + len(self.telemetry_sources)
        sources.append(Source(number, writer, at_ms, Ids(fingerprint, number), chance, self.plan.faults))


def build_lives(plan: SimulationPlan, network: Network, crew: Crew) -> Lives:
    """Build the lives that the plan asks for; none for a plan without telemetry.

    Raises:
        PlanError: the fleet has fewer vehicles that fit.
    """
    start, horizon = plan.start_ms // 60_000, horizon_of(plan)
    chosen = choose_vehicles(network, crew, plan.telemetry_vehicles)
    drivers = work(plan, draw_rosters(chosen, crew, seeded(plan.fingerprint(), "rosters")))
    order = sorted(chosen, key=lambda vehicle: (CLASSES.index(vehicle.kind.name), vehicle.number))
    vehicles = [
        _vehicle(plan, network, vehicle, place, drivers, start - plan.telemetry_days * 1440, horizon)
        for place, vehicle in enumerate(order)
    ]
    return Lives(plan, drivers, vehicles, horizon)


def horizon_of(plan: SimulationPlan) -> int:
    """Return the minute up to which lives are made: beyond the planned end, as a run may stall."""
    return plan.start_ms // 60_000 + int(plan.total / plan.rate * SLACK / 60) + SLACK_MINUTES


def work(plan: SimulationPlan, rosters: Sequence[Roster]) -> list[DriverLife]:
    """Let the drivers of the rosters work, up to the horizon."""
    return list(_work(plan, rosters))


def _work(plan: SimulationPlan, rosters: Sequence[Roster]) -> Iterator[DriverLife]:
    today, last = plan.start_ms // DAY_MS, horizon_of(plan) // 1440 + 1
    first = today - plan.activity_days
    first -= weekday(first)
    seconds = {one.vehicle.number: one for one in rosters if one.seat is Seat.SECOND}
    for roster in rosters:
        rng = seeded(plan.fingerprint(), "duties", roster.driver)
        if roster.seat is Seat.FIRST:
            yield from live_as_crew(roster, seconds[roster.vehicle.number], first, today, last, rng)
        elif roster.seat is not Seat.SECOND:
            yield live(roster, first, today, last, rng)


def _vehicle(
    plan: SimulationPlan, network: Network, vehicle: Vehicle, place: int, drivers: Sequence[DriverLife],
    begin: int, horizon: int,
) -> VehicleLife:  # fmt: skip
    rng, dice = seeded(plan.fingerprint(), "life", vehicle.number), _dice(plan, "life", vehicle.vehicle_id)
    own = [life for life in drivers if life.roster.vehicle is vehicle]
    ids = [life.roster.driver_id for life in own]
    start_s, is_van = plan.start_ms / 1000, vehicle.kind.name == "van"
    around = Surroundings(network, vehicle)
    diary = keep_diary(vehicle, own, around, begin, horizon, rng)
    samples = sample(diary, ids, dice)
    mischief = TURNS[place] if place < len(TURNS) else Mischief.NOTHING
    planted = plan_mischief(mischief, diary, start_s, rng)
    samples = burn_more(roll_back(samples, planted, ROLLED_BACK_KM), planted)
    tank = fill_and_burn(diary, samples, planted, start_s, rng)
    spells = plan_spells(is_van, place, diary.stands[0].start * 60.0, start_s, rng)
    visits = plan_visits(
        vehicle.vehicle_id,
        neglect_of(vehicle.kind.name, place),
        start_s,
        float(samples.odometer_km[0]),
        float(samples.engine_h[0]),
        rng,
    )
    tenant, vehicle_id = plan.tenant, vehicle.vehicle_id
    return VehicleLife(
        vehicle, diary, samples, tank, spells, tuple(visits), tuple(passes(samples, around.sites)),
        FixWriter(tenant, vehicle_id, ids, samples, tank.sensor_pct, dice),
        FrameWriter(tenant, vehicle_id, is_van, samples, tank.sensor_pct, spells, dice),
    )  # fmt: skip


def _dice(plan: SimulationPlan, *purpose: object) -> np.random.Generator:
    return np.random.default_rng(seeded(plan.fingerprint(), *purpose).getrandbits(128))
