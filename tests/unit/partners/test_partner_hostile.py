"""Bytes that were made to hang, to swell or to end a load, and those that only look so: each gets a clear answer."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from domain.contracts.model import Rule
from ingestion.partners.declare.declaration import read_declarations
from ingestion.partners.declare.model import CsvFormat, Excel, JsonLines, LocalTimes, Trailer
from ingestion.partners.faults import Cause
from ingestion.partners.read.block import MAX_COLUMNS
from ingestion.partners.rows.parse import FileFault
from tests.unit.partners.partner_files import COLUMNS, HEADER, line, read, refusals, rows, text, varied
from tests.unit.partners.test_partner_values import HEAD, workbook

ANY_SHARE = varied(max_rejected_share=1.0)


def fault_of(data: bytes, scratch: Path, **changes: object) -> FileFault:
    with pytest.raises(FileFault) as caught:
        read(data, scratch, varied(max_rejected_share=1.0, **changes))
    return caught.value


@pytest.mark.timeout(60)
def test_quotes_that_never_close_are_looked_through_once(tmp_path: Path) -> None:
    """The stray quote in the first line has the file split by an expression: it must not try each quote to the end."""
    data = text([line(1, vehicle='V"1'), '"' + 'a""' * 300_000])
    assert fault_of(data, tmp_path).cause is Cause.TRUNCATED


def test_more_columns_than_any_partner_has(tmp_path: Path) -> None:
    more = ",".join(f"c{n}" for n in range(MAX_COLUMNS))
    assert fault_of(text([line(1)], f"{HEADER},{more}"), tmp_path).cause is Cause.TOO_LARGE
    keys = "".join(f'{{"key {n}": 1}}\n' for n in range(MAX_COLUMNS + 1)).encode()
    assert fault_of(keys, tmp_path, format=JsonLines()).cause is Cause.TOO_LARGE


@pytest.mark.parametrize(
    ("layout", "written", "rule"),
    [
        ("epoch_ms", "999999999999999", Rule.TIME_IN_FUTURE),  # beyond the year 9999
        ("epoch_s", "999999999999", Rule.TIME_IN_FUTURE),
        (
            "epoch_s",
            "18448444073709",
            Rule.WRONG_TYPE,
        ),  # as microseconds in 64 bits it would be a day of 2023
    ],
)
def test_time_beyond_all_clocks_is_refused_alone(
    layout: str, written: str, rule: Rule, tmp_path: Path
) -> None:
    declaration = varied(columns=[replace(COLUMNS[2], times=LocalTimes((layout,)))], max_rejected_share=1.0)
    good = "1772359200" + ("000" if layout == "epoch_ms" else "")
    parsed = read(text([line(1, when=good), line(2, when=written)]), tmp_path, declaration)
    assert [row["transaction_id"] for row in rows(parsed)] == ["T001"]
    assert [(one["line"], one["rule"]) for one in refusals(parsed)] == [(3, rule)]


@pytest.mark.parametrize("count", ["9" * 5000, "many"])
def test_trailer_that_counts_nothing_countable(count: str, tmp_path: Path) -> None:
    form = CsvFormat(trailer=Trailer(r"^END (?P<count>\S+)"))
    fault = fault_of(text([line(1), f"END {count}"]), tmp_path, format=form)
    assert fault.cause is Cause.TRAILER


@pytest.mark.parametrize("block_bytes", [None, 47, 57, 95, 110])
def test_bytes_that_are_no_character_harm_their_own_line_only(
    block_bytes: int | None, tmp_path: Path
) -> None:
    """Wherever blocks are cut: also behind the first of a character's two bytes."""
    data = text([line(n, vehicle="東京") for n in range(1, 9)]).decode().encode("shift_jis")
    data = data.replace(b"T005", b"T0\x80\xff5")
    declaration = varied(encoding="shift_jis", max_rejected_share=1.0)
    with pytest.raises(FileFault, match="line 6 holds the byte 0x80"):
        read(data, tmp_path, declaration, block_bytes=block_bytes)
    parsed = read(data, tmp_path, declaration, approved=True, block_bytes=block_bytes)
    assert [one["line"] for one in refusals(parsed)] == [6]
    assert {row["vehicle_id"] for row in rows(parsed)} == {"東京"}


def test_encoding_that_writes_other_characters_in_ascii(tmp_path: Path) -> None:
    data = text([line(1, vehicle="東京")]).decode().encode("iso2022_jp")
    declaration = varied(encoding="iso2022_jp")
    assert [row["vehicle_id"] for row in rows(read(data, tmp_path, declaration))] == ["東京"]


@pytest.mark.parametrize(
    "xml",
    [
        b"<?xml version='1.0'?><!--" + b" " * 9000 + b"--><!DOCTYPE x [<!ENTITY a 'aa'>]><x>&a;</x>",
        "\ufeff<?xml version='1.0' encoding='utf-16'?><!DOCTYPE x [<!ENTITY a 'aa'>]><x>&a;</x>".encode(
            "utf-16-le"
        ),
    ],
    ids=["behind a comment", "utf-16"],
)
def test_workbook_whose_entities_hide(xml: bytes, tmp_path: Path) -> None:
    out = io.BytesIO(workbook([["x"], HEAD]))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/hidden.xml", xml)
    fault = fault_of(out.getvalue(), tmp_path, format=Excel(skip_lines=1))
    assert (fault.cause, "declares XML entities" in fault.words) == (Cause.BOMB, True)


def test_line_without_its_part_of_the_key_is_refused_and_a_corrected_time_is_the_same_event(
    tmp_path: Path,
) -> None:
    swiftline = replace(read_declarations()["swiftline"], max_rejected_share=1.0)
    head = "shipment|event|event_time|truck|lat|lon|reason|seq|sent_at"

    def scans(at: str) -> bytes:
        scan = "SHP-1|NDL|{}|WX-1|||noh|{}|2026-03-20T10:00:00Z"
        lines = [scan.format(at, "7"), scan.format(at, "8"), scan.format(at, "")]
        return text(lines, head)

    first = read(scans("2026-03-19 10:00"), tmp_path, swiftline)
    assert [(one["line"], one["rule"]) for one in refusals(first)] == [(4, Rule.MISSING_REQUIRED)]
    before = rows(first)
    after = rows(read(scans("2026-03-19 11:30"), tmp_path, swiftline))
    assert [row["event_id"] for row in before] == [row["event_id"] for row in after]
    assert before[0]["event_id"] != before[1]["event_id"]
    assert before[0]["content_hash"] != after[0]["content_hash"]
