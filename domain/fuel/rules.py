"""Parameters of every step, in one place: what they mean, their defaults and where these come from."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class _Rules:
    def __post_init__(self) -> None:
        """Refuse parameters that say nothing."""
        for parameter in fields(self):
            value = getattr(self, parameter.name)
            if isinstance(value, float | int) and not 0 <= value < float("inf"):
                raise ValueError(f"{parameter.name}: {value}, expected a number of 0 or more")


@dataclass(frozen=True)
class ReadingRules(_Rules):
    """What a reading may be at all, and how burn is told where nothing measures it.

    Attributes:
        oldest_us: earlier than this (2000-01-01) the clock was reset.
        most_lph: no road engine burns more. 500 kW at 200 g/kWh and 0.84 kg/l are 120 l/h.
        counter_slack_l: what a total fuel counter may repeat or gain by rounding: SPN 250 counts in 0.5 l (J1939DA).
        confirm: readings in a row that agree before a counter that broke is believed to have been reset.
        nominal_l_100km: burn of a way where neither counter nor rate is known. 30 l/100 km is a 40 t tractor in
            regional work (ICCT, European heavy-duty vehicles, 2018: 30 to 36); callers give the class's own.
        idle_lph: burn while standing with the engine on: 0.44 to 0.97 US gal/h, DOE Fact 861 (2015); 0.65 is 2.5 l/h.
        rate_gap_s: a fuel rate holds for at most this long.
    """

    oldest_us: int = 946_684_800_000_000
    most_lph: float = 120.0
    counter_slack_l: float = 1.0
    confirm: int = 3
    nominal_l_100km: float = 30.0
    idle_lph: float = 2.5
    rate_gap_s: float = 300.0


@dataclass(frozen=True)
class LevelRules(_Rules):
    """When a level can be read, and when its sensor is stuck.

    Attributes:
        moving_kmh: from this speed on it moves; receivers report up to about 2 km/h at rest.
        settle_s: fuel sloshes for about this long after the vehicle stopped. Devices are told to wait one to two
            minutes (Wialon: ignore the messages after the start of motion; minimum stay to detect a theft).
        same_place_km: silence during which the odometer gained no more than this was spent in one place.
        max_grade: rise over way beyond which a level in motion is not believed; motorways stay below 6 %, and a level
            sensor 0.3 m off the middle of a tank 0.6 m high is off by 1.5 % of the tank at a grade of 3 %.
        grade_over_km: the way over which the grade is taken; shorter ones are noise of the receiver.
        dead_pct, alive_pct: at most the one, next to a reading of more than the other, the sensor was dead: neither
            thief nor engine empties a tank to nothing from one reading to the next.
        stuck_share, stuck_min_l: a level that stays exactly the same while more than this share of the tank, and more
            than these litres, were burnt is stuck. SPN 96 has steps of 0.4 % (SAE J1939DA), many trackers of 1 %.
    """

    moving_kmh: float = 3.0
    settle_s: float = 120.0
    same_place_km: float = 0.3
    max_grade: float = 0.03
    grade_over_km: float = 0.2
    dead_pct: float = 0.5
    alive_pct: float = 5.0
    stuck_share: float = 0.05
    stuck_min_l: float = 15.0


@dataclass(frozen=True)
class EventRules(_Rules):
    """What is a refill or a drain.

    Minimum volume, standing or moving, and join time are the settings that fleet systems share (Wialon: minimum
    filling and theft volume, theft in motion, timeout to separate). Volumes are the larger of litres and tank share.

    Attributes:
        rest_min_l, rest_min_share: at rest. Two steps of 1 % and the warmth of a night (0.083 %/K: 20 K are 1.7 %) stay
            below.
        moving_min_l, moving_min_share: on the way, where slosh is several per cent.
        rest_window: minutes read on each side of a step at rest, not older than `rest_span_s`; `rest_least` are needed.
        moving_window: minutes of driving read on each side of a step; `moving_least` are needed.
        moving_span_s: such minutes are not older than this.
        noise_sigmas: a step in motion is that many standard errors of the two medians.
        slow_share: a change of this share of the minimum within a window belongs to an event; slower is a leak.
        most_drain_s, most_refill_s: an event takes no longer. A pump gives 40 to 120 l/min, a hose 5 to 20.
        refuted_below: share of a step at rest that must be seen by driving before and after, else it was the slope.
        returned_above: share of a step in motion that came back: then it was the road or slosh.
        return_s, return_share: a fall at rest that comes back within this time to within this share of the tank was the
            sensor's (dropout), or a tilt (ramp, jack, loading). Who takes fuel and fills the same again is found by the
            purchase that has no rise.
        parked_gap_s: a step in the driving series over a longer pause fell into that pause.
        sudden_share: of such a step two neighbouring levels of the pause must hold this share, else it went slowly.
        same_event_share: what driving shows beyond an event found at rest is its error, up to this share of it.
        near_rows: rows next to a step that must lie on its two sides.
        settled_share: within this share of the volume from a plateau the plateau has been reached.
    """

    rest_min_l: float = 8.0
    rest_min_share: float = 0.03
    moving_min_l: float = 20.0
    moving_min_share: float = 0.05
    rest_window: int = 15
    rest_span_s: float = 21_600.0
    rest_least: int = 2
    moving_window: int = 30
    moving_least: int = 8
    moving_span_s: float = 7_200.0
    noise_sigmas: float = 4.0
    slow_share: float = 1 / 3
    most_drain_s: float = 5_400.0
    most_refill_s: float = 3_600.0
    refuted_below: float = 0.3
    returned_above: float = 0.5
    return_s: float = 7_200.0
    return_share: float = 0.015
    parked_gap_s: float = 300.0
    sudden_share: float = 0.7
    same_event_share: float = 0.15
    near_rows: int = 5
    settled_share: float = 0.15


@dataclass(frozen=True)
class LeakRules(_Rules):
    """What is a slow loss.

    Attributes:
        days: losses of so many days are added up.
        min_l, min_share: the least of them that counts. Warmth moves a level by 0.083 %/K and back again.
        min_lph: a slower loss while standing is a sensor's drift.
        one_day_share: no day may hold more of it, else it was one event that nothing saw.
        returns_share: of a loss while standing, driving before and after must show this share, where that is measured:
            cold fuel shrinks over night and comes back.
        burn_share: error of the counter, as a share of what was burnt: CAN totals are held to 5 % of what was bought.
        reckoned_l: so little of a day's burn may be nominal and the day still counts as measured: a counter is first
            read minutes after a history has begun, perhaps while the engine was off.
        heater_lph: a parking heater burns up to this: 0.1 to 0.6 l/h (makers' data sheets, air heaters of 2 to 5 kW).
        cold_c: below this heaters run.
        window: minutes of level read at each end of a rest, and twice as many of driving.
        least: minutes that must be there.
    """

    days: int = 3
    min_l: float = 12.0
    min_share: float = 0.03
    min_lph: float = 0.1
    one_day_share: float = 0.75
    returns_share: float = 0.4
    burn_share: float = 0.05
    reckoned_l: float = 2.0
    heater_lph: float = 0.6
    cold_c: float = 5.0
    window: int = 15
    least: int = 5


@dataclass(frozen=True)
class TripFuelRules(_Rules):
    """How a trip's fuel is taken.

    Attributes:
        edge_s: a counter or level is read within this of the trip's ends.
        rate_cover: share of the trip's time that the rate must cover.
        counter_from_l: up to this the counter's steps (0.5 l) are too coarse, if the rate is known.
        level_sigmas: a fall of the level counts from that many of its own error on.
        level_error_share: error of one level as a share of the tank: ends of trips stand on slopes.
        idle_kmh: slower than this, with the engine burning, is idling.
        least_km: shorter trips have no litres for 100 km.
        most_l_100km: more is a fault of the data, for trips of `most_from_km` or longer: the worst known are heavy
            haulage at some 100.
    """

    edge_s: float = 600.0
    rate_cover: float = 0.9
    counter_from_l: float = 5.0
    level_sigmas: float = 3.0
    level_error_share: float = 0.02
    idle_kmh: float = 3.0
    least_km: float = 1.0
    most_l_100km: float = 200.0
    most_from_km: float = 5.0


@dataclass(frozen=True)
class PurchaseRules(_Rules):
    """When a purchase and a rise of the level are one.

    Attributes:
        before_s, after_s: a card may be booked this much before the rise begins, or after it ends. Clocks of stations
            run off, and issuers' files have whole minutes; most are booked after filling.
        visit_s: purchases at one station within this are one visit (two tanks, two pumps, two receipts).
        volume_share, volume_l: they agree within the larger. Level sensors are good to some 2 to 5 % of the tank.
        tank_share: volume above what was free by this share of the tank is too much. Tanks hold a few per cent more
            than their name says, and full is not 100 % of a sensor.
        near_km: the vehicle was at the station within this. Fleetio alarms at 0.4 km; issuers geocode addresses.
        near_s: ... at some time within this of the booking.
        most_kmh: how fast it may have come from its last known place; limiters stand at 90 (Directive 92/6/EEC).
        refund_days: a refund cancels a purchase of at most this many days before.
        tank_fuels: what goes into the tank that the level is of.
    """

    before_s: float = 3_600.0
    after_s: float = 10_800.0
    visit_s: float = 900.0
    volume_share: float = 0.1
    volume_l: float = 15.0
    tank_share: float = 0.05
    near_km: float = 2.0
    near_s: float = 1_800.0
    most_kmh: float = 110.0
    refund_days: float = 30.0
    tank_fuels: frozenset[str] = frozenset({"diesel", "hvo", "petrol"})


@dataclass(frozen=True)
class BaselineRules(_Rules):
    """Bands of the route, and how much samples weigh.

    Attributes:
        climb_m_km: borders of terrain: flat, rolling, hilly, mountain. From flat to a steady rise of 1 to 5 % a Class 8
            truck's economy falls to a half and less (ORNL/TM-2011/471), so terrain is not left out.
        load_share: borders of load: empty, part, full.
        temperature_c: borders of cold, cool, mild, hot. 10 F (5.6 K) colder is 1 % more fuel by air density alone
            (NACFE, in FleetOwner 2017).
        altitude_slack_m: climbs smaller than this are a receiver's noise.
        least_km: shorter trips are not compared: warming up outweighs the way.
        least_samples: of the model's trips; with fewer nothing is judged.
        weight: samples that the wider group counts for: mean = (n own + weight wider) / (n + weight).
        floor_share, floor_l_100km: spread is at least this share of the centre, and this. Runs of one truck on one
            route differ by 2 to 3 % (SAE J1321 aims at 2 % of repeated segments).
        load_unknown_share: spread, as a share of the centre, that unknown load alone makes, until the model's own days
            tell better: 1,000 lb more are some 0.5 % more fuel, so anything from empty to 22 t of payload is within
            25 %, the standard deviation of which is 7 %. It counts as `weight` days of a vehicle.
        days: how far back trips count.
    """

    climb_m_km: tuple[float, ...] = (5.0, 12.0, 25.0)
    load_share: tuple[float, ...] = (0.1, 0.7)
    temperature_c: tuple[float, ...] = (0.0, 10.0, 25.0)
    altitude_slack_m: float = 10.0
    least_km: float = 5.0
    least_samples: int = 8
    weight: float = 6.0
    floor_share: float = 0.03
    floor_l_100km: float = 0.5
    load_unknown_share: float = 0.07
    days: float = 90.0


@dataclass(frozen=True)
class AnomalyRules(_Rules):
    """From which deviation on, and how grave.

    Attributes:
        consumption_sigmas: a trip above its baseline by this many spreads. At 4 of a normal spread 1 of 30,000 is by
            chance; spreads of trips have heavier tails.
        consumption_share: ... and by this share.
        repeat: high trips among the vehicle's last five that make a mechanical cause likelier than one day's weather.
        disagree_share, disagree_l: level and counter disagree by more than both.
        doubtful_below: below this score an anomaly is one severity less grave.
        medium_l, high_l: severity by litres at stake: a canister (20 l) and a fifth of a tractor's tank.
    """

    consumption_sigmas: float = 4.0
    consumption_share: float = 0.15
    repeat: int = 3
    disagree_share: float = 0.15
    disagree_l: float = 15.0
    doubtful_below: float = 0.6
    medium_l: float = 20.0
    high_l: float = 80.0
