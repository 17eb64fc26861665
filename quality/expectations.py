"""Runs checks through Great Expectations and returns what they observed; its own verdict is not used.

Great Expectations is imported by the first call (5 to 6 s cold); its bars and chatter are off.
The context is ephemeral: nothing of it, and no password, is written to disk.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from psycopg import sql

from quality.model import Check, Observation
from quality.rules import Between, Distinct, Generated, Holds, OneOf, Rows, UniqueTogether, Value
from quality.subject import Subject

# Distinct counts sort a whole claim: in memory, not on disk.
SESSION = {"timezone": "UTC", "work_mem": "128MB", "jit": "off"}


@dataclass(frozen=True)
class Session:
    """One context with one datasource; `site` is the folder of its data docs, if they are wanted."""

    context: Any
    datasource: Any
    examples: int


def load() -> ModuleType:
    """Import Great Expectations quietly."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations
    import great_expectations.expectations

    module: ModuleType = great_expectations
    return module


def sqlalchemy_url(dsn: str) -> str:
    """Return a postgresql:// address as Great Expectations takes it: psycopg 3 named, `$` escaped.

    Great Expectations would replace `$name` in an address by a variable of the environment.
    """
    parts = urlsplit(dsn)
    session = quote(" ".join(f"-c {name}={value}" for name, value in SESSION.items()))
    query = "&".join(filter(None, (parts.query, f"options={session}")))
    return urlunsplit(parts._replace(scheme="postgresql+psycopg", query=query)).replace("$", "%24")


@contextmanager
def open_session(dsn: str, *, examples: int) -> Iterator[Session]:
    """Open an ephemeral context on a warehouse; its connections are closed at the end.

    `examples` is how many values that break a rule are kept for the data docs; a pass more for each rule.
    """
    gx = load()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    datasource = context.data_sources.add_postgres(
        "warehouse", connection_string=sqlalchemy_url(dsn), create_temp_table=True
    )
    try:
        yield Session(context, datasource, examples)
    finally:
        datasource.get_execution_engine().engine.dispose()


def observe(session: Session, suite: str, subject: Subject, checks: Sequence[Check]) -> list[Observation]:
    """Measure the checks of one subject, in order; what cannot be measured comes back with its fault."""
    import great_expectations.exceptions
    import sqlalchemy.exc

    if subject.query is None:
        return [Observation() for _ in checks]
    try:
        validation = _define(session, suite, subject.name, subject.query, checks)
        outcome = validation.run(
            result_format={"result_format": "BASIC", "partial_unexpected_count": session.examples}
        )
    except (great_expectations.exceptions.GreatExpectationsError, sqlalchemy.exc.SQLAlchemyError) as fault:
        return [Observation(fault=_first_line(fault)) for _ in checks]
    by_name = {result.expectation_config.meta["check"]: result for result in outcome.results}
    return [_read(check, by_name[check.name]) for check in checks]


def _define(
    session: Session, suite: str, subject: str, query: sql.Composable, checks: Iterable[Check]
) -> Any:
    gx = load()
    name = f"{suite}.{subject}"
    asset = session.datasource.add_query_asset(subject, query=query.as_string())
    data = asset.add_batch_definition_whole_table("all")
    expectations = [_expectation(check) for check in checks]
    suited = session.context.suites.add(gx.ExpectationSuite(name, expectations=expectations))
    return session.context.validation_definitions.add(
        gx.ValidationDefinition(name=name, data=data, suite=suited)
    )


def _expectation(check: Check) -> Any:
    gxe = load().expectations
    limit = check.error if check.error is not None else check.warn
    assert limit is not None
    common = {"meta": {"check": check.name, "warn": check.warn, "error": check.error}, "notes": check.doc}
    mostly = max(0.0, min(1.0, 1.0 - limit))
    match check.rule:
        case Generated(kind, kwargs):
            return _generated(kind, kwargs, common)
        case Holds(column):
            return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], mostly=mostly, **common)
        case OneOf(column, values):
            return gxe.ExpectColumnValuesToBeInSet(
                column=column, value_set=list(values), mostly=mostly, **common
            )
        case Between(column, low, high):
            return gxe.ExpectColumnValuesToBeBetween(
                column=column, min_value=low, max_value=high, mostly=mostly, **common
            )
        case Distinct(column):
            return gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(
                column=column, min_value=mostly, **common
            )
        case UniqueTogether(columns):
            return gxe.ExpectCompoundColumnsToBeUnique(column_list=list(columns), mostly=mostly, **common)
        case Rows():
            return gxe.ExpectTableRowCountToBeBetween(min_value=int(limit), **common)
        case Value(column, floor):
            bound = {"min_value" if floor else "max_value": limit}
            return gxe.ExpectColumnMeanToBeBetween(column=column, **bound, **common)


def _generated(kind: str, kwargs: dict[str, Any], common: dict[str, Any]) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    return ExpectationConfiguration(type=kind, kwargs=dict(kwargs), **common).to_domain_obj()


def _read(check: Check, result: Any) -> Observation:
    if fault := _fault(result.exception_info or {}):
        return Observation(fault=fault)
    seen = result.result
    match check.rule:
        case Rows() | Value():
            value = seen.get("observed_value")
            return Observation(observed=None if value is None else float(value))
        case Distinct():
            # Of rows, at least one value is the first of its kind: 0 means that there are no rows.
            value = seen.get("observed_value")
            return Observation(observed=1.0 - float(value) if value else None)
        case Generated() if "unexpected_count" not in seen:
            return Observation(observed=0.0 if result.success else 1.0)
    unexpected, total = int(seen.get("unexpected_count") or 0), _judged(seen)
    return Observation(unexpected / total if total else None, unexpected, total)


def _judged(seen: dict[str, Any]) -> int:
    # For a rule about nulls, Great Expectations reports no missing values: the nulls are the unexpected ones.
    return int(seen.get("element_count") or 0) - int(seen.get("missing_count") or 0)


def _fault(info: dict[str, Any]) -> str | None:
    entries = [info] if "raised_exception" in info else [e for e in info.values() if isinstance(e, dict)]
    messages = [e.get("exception_message") or "unknown fault" for e in entries if e.get("raised_exception")]
    return _first_line(messages[0]) if messages else None


def _first_line(fault: object) -> str:
    lines = (line.strip() for line in str(fault).splitlines())
    return next(filter(None, lines), type(fault).__name__)[:300]
