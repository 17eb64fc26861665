"""Checks that follow from a contract: required columns, accepted values, ranges.

The nightly suite runs each expectation of the generated suite (`suites_generated/<feed>.json`) as one check;
the gate, which has to be fast, judges one boolean over all columns (`contract_kept`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from psycopg import sql

from domain.contracts import Feed
from domain.contracts.model import Choice, Column
from quality.model import Check
from quality.rules import Generated

GENERATED = Path(__file__).parent / "suites_generated"


def contract_checks(feed: Feed) -> Iterator[Check]:
    """Yield a check for each expectation of the feed's generated suite; one breach stops the line."""
    suite = json.loads((GENERATED / f"{feed.name}.json").read_text())
    for expectation in suite["expectations"]:
        rule = Generated(expectation["type"], expectation["kwargs"])
        subject, doc = suite["meta"]["subject"], f"Contract of {feed.name}"
        yield Check(_name(rule.kind, rule.kwargs), subject, rule, doc, error=0)


def _name(kind: str, kwargs: dict[str, Any]) -> str:
    words = kind.removeprefix("expect_").removeprefix("column_values_").removeprefix("column_value_")
    columns = [kwargs.get("column") or "_".join(kwargs.get("column_list", ())), words.removeprefix("to_")]
    condition = kwargs.get("row_condition")
    given = [f"with_{condition['column']['name']}"] if condition else []
    return "_".join(filter(None, [*columns, *given]))


def contract_columns(feed: Feed) -> list[sql.Composable]:
    """Return the select list of a contract's columns, those with personal data left out."""
    return [sql.SQL("e.{}").format(sql.Identifier(column.name)) for column in feed.mirrored]


def kept_sql(feed: Feed) -> sql.Composable:
    """Return one boolean expression: the row keeps every column rule of its contract; never null."""
    rules = [rule for column in feed.mirrored for rule in _column_rules(column)]
    return sql.SQL("coalesce({}, false)").format(sql.SQL(" and ").join(rules))


def _column_rules(column: Column) -> Iterator[sql.Composable]:
    name = sql.SQL("e.{}").format(sql.Identifier(column.name))
    absent = sql.SQL("{} is null or ").format(name) if column.nullable else sql.SQL("")
    if not column.nullable:
        yield sql.SQL("{} is not null").format(name)
    if isinstance(column.type, Choice):
        values = sql.SQL(", ").join(map(sql.Literal, column.type.values))
        yield sql.SQL("({}{} in ({}))").format(absent, name, values)
    for bound, sign in zip(column.between or (), (">=", "<="), strict=False):
        if bound is not None:
            yield sql.SQL("({}{} {} {})").format(absent, name, sql.SQL(sign), sql.Literal(bound))
