"""When a partner's file is whole, and when one is expected. Pure: listings, earlier looks and moments are handed in.

What a listing shows decides here: temporary names, `.done` and checksum companions, manifests by name, two equal
looks. What stands inside (a checksum, a manifest's lines, a trailer's count) is checked after the fetch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from ingestion.partners.declare.model import WEEKDAYS, Arrival, Completeness, Declaration
from ingestion.partners.fetch.file_names import matches
from ingestion.partners.fetch.place import RemoteFile

Look = tuple[int, datetime]
"""Size in bytes and time of change of a file, as an earlier look found it."""


class Stage(StrEnum):
    """How far a listed file is."""

    WAITING = "waiting"
    WHOLE = "whole"
    UNSAFE = "unsafe"


@dataclass(frozen=True)
class Sighting:
    """A file that the pattern asks for. `words` say what is waited for, or why it is unsafe; empty if it is whole."""

    file: RemoteFile
    stage: Stage
    words: str = ""
    companions: tuple[RemoteFile, ...] = ()


@dataclass(frozen=True)
class Arrived:
    """A whole file, with the companions (marker, checksum, manifest) that came with it."""

    file: RemoteFile
    companions: tuple[RemoteFile, ...] = ()


@dataclass(frozen=True)
class Served:
    """An expected delivery and what became of it: `at` is when the file came, None when it did not."""

    expected_at: datetime
    at: datetime | None
    is_late: bool = False
    is_missing: bool = False


def find_whole(
    listing: Sequence[RemoteFile], declaration: Declaration, earlier_looks: Mapping[str, Look]
) -> list[Arrived]:
    """Return the files that may be fetched now, by name (see `judge`)."""
    seen = judge(listing, declaration, earlier_looks)
    return [Arrived(one.file, one.companions) for one in seen if one.stage is Stage.WHOLE]


def judge(
    listing: Sequence[RemoteFile], declaration: Declaration, earlier_looks: Mapping[str, Look]
) -> list[Sighting]:
    """Return every listed file of the declaration, and how far it is.

    `listing` is all of the directory, companions included. `earlier_looks` holds what the look before found, by
    name. Companions and files under a temporary name are not files of their own and are left out; so is a file whose
    temporary twin is still there, as it is being replaced.
    """
    names = {file.name: file for file in listing if file.unsafe is None}
    companions = {name for name in names for rule in _companion_rules(declaration) if rule(name, names)}
    return [
        _judge_file(file, declaration, names, earlier_looks)
        for file in listing
        if matches(file.name, declaration.pattern)
        and file.name not in companions
        and not file.name.endswith(declaration.completeness.temporary)
    ]


def _judge_file(
    file: RemoteFile, declaration: Declaration, names: Mapping[str, RemoteFile], looks: Mapping[str, Look]
) -> Sighting:
    if file.unsafe is not None:
        return Sighting(file, Stage.UNSAFE, file.unsafe)
    rules = declaration.completeness
    found: list[RemoteFile] = []
    lacking = [
        f"{file.name}{suffix} is being written" for suffix in rules.temporary if file.name + suffix in names
    ]
    for kind, wanted in _companions(file.name, rules):
        there = sorted(name for name in names if fnmatchcase(name, wanted) and name != file.name)
        # One that is older was left by an earlier version of the file.
        fitting = [name for name in there if names[name].modified_at >= file.modified_at]
        found += [names[name] for name in fitting]
        if not fitting:
            lacking.append(f"the {kind} {wanted} is {'older than the file' if there else 'not there yet'}")
    # A trailer is at the end: a file that still grows has none, and is no fault of the partner's.
    grows = rules.trailer and not (rules.done or rules.checksum or rules.manifest)
    if (rules.stable or grows) and looks.get(file.name) != (file.size, file.modified_at):
        lacking.append("it must look the same on two looks")
    if lacking:
        return Sighting(file, Stage.WAITING, "; ".join(lacking), tuple(found))
    return Sighting(file, Stage.WHOLE, "", tuple(found))


def _companions(name: str, rules: Completeness) -> Iterator[tuple[str, str]]:
    """The kinds and the names (globs for a manifest) of what must stand beside a file."""
    for kind, template in (
        ("marker", rules.done),
        ("checksum", rules.checksum),
        ("manifest", rules.manifest),
    ):
        if template is not None:
            yield kind, _fill(template, name, literal=kind != "manifest")


def _companion_rules(declaration: Declaration) -> Iterator[CompanionRule]:
    rules = declaration.completeness
    for template in (rules.done, rules.checksum, rules.manifest):
        if template is not None:
            yield CompanionRule(template, declaration.pattern)


@dataclass(frozen=True)
class CompanionRule:
    """Tells whether a name is a companion, even where the pattern would match it, too (`fuel_*`, `fuel_1.done`)."""

    template: str
    pattern: str

    def __call__(self, name: str, names: Iterable[str]) -> bool:
        """Return whether it stands beside a file of the directory, or could stand beside one."""
        if "{name}" not in self.template and "{stem}" not in self.template:
            return fnmatchcase(name, self.template)
        before, _, after = self.template.replace("{stem}", "{name}").partition("{name}")
        return bool(before or after) and name.startswith(before) and name.endswith(after)


def _fill(template: str, name: str, *, literal: bool) -> str:
    stem = name.rpartition(".")[0] or name
    filled = template.replace("{name}", _escaped(name)).replace("{stem}", _escaped(stem))
    return _escaped(template.replace("{name}", name).replace("{stem}", stem)) if literal else filled


def _escaped(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def expected_at(declaration: Declaration, from_at: datetime, to_at: datetime) -> list[datetime]:
    """Return the instants (UTC) at which a file is expected, from the first moment on, before the second.

    A local time that the clock change leaves out is the instant it would have been without the change (02:30 becomes
    03:30); one that comes twice is the first.
    """
    arrival = declaration.arrival
    if arrival is None or from_at >= to_at:
        return []
    zone = ZoneInfo(arrival.zone)
    first = from_at.astimezone(zone).date() - timedelta(days=1)
    last = to_at.astimezone(zone).date() + timedelta(days=1)
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    instants = {
        datetime.combine(day, at, zone).astimezone(UTC)
        for day in days
        if _is_due(arrival, day)
        for at in arrival.times
    }
    return sorted(at for at in instants if from_at <= at < to_at)


def _is_due(arrival: Arrival, day: date) -> bool:
    fits = not arrival.month_days or day.day in arrival.month_days
    return fits and WEEKDAYS[day.weekday()] in arrival.weekdays


def serve(
    declaration: Declaration, expected: Sequence[datetime], came: Sequence[datetime], now: datetime
) -> list[Served]:
    """Say of each expected instant which file served it, whether that was late, and whether it is missing by now.

    A file serves the last expectation that was due when it came; one that comes within the grace before the next, or
    nearer to it while the last is served, serves that one. Any further file serves none: two files of one delivery
    are one delivery. Missing is what nothing served once its grace has passed.
    """
    grace = declaration.arrival.grace if declaration.arrival else timedelta(0)
    expected, served = sorted(expected), {}
    for at in sorted(came):
        for candidate in _candidates(expected, at, grace):
            if candidate not in served:
                served[candidate] = at
                break
    return [
        Served(
            due,
            served.get(due),
            is_late=due in served and served[due] > due + grace,
            is_missing=due not in served and now > due + grace,
        )
        for due in expected
    ]


def _candidates(expected: Sequence[datetime], at: datetime, grace: timedelta) -> list[datetime]:
    """The expectations that a file of this moment may serve, the likeliest first."""
    due = [one for one in expected if one <= at][-1:]
    coming = [one for one in expected if one > at][:1]
    if not coming:
        return due
    if not due:
        return coming
    half = (coming[0] - due[0]) / 2
    if at >= coming[0] - min(grace, half):
        return coming + due
    return due + coming if at >= coming[0] - half else due


def next_expected(declaration: Declaration, after: datetime) -> datetime | None:
    """Return the first expected instant after a moment; None without a schedule, or with none in two years."""
    step = timedelta(days=62)
    for n in range(12):
        begin = after + timedelta(microseconds=1) + n * step
        if found := expected_at(declaration, begin, begin + step):
            return found[0]
    return None
