"""The CSV files of the sections on vehicles and drivers, one each; a section that is missing has its header only."""

from __future__ import annotations

from operator import attrgetter

from serving.report.model import MorningReport
from serving.report.sheets import Cell, write_sheet
from serving.report.vehicles.lines import causes_words
from serving.report.vehicles.model import Compliance, Fuel, Maintenance, PlannedJob, Utilization

UTILIZATION_COLUMNS = (
    "tenant_id",
    "local_date",
    "vehicle_id",
    "vehicle_class",
    "home_site",
    "utilization_share",
    "driving_s",
    "idle_s",
    "engine_on_s",
    "site_wait_s",
    "distance_km",
    "empty_share",
    "trips",
)
HOURS_COLUMNS = (
    "tenant_id",
    "driver_key",
    "rule",
    "article",
    "severity",
    "broken_at",
    "measured_min",
    "limit_min",
    "needs_evidence",
    "reason",
)
FUEL_COLUMNS = (
    "tenant_id",
    "vehicle_id",
    "occurred_at",
    "kind",
    "severity",
    "volume_l",
    "score",
    "causes",
    "why",
)
MAINTENANCE_COLUMNS = (
    "tenant_id",
    "as_of_date",
    "what",
    "vehicle_id",
    "task",
    "is_overdue",
    "due_on",
    "by",
    "state",
    "site",
    "first_day",
    "last_day",
    "words",
    "reason",
    "age_days",
    "recurrence",
)


def vehicle_sheets(report: MorningReport) -> dict[str, bytes]:
    """Return each file's content by its name."""
    return {
        "utilization.csv": utilization_sheet(report),
        "driver_hours.csv": hours_sheet(report),
        "fuel.csv": fuel_sheet(report),
        "maintenance.csv": maintenance_sheet(report),
    }


def utilization_sheet(report: MorningReport) -> bytes:
    """Return the vehicles of the day, the longest idling first; seconds and km."""
    known = report.vehicles.utilization
    vehicles = known.vehicles if isinstance(known, Utilization) else ()
    return write_sheet(
        UTILIZATION_COLUMNS,
        (
            (
                report.tenant,
                report.report_date,
                v.vehicle_id,
                v.vehicle_class,
                v.site,
                v.share,
                v.driving_s,
                v.idle_s,
                v.engine_on_s,
                v.waiting_s,
                v.distance_km,
                v.empty_share,
                v.trips,
            )
            for v in vehicles
        ),
    )


def hours_sheet(report: MorningReport) -> bytes:
    """Return the findings of the day, those that need evidence last; minutes."""
    known = report.vehicles.compliance
    findings = known.findings if isinstance(known, Compliance) else ()
    of_finding = attrgetter(*HOURS_COLUMNS[1:])
    return write_sheet(HOURS_COLUMNS, ((report.tenant, *of_finding(finding)) for finding in findings))


def fuel_sheet(report: MorningReport) -> bytes:
    """Return the anomalies of the day, the gravest first; `why` is what speaks for and against each cause."""
    known = report.vehicles.fuel
    anomalies = known.anomalies if isinstance(known, Fuel) else ()
    return write_sheet(
        FUEL_COLUMNS,
        (
            (
                report.tenant,
                a.vehicle_id,
                a.occurred_at,
                a.kind,
                a.severity,
                a.volume_l,
                a.score,
                causes_words(a),
                "; ".join(f"{cause.cause}: {cause.why}" for cause in a.causes),
            )
            for a in anomalies
        ),
    )


def maintenance_sheet(report: MorningReport) -> bytes:
    """Return services due, jobs of the plan that are no service due, and trouble codes, told apart by `what`."""
    known = report.vehicles.maintenance
    if not isinstance(known, Maintenance):
        return write_sheet(MAINTENANCE_COLUMNS, ())
    head = (report.tenant, known.today)
    due: list[tuple[Cell, ...]] = [
        (*head, "service", s.vehicle_id, s.task_id, s.is_overdue, s.due_on, s.by, *_place(s.job), None, None)
        for s in known.due or ()
    ]
    shown = {(s.vehicle_id, s.task_id) for s in known.due or ()}
    jobs: list[tuple[Cell, ...]] = [
        (*head, "job", j.vehicle_id, j.task_id, j.is_overdue, j.due_on, None, *_place(j), None, None)
        for j in (known.plan.jobs if known.plan else ())
        if (j.vehicle_id, j.task_id) not in shown
    ]
    codes: list[tuple[Cell, ...]] = [
        (
            *head,
            "trouble_code",
            c.vehicle_id,
            c.code,
            *(None,) * 3,
            c.severity,
            *(None,) * 5,
            c.age_days,
            c.recurrence,
        )
        for c in known.codes or ()
    ]
    return write_sheet(MAINTENANCE_COLUMNS, [*due, *jobs, *codes])


def _place(job: PlannedJob | None) -> tuple[Cell, ...]:
    if job is None:
        return (None,) * 6
    return job.state, job.site, job.first_day, job.last_day, job.words, job.reason
