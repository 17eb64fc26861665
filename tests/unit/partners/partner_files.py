"""What the tests of partner formats share: a fuel declaration to vary, and one call that reads bytes by it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyarrow import feather

from ingestion.partners.declare.model import ColumnMap, CsvFormat, Declaration, LocalTimes
from ingestion.partners.rows.parse import FileFacts, KnownSchema, Parsed, parse_file

NUMBERS = itertools.count(1)
COLUMNS = (
    ColumnMap("transaction_id", ("No", "Number"), required=True),
    ColumnMap("vehicle_id", ("Vehicle",), required=True),
    ColumnMap("purchased_at", ("When",), required=True, times=LocalTimes(("%d/%m/%Y %H:%M",), "UTC")),
    ColumnMap("fuel", ("What",), required=True, values={"diesel": "diesel", "lng": "lng"}),
    ColumnMap("volume_l", ("Litres",)),
    ColumnMap("amount_minor", ("Sum",), money=True),
    ColumnMap("currency", ("Currency",)),
)
DECLARATION = Declaration(
    name="cards", tenant_id="acme", feed="fuel_purchase", account="cards", directory="/out", pattern="*",
    format=CsvFormat(), columns={column.name: column for column in COLUMNS}, line_key=("transaction_id",),
    max_rejected_share=0.1,
)  # fmt: skip
HEADER = "No,Vehicle,When,What,Litres,Sum,Currency"


def line(number: int, **changes: str) -> str:
    values = {
        "no": f"T{number:03}", "vehicle": f"V-{number:03}", "when": f"{1 + number % 28:02}/03/2026 10:{number % 60:02}",
        "what": "Diesel", "litres": f"{number % 90}.5", "total": f"{number}.25", "currency": "EUR",
    }  # fmt: skip
    return ",".join({**values, **changes}.values())


def text(lines: Sequence[str], header: str = HEADER) -> bytes:
    return "\n".join([header, *lines, ""]).encode()


def varied(**changes: Any) -> Declaration:
    """The declaration with other values; `columns` are added to, or replace, those of the same name."""
    columns = {**DECLARATION.columns, **{column.name: column for column in changes.pop("columns", ())}}
    return replace(DECLARATION, columns=columns, **changes)


def read(
    data: bytes | Path,
    scratch: Path,
    declaration: Declaration = DECLARATION,
    known: Sequence[KnownSchema] = (),
    modified_at: datetime = datetime(2026, 4, 1, tzinfo=UTC),
    **more: Any,
) -> Parsed:
    path = data if isinstance(data, Path) else scratch / f"file{next(NUMBERS)}.csv"
    if isinstance(data, bytes):
        path.write_bytes(data)
    promised = more.pop("promised_lines", None)
    facts = FileFacts(path.name, f"{next(NUMBERS):064}", modified_at, promised_lines=promised)
    return parse_file(path, declaration, facts, known, scratch, **more)


def rows(parsed: Parsed) -> list[dict[str, Any]]:
    return feather.read_table(parsed.rows_path).to_pylist()


def refusals(parsed: Parsed) -> list[dict[str, Any]]:
    return pq.read_table(parsed.refusals_path).to_pylist()


def known(parsed: Parsed, version: int = 1, state: str = "accepted") -> KnownSchema:
    """The schema of a file as the table gives it back."""
    from ingestion.partners.schema import ObservedSchema

    return KnownSchema(version, ObservedSchema.from_json(parsed.schema.to_json()), state)
