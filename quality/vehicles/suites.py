"""Every check of the vehicle side and its thresholds, in one place.

A wrong number in a mart stops the line; what devices and cards send wrongly, lateness and volume only warn until so
much of it is wrong that the rest cannot be believed either.
"""

from __future__ import annotations

from domain.driver_hours import Severity
from quality.model import Check
from quality.rules import Between, Holds, OneOf, Rule, UniqueTogether, Value

HOUR = 3600.0
DAY = 86_400.0

UTILIZATION = "marts.fct_vehicle_utilization_daily"
DRIVERS = "marts.fct_driver_utilization_daily"
TRIP = "marts.fct_trip"
STOP = "marts.fct_stop"
VISIT = "marts.fct_site_visit"
SEGMENTS = "vehicle_segments"
FINDING = "marts.fct_driver_hours_finding"
DRIVER_DAY = "marts.fct_driver_day"
FUEL_TRIP = "marts.fct_fuel_trip"
FUEL_EVENT = "marts.fct_fuel_event"
ANOMALY = "marts.fct_fuel_anomaly"
SPELL = "marts.fct_dtc_spell"
METER = "marts.fct_meter_day"
SERVICE = "marts.fct_service"
PLAN = "marts.fct_maintenance_plan"
PLAN_DAYS = "plan_days"
PLAN_BAYS = "plan_bays"
SIGNAL = "intermediate.int_signal_minute"
REFUSED = "vehicle_refused"
FEEDS = "vehicle_feeds"

STREAMS = ("gps_location", "can_frame", "driver_activity")
FILES = ("fuel_purchase", "service_record")


def _never(name: str, subject: str, rule: Rule, doc: str) -> Check:
    return Check(name, subject, rule, doc, error=0)


def _rarely(name: str, subject: str, rule: Rule, doc: str, warn: float = 0.01) -> Check:
    return Check(name, subject, rule, doc, warn=warn)


def _unique(subject: str, *key: str) -> Check:
    return _never("unique_key", subject, UniqueTogether(("tenant_id", *key)), "One row a key")


def _driver(subject: str) -> Check:
    """An erased driver keeps his facts, and a card may be of a driver that is new: some unknown ones are usual."""
    return Check("driver_known", subject, Holds("driver_known"), "Pseudonyms that no driver has", 0.02, 0.5)


_TRACKS: tuple[Check, ...] = (
    _unique(UTILIZATION, "vehicle_id", "local_date"),
    _never("share_in_range", UTILIZATION, Between("utilization_share", 0, 1), "A share between 0 and 1"),
    _never("day_length", UTILIZATION, Between("day_s", 23 * HOUR, 25 * HOUR), "Days of 23 to 25 hours"),
    _never("fits_the_day", UTILIZATION, Holds("fits_the_day"), "Driving, stops and gaps longer than the day"),
    _never("not_negative", UTILIZATION, Holds("not_negative"), "Seconds or km below zero"),
    _never(
        "idle_within_engine", UTILIZATION, Holds("idle_within_engine"), "Idling longer than the engine ran"
    ),
    _never("empty_within_km", UTILIZATION, Holds("empty_within_km"), "More km empty than driven"),
    _rarely("mean_speed", UTILIZATION, Between("mean_kmh", 0, 130), "Mean speed of a day above 130 km/h"),
    _unique(DRIVERS, "driver_key", "local_date"),
    _driver(DRIVERS),
    _never("share_in_range", DRIVERS, Between("utilization_share", 0, 1), "A share between 0 and 1"),
    _never("not_negative", DRIVERS, Holds("not_negative"), "Seconds or km below zero"),
    _rarely(
        "fits_the_day",
        DRIVERS,
        Holds("fits_the_day"),
        "Days of a driver of more than 25 hours: a shared login",
    ),
    _unique(TRIP, "vehicle_id", "started_at"),
    _driver(TRIP),
    _never("ends_after_start", TRIP, Holds("ends_after_start"), "Trips that end before they start"),
    _never("not_negative", TRIP, Holds("not_negative"), "Seconds or km below zero"),
    _never("empty_within_km", TRIP, Holds("empty_within_km"), "More km empty than driven"),
    _rarely("speed", TRIP, Between("mean_kmh", 0, 130), "Mean speed of a trip above 130 km/h"),
    _unique(STOP, "vehicle_id", "started_at"),
    _never("kind_known", STOP, OneOf("kind", ("stop", "gap", "carried")), "Kinds of a stop"),
    _never("dwell_not_negative", STOP, Between("dwell_s", 0, None), "Stops shorter than nothing"),
    _never("no_overlap", SEGMENTS, Holds("no_overlap"), "Trips and stops of a vehicle that overlap"),
    _never("no_hole", SEGMENTS, Holds("no_hole"), "Time of a vehicle between two of them that neither has"),
    _unique(VISIT, "vehicle_id", "site_id", "entered_at"),
    _never("leaves_after_entry", VISIT, Holds("leaves_after_entry"), "Visits that end before they begin"),
    _never("no_overlap", VISIT, Holds("no_overlap"), "Two visits at once of a vehicle to one site"),
)

_HOURS: tuple[Check, ...] = (
    _unique(FINDING, "driver_key", "rule", "broken_at", "started_at", "limit_min"),
    _driver(FINDING),
    _never("severity_known", FINDING, OneOf("severity", tuple(Severity)), "Classes of Reg. 2016/403"),
    _never("beyond_the_limit", FINDING, Holds("beyond_the_limit"), "Findings whose measure keeps its limit"),
    _never(
        "evidence_is_named",
        FINDING,
        Holds("evidence_is_named"),
        "Findings to be proven that do not say by what",
    ),
    _unique(DRIVER_DAY, "driver_key", "started_at"),
    _driver(DRIVER_DAY),
    _never("not_negative", DRIVER_DAY, Holds("not_negative"), "Minutes below zero"),
    _never("fits_the_period", DRIVER_DAY, Holds("fits_the_period"), "More activity than the period is long"),
    _never("no_overlap", DRIVER_DAY, Holds("no_overlap"), "Daily periods of a driver that overlap"),
)

_FUEL: tuple[Check, ...] = (
    _unique(FUEL_TRIP, "vehicle_id", "started_at"),
    _never("litres_not_negative", FUEL_TRIP, Between("litres", 0, None), "Trips that burn less than nothing"),
    _rarely("consumption", FUEL_TRIP, Between("l_100km", 1, 150), "Consumption that no road vehicle has"),
    _unique(FUEL_EVENT, "vehicle_id", "event_id"),
    _never("kind_known", FUEL_EVENT, OneOf("kind", ("refill", "drain")), "Kinds of a fuel event"),
    _never("volume_positive", FUEL_EVENT, Holds("volume_positive"), "Refills and drains of nothing"),
    _never("ends_after_start", FUEL_EVENT, Holds("ends_after_start"), "Events that end before they start"),
    _never(
        "within_the_tank", FUEL_EVENT, Holds("within_the_tank"), "Refills and drains larger than the tank"
    ),
    _unique(ANOMALY, "vehicle_id", "anomaly_id"),
    _never("score_in_range", ANOMALY, Between("score", 0, 1), "A score between 0 and 1"),
    _never("severity_known", ANOMALY, OneOf("severity", ("info", "low", "medium", "high")), "Severities"),
    _never("volume_not_negative", ANOMALY, Between("volume_l", 0, None), "Anomalies of negative litres"),
    _never("has_causes", ANOMALY, Holds("has_causes"), "Anomalies without a cause in words"),
)

_MAINTENANCE: tuple[Check, ...] = (
    _unique(SPELL, "vehicle_id", "ecu", "listing", "spn", "fmi", "code", "opened_at"),
    _never(
        "closes_after_opening", SPELL, Holds("closes_after_opening"), "Trouble codes gone before they came"
    ),
    _never("no_overlap", SPELL, Holds("no_overlap"), "One trouble code of an ECU open twice at once"),
    _unique(METER, "vehicle_id", "meter", "day"),
    _never("never_falls", METER, Holds("never_falls"), "Meters that fall over their replacements"),
    _unique(SERVICE, "event_id"),
    _rarely("in_the_past", SERVICE, Holds("in_the_past"), "Services done in the future", 0.02),
    _unique(PLAN, "plan_date", "job_id"),
    _never("not_in_the_past", PLAN, Holds("not_in_the_past"), "Jobs placed before the day of their plan"),
    _never("reason_given", PLAN, Holds("reason_given"), "Jobs without a place that do not say why"),
    _never(
        "within_fleet_share",
        PLAN_DAYS,
        Holds("within_fleet_share"),
        "Days with more in workshops than allowed",
    ),
    _never("within_bays", PLAN_BAYS, Holds("within_bays"), "Days with more jobs at a site than it has bays"),
)

_SIGNALS: tuple[Check, ...] = (
    _unique(SIGNAL, "vehicle_id", "minute", "name"),
    _never("in_order", SIGNAL, Holds("in_order"), "Minutes whose mean lies outside of least and most"),
    _rarely("speed_in_range", SIGNAL, Holds("speed_in_range"), "Speeds that no road vehicle has", 0.001),
    _rarely("level_in_range", SIGNAL, Holds("level_in_range"), "Levels below 0 % or above 100 %", 0.001),
    _never("rate_not_negative", SIGNAL, Holds("rate_not_negative"), "Fuel rates below zero"),
)

_SENT: tuple[Check, ...] = (
    Check(
        "fixes", REFUSED, Value("fixes"), "Share of the last two days' fixes that a rule refused", 0.10, 0.60
    ),
    Check(
        "fixes_untimely", REFUSED, Value("fixes_untimely"), "Share of fixes of no believable time", 0.01, 0.50
    ),
    Check(
        "frames",
        REFUSED,
        Value("frames"),
        "Share of the last two days' frames that could not be read",
        0.20,
        0.95,
    ),
    Check(
        "frames_no_decoder",
        REFUSED,
        Value("frames_no_decoder"),
        "Share of frames that no decoder is for",
        0.05,
    ),
    Check(
        "activities",
        REFUSED,
        Value("activities"),
        "Share of the last 7 days' activities left out",
        0.02,
        0.30,
    ),
)

_FRESH: tuple[Check, ...] = (
    *(
        Check(f"{feed}_age", FEEDS, Value(f"{feed}_age_s"), f"Seconds since anything of {feed} landed", HOUR)
        for feed in STREAMS
    ),
    *(
        Check(f"{feed}_age", FEEDS, Value(f"{feed}_age_s"), f"Seconds since a file of {feed} landed", 8 * DAY)
        for feed in FILES
    ),
    *(
        Check(
            f"{feed}_{name}",
            FEEDS,
            Value(f"{feed}_ratio", floor=floor),
            f"Last full hour of {feed} against the same hour of the days before",
            limit,
        )
        for feed in STREAMS
        for name, floor, limit in (("volume_low", True, 0.5), ("volume_high", False, 2.0))
    ),
    Check("pending_age", FEEDS, Value("pending_age_s"), "Seconds that the oldest batch waits", 3 * HOUR, DAY),
)

NIGHTLY: tuple[Check, ...] = (
    *_TRACKS,
    *_HOURS,
    *_FUEL,
    *_MAINTENANCE,
    *_SIGNALS,
    *_SENT,
    *_FRESH,
)

GATE: tuple[Check, ...] = (
    Check(
        "complete", "claim", Value("found_share", floor=True), "Claimed rows that landing still has", error=1
    ),
    Check(
        "vehicle_known",
        "claim.vehicles",
        Holds("vehicle_known"),
        "Vehicles that the fleet does not know",
        0.02,
        0.5,
    ),
    Check(
        "model_known",
        "claim.vehicles",
        Holds("model_known"),
        "Vehicles that send frames, of no model",
        0.02,
        0.5,
    ),
    Check(
        "driver_known",
        "claim.drivers",
        Holds("driver_known"),
        "Drivers that the fleet does not know",
        0.02,
        0.5,
    ),
)
