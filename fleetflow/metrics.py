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
_KNOWN = _REQUIRED | {"denominator", "where", "over"}
_OVER = {"model", "time", "where"}


@dataclass(frozen=True)
class Base:
    """The mart that a denominator counts, where it is another than the numerator's; it has all of the dimensions."""

    model: str
    time: str
    where: str | None = None


@dataclass(frozen=True)
class Metric:
    """A definition: numerator / denominator over the rows of one mart that meet `where`.

    `time` is the column of days that grains and ranges go by. Without a denominator the numerator is the value. With
    `over` the denominator is of the rows of that mart; dimensions, grains and ranges cut both.
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
    over: Base | None = None


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
    over = definition.get("over")
    if over is not None:
        lacking += [f"over.{part}" for part in sorted({"model", "time"} - set(over))]
        lacking += [] if "denominator" in definition else ["denominator"]
        unknown += [f"over.{part}" for part in sorted(set(over) - _OVER)]
    if lacking or unknown:
        raise UserError(
            f"{file}: metric {name}: lacks {lacking or 'nothing'}, and has unknown {unknown or 'nothing'}"
        )
    parts = {**definition, "dimensions": tuple(definition["dimensions"])}
    return Metric(**parts | {"over": Base(**over) if over is not None else None})


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
    for name in (*(name for name in question.by if name not in GRAINS), *(question.members or {})):
        _check(metric, name)
    numerator = sql.SQL(metric.numerator)
    denominator = sql.SQL(metric.denominator or "null::bigint")
    if metric.over is None:
        value = sql.SQL("({})::double precision").format(numerator)
        if metric.denominator:
            value = sql.SQL("({})::double precision / nullif({}, 0)").format(numerator, denominator)
        own = Base(metric.model, metric.time, metric.where)
        measured = {"numerator": numerator, "denominator": denominator, "value": value}
        statement = _select(own, question, measured) + _order(question)
    else:
        statement = _over_two(metric, metric.over, question)
    return statement, _parameters(question)


def _over_two(metric: Metric, over: Base, question: Question) -> sql.Composed:
    """Measure each mart by itself, then lay the groups of both together; a group may be in one of them only."""
    none = sql.SQL("null::bigint")
    above = {"numerator": sql.SQL(metric.numerator), "denominator": none}
    below = {"numerator": none, "denominator": sql.SQL(metric.denominator or "null::bigint")}
    names = sql.SQL("").join(sql.SQL("{}, ").format(sql.Identifier(name)) for name in question.by)
    return (
        sql.SQL("select ")
        + names
        + sql.SQL(
            "coalesce(sum(numerator), 0) as numerator, coalesce(sum(denominator), 0) as denominator,"
            " coalesce(sum(numerator), 0)::double precision / nullif(sum(denominator), 0) as value from ("
        )
        + _select(Base(metric.model, metric.time, metric.where), question, above)
        + sql.SQL(" union all ")
        + _select(over, question, below)
        + sql.SQL(") as parts")
        + _group_by(question)
        + _order(question)
    )


def _select(mart: Base, question: Question, measured: Mapping[str, sql.Composable]) -> sql.Composed:
    columns = [*((_group(mart, name), name) for name in question.by)]
    columns += [(expression, name) for name, expression in measured.items()]
    statement = sql.SQL("select {} from {}").format(
        sql.SQL(", ").join(sql.SQL("{} as {}").format(part, sql.Identifier(name)) for part, name in columns),
        sql.Identifier("marts", mart.model),
    )
    conditions: list[sql.Composable] = [sql.SQL(f"({mart.where})")] if mart.where else []
    conditions += [*_members(question), *_range(mart, question)]
    if conditions:
        statement += sql.SQL(" where ") + sql.SQL(" and ").join(conditions)
    return statement + _group_by(question)


def _places(question: Question) -> sql.Composable:
    return sql.SQL(", ").join(sql.SQL(str(n)) for n in range(1, len(question.by) + 1))


def _group_by(question: Question) -> sql.Composable:
    return sql.SQL(" group by ") + _places(question) if question.by else sql.SQL("")


def _order(question: Question) -> sql.Composable:
    return sql.SQL(" order by ") + _places(question) if question.by else sql.SQL("")


def _group(mart: Base, name: str) -> sql.Composable:
    if name in GRAINS:
        return sql.SQL("date_trunc({}, {}::timestamp)::date").format(
            sql.Literal(name), sql.Identifier(mart.time)
        )
    return sql.Identifier(name)


def _check(metric: Metric, name: str) -> None:
    if name not in metric.dimensions:
        raise UserError(
            f"metric {metric.name} has no dimension {name!r}; it has {', '.join(metric.dimensions)},"
            f" and the grains {', '.join(GRAINS)} to ask by"
        )


def _members(question: Question) -> Iterable[sql.Composable]:
    for number, name in enumerate(question.members or {}):
        yield sql.SQL("{}::text = {}").format(sql.Identifier(name), sql.Placeholder(f"member_{number}"))


def _range(mart: Base, question: Question) -> Iterable[sql.Composable]:
    if question.from_day is not None:
        yield sql.SQL("{} >= {}::date").format(sql.Identifier(mart.time), sql.Placeholder("from_day"))
    if question.to_day is not None:
        yield sql.SQL("{} < {}::date + 1").format(sql.Identifier(mart.time), sql.Placeholder("to_day"))


def _parameters(question: Question) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        f"member_{number}": member for number, member in enumerate((question.members or {}).values())
    }
    days = {"from_day": question.from_day, "to_day": question.to_day}
    return parameters | {name: day for name, day in days.items() if day is not None}


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
