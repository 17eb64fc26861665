"""When a service is due: by distance, by months and by engine hours, whichever comes first.

Counted from the last time it was done, or from the day that the vehicle came into service. Never stored: it depends on
today and on meters that move.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.maintenance.meters import Meter

_MOST_MONTHS = 1_200


class BadTask(ValueError):
    """A service task that no vehicle could be judged by."""


@dataclass(frozen=True, slots=True)
class ServiceTask:
    """A service that comes round: at least one interval, all positive; from `retired_on` due for nobody.

    Raises:
        BadTask: no interval, or one that is not positive and finite.
    """

    task_id: str
    every_km: float | None = None
    every_months: int | None = None
    every_engine_hours: float | None = None
    retired_on: date | None = None

    def __post_init__(self) -> None:
        named = {"km": self.every_km, "months": self.every_months, "engine hours": self.every_engine_hours}
        given = {unit: value for unit, value in named.items() if value is not None}
        if not given:
            raise BadTask(f"task {self.task_id} has no interval; give km, months or engine hours")
        for unit, value in given.items():
            if not 0 < value < float("inf"):
                raise BadTask(f"task {self.task_id} comes every {value} {unit}; expected more than 0")
        if self.every_months is not None and not 1 <= self.every_months <= _MOST_MONTHS:
            raise BadTask(
                f"task {self.task_id} comes every {self.every_months} months; expected 1 to {_MOST_MONTHS}"
            )


@dataclass(frozen=True, slots=True)
class Life:
    """A vehicle's life: since when it is in service, what its meters had counted by then, and until when it is."""

    vehicle_id: str
    commissioned_on: date | None = None
    commissioned_km: float = 0.0
    commissioned_engine_hours: float = 0.0
    retired_on: date | None = None


@dataclass(frozen=True, slots=True, order=True)
class ServiceDone:
    """A task done on a vehicle; the meters by then are looked up in the meters' own lines."""

    done_on: date
    vehicle_id: str
    task_id: str


class Status(StrEnum):
    """How a task stands for a vehicle today."""

    OVERDUE = "overdue"
    DUE = "due"
    NOT_DUE = "not_due"
    UNKNOWN = "unknown"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Limit:
    """One interval: when it is reached, and how much is left (km, days or hours; negative: it is exceeded).

    By months `due_on` is the day; by a meter it is the day on which the limit was reached, or None as it was not.
    `missing` says in words why nothing can be told; then the rest is None.
    """

    by: str
    unit: str
    left: float | None = None
    limit: float | None = None
    due_on: date | None = None
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """A task's standing for a vehicle: its limits, and the worst of them; `last_done_on` None: never."""

    vehicle_id: str
    task_id: str
    status: Status
    last_done_on: date | None
    limits: tuple[Limit, ...]
    ignored: tuple[str, ...] = ()
    """Services that do not count, and why: before the vehicle came into service, or in the future."""


def add_months(day: date, months: int) -> date:
    """Return the same day so many months on, or the last day of that month where it is too short (31 Jan + 1 = 28 Feb).

    Add to the first day and not from result to result, else the 31st becomes the 28th for good. This is the rule of
    Regulation (EEC, Euratom) No 1182/71, Article 3(2)(c), for periods in months.
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def judge_due(
    task: ServiceTask,
    life: Life,
    services: Iterable[ServiceDone],
    today: date,
    odometer: Meter | None = None,
    engine_hours: Meter | None = None,
) -> Due:
    """Judge how a task stands for a vehicle at the end of today; services of other tasks and vehicles are passed over.

    By months a task is due on its day and overdue from the next; by a meter due at its limit and overdue above. One
    limit that is exceeded makes it overdue, whatever of the others is not known; nothing known at all is `unknown`.
    """
    counted, ignored = _counted(task, life, services, today)
    last = max(counted, default=None)
    limits = tuple(_limits(task, life, last, today, odometer, engine_hours))
    retired = any(gone is not None and gone <= today for gone in (task.retired_on, life.retired_on))
    status = Status.RETIRED if retired else _status(limits)
    return Due(life.vehicle_id, task.task_id, status, last, limits, ignored)


def _counted(
    task: ServiceTask, life: Life, services: Iterable[ServiceDone], today: date
) -> tuple[list[date], tuple[str, ...]]:
    mine = {
        one.done_on for one in services if (one.vehicle_id, one.task_id) == (life.vehicle_id, task.task_id)
    }
    counted, ignored = [], []
    for day in sorted(mine):
        if day > today:
            ignored.append(f"done on {day}, which is yet to come")
        elif life.commissioned_on is not None and day < life.commissioned_on:
            ignored.append(f"done on {day}, before the vehicle came into service on {life.commissioned_on}")
        else:
            counted.append(day)
    return counted, tuple(ignored)


def _limits(
    task: ServiceTask,
    life: Life,
    last: date | None,
    today: date,
    odometer: Meter | None,
    engine_hours: Meter | None,
) -> Iterable[Limit]:
    if task.every_months is not None:
        since = last or life.commissioned_on
        yield _by_months(task.every_months, since, today)
    if task.every_km is not None:
        yield _by_meter("odometer", "km", task.every_km, last, life.commissioned_km, odometer)
    if task.every_engine_hours is not None:
        yield _by_meter(
            "engine_hours", "h", task.every_engine_hours, last, life.commissioned_engine_hours, engine_hours
        )


def _by_months(months: int, since: date | None, today: date) -> Limit:
    if since is None:
        return Limit("months", "d", missing="neither a service nor the day of commissioning is known")
    due_on = add_months(since, months)
    return Limit("months", "d", left=float((due_on - today).days), due_on=due_on)


def _by_meter(
    by: str, unit: str, interval: float, last: date | None, commissioned: float, meter: Meter | None
) -> Limit:
    if meter is None or meter.now is None:
        return Limit(by, unit, missing="the meter was never read")
    since = commissioned if last is None else meter.at(last)
    if since is None:
        return Limit(
            by, unit, missing=f"the meter was first read on {meter.days[0]}, after the service on {last}"
        )
    limit = since + interval
    return Limit(by, unit, left=limit - meter.now, limit=limit, due_on=meter.reached(limit))


def _status(limits: Sequence[Limit]) -> Status:
    left = [limit.left for limit in limits if limit.left is not None]
    if not left:
        return Status.UNKNOWN
    if min(left) < 0:
        return Status.OVERDUE
    return Status.DUE if min(left) == 0 else Status.NOT_DUE
