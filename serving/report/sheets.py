"""The CSV files beside the page: RFC 4180, UTF-8 with a byte order mark for spreadsheets, times in UTC.

Text that a spreadsheet would run as a formula gets a leading apostrophe (OWASP, "CSV Injection"), also
where the formula starts with a full-width sign.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from serving.report.model import MorningReport

Cell = str | int | float | date | datetime | None

_FORMULA_STARTS = frozenset("=+-@\t\r\n|%\uff1d\uff0b\uff0d\uff20")

SLA_COLUMNS = (
    "tenant_id",
    "report_date",
    "dimension",
    "member",
    "due",
    "delivered",
    "on_time",
    "late",
    "not_delivered",
    "returned",
    "missed",
    "on_time_share",
    "target_share",
    "share_7d",
    "vs_target_pp",
    "vs_7d_pp",
)
RISK_COLUMNS = (
    "tenant_id",
    "as_of",
    "shipment_id",
    "minutes_to_promise",
    "promised_at",
    "status",
    "status_at",
    "carrier_id",
    "service_level",
    "mode",
    "region",
    "origin",
    "destination",
    "vehicle_id",
)


def sla_sheet(report: MorningReport) -> bytes:
    """Return the SLA table, one line a member; shares are fractions of 1, unknown ones empty."""
    ordered = [
        row for dimension in ("all", "region", "carrier", "service_level") for row in report.of(dimension)
    ]
    return write_sheet(
        SLA_COLUMNS,
        (
            (
                report.tenant,
                report.report_date,
                row.dimension,
                row.member,
                row.due,
                row.delivered,
                row.on_time,
                row.late,
                row.open,
                row.returned,
                row.missed,
                row.on_time_share,
                row.target_share,
                row.share_7d,
                row.vs_target_pp,
                row.vs_7d_pp,
            )
            for row in ordered
        ),
    )


def risk_sheet(report: MorningReport) -> bytes:
    """Return the shipments at risk, the most urgent first."""
    return write_sheet(
        RISK_COLUMNS,
        (
            (
                report.tenant,
                report.as_of,
                s.shipment_id,
                s.minutes_to_promise,
                s.promised_at,
                s.status,
                s.status_at,
                s.carrier_id,
                s.service_level,
                s.mode,
                s.region,
                s.origin,
                s.destination,
                s.vehicle_id,
            )
            for s in report.risks.shipments
        ),
    )


def neutral(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip(" ")[:1] in _FORMULA_STARTS and text.strip(" ") else text


def write_sheet(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """Return a table as CSV; text is made harmless, None is empty."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def _cell(value: Cell) -> str | int:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case str():
            return neutral(value)
        case float():
            return f"{value:.6f}"
        case datetime():
            return value.strftime("%Y-%m-%dT%H:%M:%SZ")
        case date():
            return value.isoformat()
    return value
