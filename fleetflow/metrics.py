"""The metrics layer: what a metric is, defined once in dbt/semantic, compiled to SQL for an analyst to run.

A definition's expressions come from the project's files and are part of the program; what a caller gives is a name
from the definition (dimensions, checked and quoted) or a parameter (values), never text of a statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from psycopg import sql

from fleetflow.dbt_project import PROJECT
from fleetflow.faults import UserError
from fleetflow.runtime import Connection

DEFINITIONS = PROJECT / "semantic"
GRAINS = ("day", "week", "month")
_REQUIRED = {"name", "label", "description", "model", "numerator", "unit", "time", "dimensions"}
_KNOWN = _REQUIRED | {"denominator", "where"}


@dataclass(frozen=True)
class Metric:
    """A definition: numerator / denominator over the rows of one mart that meet `where`.

    `time` is the column of days that grains and ranges go by. Without a denominator the numerator is the value.
    """

    name: str
    label: str
    description: str
    model: str
    numerator: str
    unit: str
    time: str
    dimensions: tuple[str, ...]
    denominator: str | None = None
    where: str | None = None


@dataclass(frozen=True)
class Question:
    """What is asked of a metric: by which dimensions or grain, of which members, from which day to which, inclusive."""

    by: tuple[str, ...] = ()
    members: Mapping[str, str] | None = None
    from_day: date | None = None
    to_day: date | None = None


@dataclass(frozen=True)
class Answer:
    """The columns of an answer, the last three numerator, denominator and value, and its rows."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the rows by column, numbers as numbers."""
        return [dict(zip(self.columns, map(_plain, row), strict=True)) for row in self.rows]


def load_metrics(directory: Path = DEFINITIONS) -> dict[str, Metric]:
    """Read every definition.

    Raises:
        UserError: a definition lacks a part, has one that is not known, or a name is taken twice.
    """
    found: dict[str, Metric] = {}
    for path in sorted(directory.glob("*.yml")):
        for definition in yaml.safe_load(path.read_text())["metrics"]:
            metric = _metric(definition, path.name)
            if metric.name in found:
                raise UserError(f"{path.name}: metric {metric.name} is defined twice")
            found[metric.name] = metric
    return found


def _metric(definition: Mapping[str, Any], file: str) -> Metric:
    name = definition.get("name", "without a name")
    lacking, unknown = sorted(_REQUIRED - set(definition)), sorted(set(definition) - _KNOWN)
    if lacking or unknown:
        raise UserError(
            f"{file}: metric {name}: lacks {lacking or 'nothing'}, and has unknown {unknown or 'nothing'}"
        )
    return Metric(**{**definition, "dimensions": tuple(definition["dimensions"])})


def find(metrics: Mapping[str, Metric], name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        UserError: there is none; the message names those there are.
    """
    if name not in metrics:
        raise UserError(f"no metric {name!r}; there are {', '.join(metrics)} (`fleetflow metrics list`)")
    return metrics[name]


def compile_metric(metric: Metric, question: Question) -> tuple[sql.Composed, dict[str, Any]]:
    """Return the statement of a question and its parameters.

    Raises:
        UserError: it asks by something that the metric does not have.
    """
    parameters: dict[str, Any] = {}
    groups = [(name, _group(metric, name)) for name in question.by]
    conditions: list[sql.Composable] = [sql.SQL(f"({metric.where})")] if metric.where else []
    conditions += list(_members(metric, question, parameters))
    conditions += list(_range(metric, question, parameters))
    numerator = sql.SQL(metric.numerator)
    denominator = sql.SQL(metric.denominator or "null::bigint")
    value = sql.SQL("({})::double precision").format(numerator)
    if metric.denominator:
        value = sql.SQL("({})::double precision / nullif({}, 0)").format(numerator, denominator)
    measured = [
        sql.SQL("{} as {}").format(*part)
        for part in (
            *((group, sql.Identifier(name)) for name, group in groups),
            (numerator, sql.Identifier("numerator")),
            (denominator, sql.Identifier("denominator")),
            (value, sql.Identifier("value")),
        )
    ]
    statement = sql.SQL("select {} from {}").format(
        sql.SQL(", ").join(measured), sql.Identifier("marts", metric.model)
    )
    if conditions:
        statement += sql.SQL(" where ") + sql.SQL(" and ").join(conditions)
    if groups:
        places = sql.SQL(", ").join(sql.SQL(str(n)) for n in range(1, len(groups) + 1))
        statement += sql.SQL(" group by {} order by {}").format(places, places)
    return statement, parameters


def _group(metric: Metric, name: str) -> sql.Composable:
    if name in GRAINS:
        return sql.SQL("date_trunc({}, {}::timestamp)::date").format(
            sql.Literal(name), sql.Identifier(metric.time)
        )
    _check(metric, name)
    return sql.Identifier(name)


def _check(metric: Metric, name: str) -> None:
    if name not in metric.dimensions:
        raise UserError(
            f"metric {metric.name} has no dimension {name!r}; it has {', '.join(metric.dimensions)},"
            f" and the grains {', '.join(GRAINS)} to ask by"
        )


def _members(metric: Metric, question: Question, parameters: dict[str, Any]) -> Iterable[sql.Composable]:
    for number, (name, member) in enumerate((question.members or {}).items()):
        _check(metric, name)
        parameters[f"member_{number}"] = member
        yield sql.SQL("{}::text = {}").format(sql.Identifier(name), sql.Placeholder(f"member_{number}"))


def _range(metric: Metric, question: Question, parameters: dict[str, Any]) -> Iterable[sql.Composable]:
    if question.from_day is not None:
        parameters["from_day"] = question.from_day
        yield sql.SQL("{} >= {}::date").format(sql.Identifier(metric.time), sql.Placeholder("from_day"))
    if question.to_day is not None:
        parameters["to_day"] = question.to_day
        yield sql.SQL("{} < {}::date + 1").format(sql.Identifier(metric.time), sql.Placeholder("to_day"))


def ask(conn: Connection, tenant: str, metric: Metric, question: Question) -> Answer:
    """Ask a metric as an analyst of one tenant; the tenant is set for this transaction only."""
    statement, parameters = compile_metric(metric, question)
    with conn.transaction():
        conn.execute("select set_config('fleetflow.tenant', %s, true)", (tenant,))
        cursor = conn.execute(statement, parameters)
        names = [column.name for column in cursor.description or ()]
        return Answer(tuple(names), cursor.fetchall())


def parse_members(pairs: Sequence[str]) -> dict[str, str]:
    """Read NAME=VALUE pairs.

    Raises:
        UserError: one has another shape.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UserError(f"--where {pair!r} is not NAME=VALUE, as in --where region=north")
        found[name] = value
    return found


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date) else value
