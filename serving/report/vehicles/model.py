"""What the report says of vehicles and drivers, as plain values: no SQL, no markup.

A section is known or `Missing`, which says in words why: a mart that is not built, a day that is not there yet.
Nothing stands for zero that is only not known. Shares are fractions of 1, times UTC, days those of the vehicle's
home site (utilization) or UTC (the others). Drivers are the warehouse's pseudonyms.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

SEVERITIES = ("MSI", "VSI", "SI", "MI")
"""Classes of an infringement (Reg. 2016/403), the gravest first."""

FUEL_SEVERITIES = ("high", "medium", "low", "info")
DTC_SEVERITIES = ("stop", "soon", "plan", "note")
LITTLE_MIN = 120
"""A driver with less than two hours of driving left may not end an ordinary tour."""
AHEAD_DAYS = 14
"""How far ahead services that will be due are shown."""


def ratio(part: float | None, whole: float | None) -> float | None:
    """Return part / whole; None where either is not known, or of nothing."""
    return None if part is None or not whole else part / whole


@dataclass(frozen=True)
class Missing:
    """A section of which nothing is known, and why."""

    words: str


@dataclass(frozen=True)
class Behind:
    """How far the vehicles' pipeline is: its last finished run, and what waits for the next."""

    last_done_at: datetime | None = None
    pending: int = 0
    oldest_pending_at: datetime | None = None


@dataclass(frozen=True)
class FleetDay:
    """What all vehicles that were heard of did on one day; seconds and km. `stood` of them did not drive at all.

    `available_s` is the length of their days; `idle_s` is None where no vehicle tells whether its engine runs.
    """

    day: date
    vehicles: int
    stood: int
    available_s: float
    driving_s: float
    idle_s: float | None
    waiting_s: float
    distance_km: float
    empty_km: float

    @property
    def share(self) -> float | None:
        """Utilization: driving, of the time that was available."""
        return ratio(self.driving_s, self.available_s)

    @property
    def empty_share(self) -> float | None:
        """Km without a shipment on board."""
        return ratio(self.empty_km, self.distance_km)


@dataclass(frozen=True)
class VehicleDay:
    """What one vehicle did on the report's day; seconds and km."""

    vehicle_id: str
    vehicle_class: str | None
    site: str | None
    share: float | None
    driving_s: float
    idle_s: float | None
    engine_on_s: float | None
    waiting_s: float
    distance_km: float
    empty_share: float | None
    trips: int

    @property
    def idle_share(self) -> float | None:
        """Idling of the time that the engine ran."""
        return ratio(self.idle_s, self.engine_on_s)


@dataclass(frozen=True)
class SiteUse:
    """Utilization of the vehicles of one home site on the report's day, and over the 7 days before."""

    site: str
    vehicles: int
    stood: int
    share: float | None
    share_7d: float | None
    distance_km: float


@dataclass(frozen=True)
class Utilization:
    """The fleet's day; `days` are up to 8, the report's last. Vehicles: the longest idling first.

    `silent` vehicles are in service and were not heard of all day: whether they stood is not known.
    """

    days: tuple[FleetDay, ...]
    sites: tuple[SiteUse, ...]
    vehicles: tuple[VehicleDay, ...]
    silent: int = 0

    @property
    def today(self) -> FleetDay:
        """The report's day."""
        return self.days[-1]

    @property
    def idlers(self) -> list[VehicleDay]:
        """The vehicles that idled at all, the longest first."""
        return [vehicle for vehicle in self.vehicles if vehicle.idle_s]

    @property
    def share_7d(self) -> float | None:
        """Utilization of the days before, taken together."""
        before = self.days[:-1]
        return ratio(sum(day.driving_s for day in before), sum(day.available_s for day in before))

    def usual(self, name: str) -> float | None:
        """Return the mean a day of a figure over the days before that are known; None without any."""
        known = [value for day in self.days[:-1] if (value := getattr(day, name)) is not None]
        return sum(known) / len(known) if known else None


@dataclass(frozen=True)
class RuleCount:
    """Infringements of one rule on the report's day by severity, and their number in the 7 days before.

    `unclassed` are those for which the regulation's table has no class; `evidence` are no infringements: the data
    alone does not prove them.
    """

    rule: str
    article: str | None
    by_severity: dict[str, int]
    unclassed: int
    evidence: int
    total_7d: int

    @property
    def total(self) -> int:
        """Infringements of the day."""
        return sum(self.by_severity.values()) + self.unclassed


@dataclass(frozen=True)
class DutyDay:
    """Driver-days that began on a day, and infringements of that day by severity.

    `us` of them are of 49 CFR 395, which has no driver-days: they are not held against those of the EU rules.
    """

    day: date
    driver_days: int
    by_severity: dict[str, int]
    unclassed: int
    us: int = 0

    @property
    def total(self) -> int:
        """Infringements of the day."""
        return sum(self.by_severity.values()) + self.unclassed


@dataclass(frozen=True)
class Offender:
    """A driver with infringements on the report's day: how many by severity, and of which rules."""

    driver_key: str
    by_severity: dict[str, int]
    unclassed: int
    rules: Sequence[str]

    @property
    def total(self) -> int:
        """Infringements of the day."""
        return sum(self.by_severity.values()) + self.unclassed


@dataclass(frozen=True)
class LittleLeft:
    """A driver who may drive little more now; minutes. `rest_by` is when the daily rest must begin."""

    driver_key: str
    driving_min: int
    limit: str
    rest_by: datetime | None


@dataclass(frozen=True)
class DriverFinding:
    """One finding of the report's day; minutes."""

    driver_key: str
    rule: str
    article: str | None
    severity: str | None
    broken_at: datetime
    measured_min: int
    limit_min: int
    needs_evidence: bool
    reason: str | None


@dataclass(frozen=True)
class Compliance:
    """Driver hours: `days` are up to 8, the report's last.

    `remaining` holds some of the `remaining_total` drivers with little left; None where that is not known.
    """

    days: tuple[DutyDay, ...]
    rules: tuple[RuleCount, ...]
    offenders: tuple[Offender, ...]
    findings: tuple[DriverFinding, ...]
    remaining: tuple[LittleLeft, ...] | None
    remaining_total: int = 0

    @property
    def today(self) -> DutyDay:
        """The report's day."""
        return self.days[-1]

    @property
    def per_100(self) -> float | None:
        """Infringements of the EU rules per 100 driver-days on the report's day."""
        return per_100(self.days[-1:])

    @property
    def per_100_7d(self) -> float | None:
        """The same over the days before, taken together."""
        return per_100(self.days[:-1])

    @property
    def evidence(self) -> int:
        """Findings of the day that the data alone does not prove."""
        return sum(rule.evidence for rule in self.rules)


def per_100(days: Iterable[DutyDay]) -> float | None:
    """Return infringements of the EU rules per 100 driver-days of several days together; None of no driver-day."""
    counted = list(days)
    found = ratio(sum(day.total - day.us for day in counted), sum(day.driver_days for day in counted))
    return None if found is None else 100 * found


@dataclass(frozen=True)
class FuelClass:
    """Fuel of one vehicle class on the report's day: litres, and km of the trips whose litres are known."""

    vehicle_class: str
    litres: float
    km: float
    litres_7d: float
    km_7d: float

    @property
    def l_100km(self) -> float | None:
        """Litres per 100 km on the day."""
        return None if not self.km else 100 * self.litres / self.km

    @property
    def l_100km_7d(self) -> float | None:
        """Litres per 100 km over the 7 days before."""
        return None if not self.km_7d else 100 * self.litres_7d / self.km_7d


@dataclass(frozen=True)
class FuelDay:
    """Litres and km of the trips that began on a day, where litres are known; trips of which they are not."""

    day: date
    litres: float
    km: float
    trips: int
    trips_unmeasured: int


@dataclass(frozen=True)
class Cause:
    """A possible cause: how sure it is, in a word, and what speaks for and against it."""

    cause: str
    confidence: str
    why: str


@dataclass(frozen=True)
class FuelAnomaly:
    """Something about fuel that stands out; litres at stake, None where there is none to tell."""

    vehicle_id: str
    kind: str
    severity: str
    occurred_at: datetime
    volume_l: float | None
    score: float
    causes: tuple[Cause, ...]


@dataclass(frozen=True)
class Fuel:
    """The day's fuel. `anomalies` are of the day, the gravest first; `anomalies_7d` their number in the 7 before."""

    days: tuple[FuelDay, ...]
    classes: tuple[FuelClass, ...]
    anomalies: tuple[FuelAnomaly, ...]
    anomalies_7d: dict[str, int] = field(default_factory=dict)

    @property
    def today(self) -> FuelDay:
        """The report's day."""
        return self.days[-1]

    @property
    def all_classes(self) -> FuelClass:
        """All classes together."""
        rows = self.classes
        return FuelClass(
            "all",
            sum(row.litres for row in rows),
            sum(row.km for row in rows),
            sum(row.litres_7d for row in rows),
            sum(row.km_7d for row in rows),
        )

    @property
    def purchases(self) -> list[FuelAnomaly]:
        """Purchases that neither tank nor track explains."""
        return [anomaly for anomaly in self.anomalies if anomaly.kind.startswith("purchase_")]

    @property
    def losses(self) -> list[FuelAnomaly]:
        """Fuel that went without being burnt: drains and leaks."""
        return [a for a in self.anomalies if a.kind.startswith("drain_") or a.kind == "leak"]

    def of(self, severity: str) -> int:
        """Return how many anomalies of the day have a severity."""
        return sum(anomaly.severity == severity for anomaly in self.anomalies)


@dataclass(frozen=True)
class PlannedJob:
    """A job of the plan: its place, or why it has none."""

    job_id: str
    vehicle_id: str
    kind: str
    task_id: str | None
    words: str
    is_overdue: bool
    state: str
    due_on: date
    site: str | None
    first_day: date | None
    last_day: date | None
    reason: str | None


@dataclass(frozen=True)
class DueService:
    """A service that is overdue (or due today), or will be due: when, by which limit, and its job in the plan."""

    vehicle_id: str
    task_id: str
    is_overdue: bool
    due_on: date | None
    by: str | None
    job: PlannedJob | None = None


@dataclass(frozen=True)
class PlanChange:
    """A job that stands elsewhere than in the plan before."""

    job_id: str
    vehicle_id: str
    kind: str
    first_day_before: date | None
    first_day_after: date | None
    reason: str


@dataclass(frozen=True)
class Plan:
    """The newest plan of the workshops, and what changed since the one before it."""

    plan_date: date
    jobs: tuple[PlannedJob, ...]
    changes: tuple[PlanChange, ...]

    @property
    def unplaced(self) -> list[PlannedJob]:
        """Jobs without a place, overdue ones first."""
        rows = (job for job in self.jobs if job.state == "unplaced")
        return sorted(rows, key=lambda job: (not job.is_overdue, job.due_on, job.job_id))

    def on(self, day: date) -> list[PlannedJob]:
        """Return the jobs that are in a workshop on a day."""
        return [
            job
            for job in self.jobs
            if job.first_day is not None and job.last_day is not None and job.first_day <= day <= job.last_day
        ]


@dataclass(frozen=True)
class TroubleCode:
    """A trouble code that is there now; `age_days` since it was first seen in this spell."""

    vehicle_id: str
    code: str
    severity: str
    age_days: float
    recurrence: int


@dataclass(frozen=True)
class Maintenance:
    """Services, workshops and trouble codes on the morning of the report. None: not known, and `notes` say why."""

    today: date
    due: tuple[DueService, ...] | None
    plan: Plan | None
    codes: tuple[TroubleCode, ...] | None
    notes: tuple[str, ...] = ()

    @property
    def overdue(self) -> list[DueService]:
        """Services past their limit, the longest first."""
        rows = (service for service in self.due or () if service.is_overdue)
        return sorted(rows, key=lambda s: (s.due_on or self.today, s.vehicle_id, s.task_id))

    def due_on(self, day: date) -> int:
        """Return how many services will be due on a day."""
        return sum(service.due_on == day and not service.is_overdue for service in self.due or ())

    def open_codes(self, severity: str) -> list[TroubleCode]:
        """Return the codes of a severity, the oldest first."""
        rows = (code for code in self.codes or () if code.severity == severity)
        return sorted(rows, key=lambda code: (-code.age_days, code.vehicle_id, code.code))


NOT_ASKED = Missing("Not asked for.")


@dataclass(frozen=True)
class VehicleSections:
    """All four sections, each known or missing, and how far the pipeline behind them is."""

    utilization: Utilization | Missing = NOT_ASKED
    compliance: Compliance | Missing = NOT_ASKED
    fuel: Fuel | Missing = NOT_ASKED
    maintenance: Maintenance | Missing = NOT_ASKED
    behind: Behind = Behind()


NOTHING_ASKED = VehicleSections()
