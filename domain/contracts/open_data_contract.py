"""The Open Data Contract file of a feed (ODCS v3.1.0), for catalogs and for whoever asks what we promise.

v3.1.0 is the first whose logical types know an instant. Columns with personal data are listed and classified;
the description says that they are not copied.
"""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from domain.contracts.model import (
    Binary,
    Boolean,
    Choice,
    Column,
    Date,
    Decimal,
    Feed,
    Float,
    Integer,
    Text,
    Timestamp,
    Type,
)
from domain.contracts.postgres import postgres_type

API_VERSION = "v3.1.0"


def contract(feed: Feed) -> dict[str, Any]:
    """Return the contract of a feed or entity; its id is the same at every generation."""
    return {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": str(uuid5(NAMESPACE_URL, f"fleetflow/contracts/{feed.name}/v{feed.version}")),
        "name": feed.name,
        "version": f"{feed.version}.{feed.minor}.0",
        "status": "active",
        "domain": "logistics",
        "dataProduct": "fleetflow",
        "description": _description(feed),
        "schema": [_table(feed)],
        "slaProperties": _promises(feed),
    }


def _description(feed: Feed) -> dict[str, str]:
    if feed.lands:
        limits = (
            "Repeats are kept: the key tells them apart. Rows arrive late and out of order."
            " Rows that break a rule are in ops.rejected, with the rule and the raw bytes."
        )
        usage = f"Read landing.{feed.name}; seven days are kept there, 180 days in the raw bucket."
    else:
        limits = "Columns classified as personal stay in the order database; CDC does not copy them."
        usage = f"Read source.{feed.name} for what is, source.{feed.name}_history for what was."
    return {"purpose": feed.doc, "limitations": limits, "usage": usage}


def _table(feed: Feed) -> dict[str, Any]:
    schema = "landing" if feed.lands else "source"
    return {
        "name": feed.name,
        "physicalName": f"{schema}.{feed.name}",
        "physicalType": "table",
        "logicalType": "object",
        "description": feed.doc,
        "dataGranularityDescription": f"One row per {' and '.join(feed.key)}"
        + (", and one more per repeat" if feed.lands else ""),
        "properties": [_property(feed, column) for column in feed],
    }


def _property(feed: Feed, column: Column) -> dict[str, Any]:
    declared: dict[str, Any] = {
        "name": column.name,
        "logicalType": logical_type(column.type),
        "physicalType": postgres_type(column.type),
        "description": column.doc,
        "required": not column.nullable,
        "classification": "personal" if column.pii else "internal",
    }
    if column.name in feed.key:
        declared |= {"primaryKey": True, "primaryKeyPosition": feed.key.index(column.name) + 1}
    if options := _options(column):
        declared["logicalTypeOptions"] = options
    if isinstance(column.type, Choice):
        declared["quality"] = [_vocabulary(column.type)]
    if column.unit:
        declared["customProperties"] = [{"property": "unit", "value": column.unit}]
    return declared


def logical_type(of: Type) -> str:
    """Return the standard's word for a type."""
    match of:
        case Text() | Choice():
            return "string"
        case Integer():
            return "integer"
        case Float() | Decimal():
            return "number"
        case Boolean():
            return "boolean"
        case Timestamp():
            return "timestamp"
        case Date():
            return "date"
        case Binary():
            return "array"


def _options(column: Column) -> dict[str, Any]:
    options: dict[str, Any] = {}
    match column.type:
        case Text(max_length):
            options |= {"minLength": 1, "maxLength": max_length}
        case Binary(max_length):
            options["maxItems"] = max_length
        case Integer(bits):
            options["format"] = f"i{bits}"
        case Timestamp():
            options |= {"timezone": True, "defaultTimezone": "Etc/UTC"}
        case _:
            pass
    low, high = column.between or (None, None)
    limits = {"minimum": low, "maximum": high}
    return options | {name: bound for name, bound in limits.items() if bound is not None}


def _vocabulary(choice: Choice) -> dict[str, Any]:
    return {
        "type": "library",
        "metric": "invalidValues",
        "arguments": {"validValues": list(choice.values)},
        "mustBe": 0,
        "dimension": "conformity",
    }


def _promises(feed: Feed) -> list[dict[str, Any]]:
    if not feed.lands:
        return [{"property": "retention", "value": 3, "unit": "y", "driver": "regulatory"}]
    element = f"{feed.name}.{feed.event_time}"
    latency = {
        "property": "latency",
        "value": 3,
        "unit": "m",
        "element": element,
        "driver": "operational",
        "description": "p99 from arrival to marts; aimed at 1 minute",
    }
    retention = {
        "property": "retention",
        "value": 180,
        "unit": "d",
        "element": element,
        "driver": "regulatory",
        "description": "In the raw bucket; landing keeps seven days",
    }
    return [latency, retention] if feed.stream else [retention]
