"""Each shipped partner's sample files against what a person worked out for them: rows, refusals, or the fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from domain.contracts.arrow import arrow_schema
from ingestion.partners.declare.declaration import read_declarations
from ingestion.partners.rows.parse import FileFacts, FileFault, Parsed, parse_file

SAMPLES = Path(__file__).parents[1] / "data" / "partners"
FILES = sorted(path for path in SAMPLES.glob("*/*") if not path.name.endswith(".expected.json"))
DECLARED = read_declarations()


def samples() -> Iterator[Any]:
    for path in FILES:
        expected = json.loads(path.with_name(path.name + ".expected.json").read_text(encoding="utf-8"))
        yield pytest.param(path, expected, id=f"{path.parent.name}-{path.name}")


def read(path: Path, expected: dict[str, Any], scratch: Path, **more: Any) -> Parsed:
    times = {name: datetime.fromisoformat(text) for name, text in expected["facts"].items()}
    facts = FileFacts(path.name, "ab" * 32, **times)
    return parse_file(path, DECLARED[path.parent.name], facts, [], scratch, **more)


def shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value


@pytest.mark.parametrize("block_bytes", [None, 100], ids=["whole", "blocks"])
@pytest.mark.parametrize(("path", "expected"), samples())
def test_sample_is_read_as_worked_out_by_hand(
    path: Path, expected: dict[str, Any], block_bytes: int | None, tmp_path: Path
) -> None:
    if "fault" in expected:
        with pytest.raises(FileFault) as caught:
            read(path, expected, tmp_path, block_bytes=block_bytes)
        assert (caught.value.cause, caught.value.kind) == (expected["fault"], expected["kind"]), caught.value
        for words in expected["says"]:
            assert words in caught.value.words
        assert not list(tmp_path.iterdir()), "a refused or held file leaves no spool"
        return
    parsed = read(path, expected, tmp_path, block_bytes=block_bytes)
    assert parsed.lines == expected["lines"] == parsed.accepted + parsed.rejected
    refused = pq.read_table(parsed.refusals_path).to_pylist()
    assert [[one["line"], one["rule"]] for one in refused] == expected["refused"]
    assert all(one["raw"] and one["detail"] for one in refused)
    assert parsed.recorded_before == expected.get("recorded_before", 0)
    assert parsed.recorded_late == expected.get("recorded_late", parsed.recorded_late)
    rows = feather.read_table(parsed.rows_path).to_pylist()
    assert len(rows) == expected.get("accepted", len(rows)) == parsed.accepted
    if "rows" in expected:
        assert [plain(row) for row in rows] == expected["rows"]


def plain(row: dict[str, Any]) -> dict[str, Any]:
    row = {name: shown(value) for name, value in row.items()}
    assert len(row.pop("event_id")) == 32
    assert {type(row.pop("line_hash")), type(row.pop("content_hash"))} == {int}
    row["extras"] = json.loads(row["extras"]) if row["extras"] is not None else None
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in row.items()}


def test_every_shipped_partner_has_samples_or_a_real_file() -> None:
    assert {path.parent.name for path in FILES} | {"scms"} == set(DECLARED)


def test_spool_holds_the_contract_in_order(tmp_path: Path) -> None:
    for name in ("nordcard", "torque", "swiftline"):
        path = next(p for p in FILES if p.parent.name == name and p.stem in ("plain", "jobs", "status"))
        expected = json.loads(path.with_name(path.name + ".expected.json").read_text(encoding="utf-8"))
        schema = feather.read_table(read(path, expected, tmp_path).rows_path).schema
        contract = arrow_schema(DECLARED[name].contract)
        assert schema.names == [*contract.names, "line_hash", "content_hash", "extras"]
        assert [schema.field(n).type for n in contract.names] == contract.types


@pytest.mark.parametrize("name", ["utf8.csv", "gallons.csv", "decimal_points.csv", "shifted_rows.csv"])
def test_what_a_person_may_approve_is_read_when_approved(name: str, tmp_path: Path) -> None:
    path = SAMPLES / "nordcard" / name
    expected = json.loads(path.with_name(name + ".expected.json").read_text(encoding="utf-8"))
    parsed = read(path, expected, tmp_path, approved=True)
    assert parsed.lines == parsed.accepted + parsed.rejected > 0


@pytest.mark.parametrize("name", ["missing_column.csv", "duplicate_header.csv", "trailer_counts_more.csv"])
def test_what_nobody_may_approve_stays(name: str, tmp_path: Path) -> None:
    path = SAMPLES / "nordcard" / name
    expected = json.loads(path.with_name(name + ".expected.json").read_text(encoding="utf-8"))
    with pytest.raises(FileFault) as caught:
        read(path, expected, tmp_path, approved=True)
    assert not caught.value.approvable
    assert caught.value.cause == expected["fault"]
