"""What values become, by hand: times over clock changes, units, money, sentinels, texts; and which rule refuses."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from pyarrow import feather

from domain.contracts.model import Rule
from ingestion.partners.declare.model import (
    ColumnMap,
    CsvFormat,
    Excel,
    JsonLines,
    LocalTimes,
    Numbers,
    Trailer,
)
from ingestion.partners.declare.names import plain_name, split_unit
from ingestion.partners.rows.instants import InstantReader
from ingestion.partners.rows.numbers import read_floats, read_integers
from ingestion.partners.rows.parse import FileFault
from tests.unit.partners.partner_files import COLUMNS, line, read, refusals, rows, text, varied


def instants(texts: list[str], times: LocalTimes) -> tuple[list[str | None], list[Rule | None]]:
    found = InstantReader(times).read(pa.array(texts))
    rules: list[Rule | None] = [None] * len(texts)
    for mask, rule, _ in found.refused:
        for i in mask.nonzero()[0]:
            rules[i] = rule
    values = found.values.cast(pa.timestamp("us", "UTC")).to_pylist()
    return [value and value.strftime("%Y-%m-%dT%H:%M:%S") for value in values], rules


@pytest.mark.parametrize(
    ("rules", "otherwise"),
    [
        ({}, {}),
        ({"overlap": "later"}, {3: "2026-10-25T01:30:00"}),
        ({"gap": "reject"}, {1: Rule.WRONG_TYPE}),
        ({"overlap": "reject"}, {3: Rule.WRONG_TYPE}),
    ],
)
def test_hours_that_are_skipped_or_come_twice(
    rules: dict[str, str], otherwise: dict[int, str | Rule]
) -> None:
    # In Berlin 02:00 is 03:00 on 2026-03-29; 02:00 to 03:00 comes twice on 2026-10-25.
    usual = [
        "2026-03-29T00:59:00", "2026-03-29T01:30:00", "2026-03-29T01:00:00", "2026-10-25T00:30:00",
        "2026-10-25T02:00:00",
    ]  # fmt: skip
    expected = [otherwise.get(i, one) for i, one in enumerate(usual)]
    texts = [
        "2026-03-29 01:59",
        "2026-03-29 02:30",
        "2026-03-29 03:00",
        "2026-10-25 02:30",
        "2026-10-25 03:00",
    ]
    values, refused = instants(texts, LocalTimes(("%Y-%m-%d %H:%M",), "Europe/Berlin", **rules))  # type: ignore[arg-type]
    assert [rule or value for value, rule in zip(values, refused, strict=True)] == expected


@pytest.mark.parametrize(
    ("layout", "written", "expected"),
    [
        ("%d.%m.%Y %H:%M:%S", "05.03.2026 06:45:09", "2026-03-05T06:45:09"),
        ("%d-%b-%y", "2-Jun-06", "2006-06-02T12:00:00"),
        ("%m/%d/%y", "11/13/06", "2006-11-13T12:00:00"),
        ("%d %B %Y", "1 March 2024", "2024-03-01T12:00:00"),
        ("%Y%m%d", "20240229", "2024-02-29T12:00:00"),
        ("%m/%d/%Y %I:%M %p", "01/02/2026 12:05 AM", "2026-01-02T00:05:00"),
        ("%Y-%m-%dT%H:%M:%S%z", "2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05"),
        ("iso", "2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05"),
        ("iso", "2026-01-02 03:04-0130", "2026-01-02T04:34:00"),
        ("iso", "2026-01-02T03:04:05", "2026-01-02T03:04:05"),
        ("epoch_s", "1700000000", "2023-11-14T22:13:20"),
        ("epoch_ms", "1700000000123", "2023-11-14T22:13:20"),
        ("%d.%m.%Y", "30.02.2026", None),
        ("%d.%m.%Y", "31.04.2026", None),
        ("%d.%m.%Y", "29.02.2025", None),
        ("%d.%m.%Y", "01.13.2026", None),
        ("%d.%m.%Y", "00.01.2026", None),
        ("%d.%m.%Y", "1.1.26", None),
        ("%d.%m.%Y", "01.01.2026 ", None),
        ("%d.%m.%Y", "01x01x2026", None),
        ("%Y-%m-%d %H:%M", "2026-01-01 24:00", None),
        ("iso", "2026-02-30T00:00:00Z", None),
        ("iso", "2026-01-01", None),
        ("epoch_s", "12.5", None),
    ],
)
def test_layouts_are_read_strictly(layout: str, written: str, expected: str | None) -> None:
    values, refused = instants([written, written], LocalTimes((layout,), "UTC", at=time(12)))
    assert values == [expected, expected]
    assert (refused[0] is None) == (expected is not None)


def test_first_layout_that_fits_counts_and_no_zone_is_refused() -> None:
    values, _ = instants(
        ["05/06/2026", "25/06/2026"], LocalTimes(("%m/%d/%Y", "%d/%m/%Y"), "UTC", at=time(0))
    )
    assert values == ["2026-05-06T00:00:00", "2026-06-25T00:00:00"]
    _, refused = instants(["2026-01-01T00:00:00"], LocalTimes())
    assert refused == [Rule.TIMESTAMP_WITHOUT_ZONE]


@pytest.mark.parametrize(
    ("style", "written", "expected"),
    [
        (Numbers(), "1234.5", 1234.5), (Numbers(), "+.5", 0.5), (Numbers(), "1e3", 1000.0), (Numbers(), "-7.", -7.0),
        (Numbers(), "1,5", None), (Numbers(), "1 000", None), (Numbers(), "nan", None), (Numbers(), "inf", None),
        (Numbers(), "0x1F", None), (Numbers(), "=1+1", None), (Numbers(), "1e999", None), (Numbers(), "12%", None),
        (Numbers(",", "."), "1.234,56", 1234.56), (Numbers(",", "."), "1234,5", 1234.5),
        (Numbers(",", "."), "1.5", None), (Numbers(",", "."), "12.34,5", None),
        (Numbers(",", "."), "1.234.567", 1234567.0), (Numbers(",", "."), "1,234.5", None),
        (Numbers(".", ","), "12,345.6", 12345.6), (Numbers(".", "'"), "1'234.5", 1234.5),
        (Numbers(",", "\u00a0"), "1\u00a0234,5", 1234.5),
    ],
)  # fmt: skip
def test_numbers_are_read_strictly_alone_and_among_others(
    style: Numbers, written: str, expected: float | None
) -> None:
    assert read_floats(pa.array([written]), style).to_pylist() == [expected]
    assert read_floats(pa.array([written, "1", "?", None]), style).to_pylist() == [expected, 1.0, None, None]


def test_whole_numbers() -> None:
    texts = ["12", "+3", "-4", "5.0", "6.", "7.5", "0x10", "9" * 18, "9" * 19, "", "1e3"]
    expected = [12, 3, -4, 5, 6, None, None, int("9" * 18), None, None, None]
    assert read_integers(pa.array(texts), Numbers()).to_pylist() == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Volume (gal)", ("volume", "gal")), ("odometer_mi", ("odometer", "mi")),
        ("Distance in km", ("distance", "km")),
        ("Weight [lbs]", ("weight", "lb")), ("Amount (EUR)", ("amount", "EUR")),
        ("Vehicle", ("vehicle", None)),
        ("Notes (internal)", ("notes (internal)", None)), ("km", ("km", None)),
    ],
)  # fmt: skip
def test_units_in_headers(header: str, expected: tuple[str, str | None]) -> None:
    assert split_unit(header) == expected
    assert plain_name("  Card_Vehicle - No ") == "card vehicle no"


def test_units_money_and_sentinels(tmp_path: Path) -> None:
    declaration = varied(
        columns=[
            replace(COLUMNS[4], unit="gal", nulls=("N/A",), null_patterns=(r"^See DN-\d+ \(ID#:\d+\)$",)),
            ColumnMap("odometer_km", ("Miles",), unit="mi"),
            ColumnMap("country", constant="US"),
        ],
        max_rejected_share=1.0,
    )
    lines = [
        line(1, litres="10", total="1.5", currency="USD") + ",100",
        line(2, litres="n/a", total="1200", currency="JPY") + ",",
        line(3, litres="See DN-304 (ID#:10589)", total="1.234", currency="BHD") + ",2.5",
        line(4, litres="", total="", currency="") + ",",
        line(5, total="1.234", currency="EUR") + ",",
        line(6, total="5", currency="") + ",",
        line(7, litres="5000") + ",",
        line(8, total="99999999999999999") + ",",
    ]
    parsed = read(text(lines, "No,Vehicle,When,What,Litres,Sum,Currency,Miles"), tmp_path, declaration)
    found = [(r["volume_l"], r["amount_minor"], r["odometer_km"], r["country"]) for r in rows(parsed)]
    assert found == [
        (37.85411784, 150, 160.9344, "US"), (None, 1200, None, "US"), (None, 1234, 4.02336, "US"),
        (None, None, None, "US"),
    ]  # fmt: skip
    assert [(r["line"], r["rule"]) for r in refusals(parsed)] == [
        (6, "out_of_range"), (7, "position_incomplete"), (8, "out_of_range"), (9, "out_of_range"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "rule", "says"),
    [
        ({"no": ""}, Rule.MISSING_REQUIRED, "transaction_id ('No') is ''"),
        ({"no": "   "}, Rule.MISSING_REQUIRED, "transaction_id"),
        ({"no": "x" * 65}, Rule.TOO_LONG, "65 characters long, and at most 64"),
        ({"no": "ü" * 65}, Rule.TOO_LONG, "65 characters"),
        ({"when": "31/02/2026 10:00"}, Rule.WRONG_TYPE, "'31/02/2026 10:00' is not a time of the layout"),
        ({"when": "01/01/1999 10:00"}, Rule.TIME_TOO_OLD, "before 2000-01-01"),
        ({"when": "01/04/2026 02:00"}, Rule.TIME_IN_FUTURE, "over an hour past"),
        ({"what": "Water"}, Rule.UNKNOWN_VALUE, "fuel = 'Water' is none of diesel, lng"),
        ({"litres": "-1"}, Rule.OUT_OF_RANGE, "volume_l = '-1' is outside 0 to 5000 l"),
        ({"litres": "5000.1"}, Rule.OUT_OF_RANGE, "volume_l"),
        ({"litres": "lots"}, Rule.WRONG_TYPE, "is not a number with decimal sign '.'"),
        ({"currency": "EURO"}, Rule.TOO_LONG, "currency"),
        ({"currency": ""}, Rule.POSITION_INCOMPLETE, "amount_minor and currency stand together"),
        ({"currency": "EUR,more"}, Rule.WRONG_SHAPE, "8 fields, and the header has 7"),
        ({"no": "x" * 70_000}, Rule.OVERSIZED, "bytes, at most 65536"),
    ],
)
def test_broken_line_names_its_rule_and_keeps_its_neighbours(
    changes: dict[str, str], rule: Rule, says: str, tmp_path: Path
) -> None:
    lines = [line(1), line(2, **changes), line(3)]
    parsed = read(text(lines), tmp_path, varied(max_rejected_share=1.0))
    assert [row["transaction_id"] for row in rows(parsed)] == ["T001", "T003"]
    (refused,) = refusals(parsed)
    assert (refused["line"], refused["rule"]) == (3, rule)
    assert says in refused["detail"]
    assert refused["raw"] == lines[1].encode()[: 64 << 10]


def test_a_formula_is_text_and_stays_text(tmp_path: Path) -> None:
    parsed = read(
        text([line(1, no="=cmd|' /C calc'!A0"), line(2, no="@SUM(1+1)"), line(3, no="-2+3")]), tmp_path
    )
    assert [row["transaction_id"] for row in rows(parsed)] == ["=cmd|' /C calc'!A0", "@SUM(1+1)", "-2+3"]


def test_time_in_future_counts_from_arrival(tmp_path: Path) -> None:
    late = read(text([line(1, when="01/04/2026 00:59")]), tmp_path)
    assert (late.accepted, late.recorded_before, late.recorded_late) == (1, 1, 0)
    old = read(text([line(1, when="20/03/2026 00:59")]), tmp_path)
    assert (old.accepted, old.recorded_before, old.recorded_late) == (1, 0, 1)


def test_hashes_tell_lines_and_versions_apart(tmp_path: Path) -> None:
    first = rows(read(text([line(1), line(2)]), tmp_path))
    moved = rows(read(text([line(2), line(1)]), tmp_path))
    changed = rows(
        read(text([line(1, litres="7"), line(2, vehicle="")]), tmp_path, varied(max_rejected_share=1.0))
    )
    assert [(r["line_hash"], r["content_hash"], r["event_id"]) for r in first] == [
        (r["line_hash"], r["content_hash"], r["event_id"]) for r in reversed(moved)
    ]
    assert changed[0]["line_hash"] == first[0]["line_hash"]
    assert changed[0]["content_hash"] != first[0]["content_hash"]
    import hashlib

    expected = hashlib.sha256(b"cards\x1fT001").digest()
    assert first[0]["event_id"] == expected.hex()[:32]
    assert first[0]["line_hash"] == int.from_bytes(expected[:8], "big", signed=True)


JSON = varied(
    format=JsonLines(), columns=[replace(COLUMNS[1], sources=("vehicle.id",))], max_rejected_share=1.0
)


def test_json_lines_with_paths_numbers_and_late_columns(tmp_path: Path) -> None:
    good = {
        "No": 17,
        "vehicle": {"id": "V-1", "kind": "van"},
        "When": "01/03/2026 10:00",
        "What": "LNG",
        "Litres": 12.5,
    }
    lines: list[Any] = [
        json.dumps(good), "", json.dumps({**good, "No": "18", "Litres": None, "tags": ["a"], "ok": True}),
        "{broken", "[1]", '"text"', json.dumps({**good, "vehicle": None}),
        json.dumps({**good, "No": 20, "Litres": "x"}),
    ]  # fmt: skip
    parsed = read("\n".join(lines).encode() + b"\n", tmp_path, JSON, block_bytes=64)
    found = [(r["transaction_id"], r["vehicle_id"], r["volume_l"]) for r in rows(parsed)]
    assert found == [
        ("17", "V-1", 12.5),
        ("18", "V-1", None),
    ]
    assert json.loads(rows(parsed)[1]["extras"]) == {"vehicle.kind": "van", "tags": '["a"]', "ok": "true"}
    assert [(r["line"], r["rule"]) for r in refusals(parsed)] == [
        (4, "malformed_json"), (5, "not_an_object"), (6, "not_an_object"), (7, "missing_required"), (8, "wrong_type"),
    ]  # fmt: skip


def test_json_column_that_no_line_has_is_held_and_a_cut_line_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFault, match=r"vehicle_id \(looked for 'vehicle.id'\)"):
        read(b'{"No": 1, "When": "01/03/2026 10:00", "What": "LNG"}\n', tmp_path, JSON)
    with pytest.raises(FileFault, match="cut off"):
        read(b'{"No": 1}\n{"No": 2, "Wh', tmp_path, JSON)


def workbook(table: list[list[Any]], sheet: str = "Data") -> bytes:
    book = openpyxl.Workbook()
    book.active.title = sheet
    for row in table:
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


HEAD = ["No", "Vehicle", "When", "What", "Litres", "Sum", "Currency", None]
EXCEL = varied(format=Excel(sheet="Data", skip_lines=1), numbers=Numbers(","), max_rejected_share=1.0)


def test_workbook_is_read_as_its_cells_are(tmp_path: Path) -> None:
    data = workbook(
        [
            ["Report of March"], HEAD,
            [1001, "V-1", datetime(2026, 3, 5, 6, 45), "Diesel", 12.5, 99.95, "EUR"],
            [None] * 7,
            ["T,2", " V-2 ", "05/03/2026 07:00", "LNG", "7,25", 12, "EUR"],
            ["=1+1", "V-3", datetime(2026, 3, 5), "LNG", None, None, None],
            ["T4", "V-4", 46086, "LNG", None, None, None],
            ["T5", "V-5", "05/03/2026 07:00", "LNG", 1, None, None, "beyond"],
        ]
    )  # fmt: skip
    parsed = read(data, tmp_path, EXCEL, block_bytes=2)
    found = [(r["transaction_id"], r["vehicle_id"], r["volume_l"], r["amount_minor"]) for r in rows(parsed)]
    assert found == [("1001", "V-1", 12.5, 9995), ("T,2", "V-2", 7.25, 1200)]
    assert rows(parsed)[0]["purchased_at"] == datetime(2026, 3, 5, 6, 45, tzinfo=UTC)
    assert [(r["line"], r["rule"]) for r in refusals(parsed)] == [
        (6, "missing_required"), (7, "wrong_type"), (8, "wrong_shape"),
    ], "a formula without a stored value has none"  # fmt: skip
    assert [row["source_line"] for row in rows(parsed)] == [3, 5]


def test_workbook_with_a_trailer(tmp_path: Path) -> None:
    form = replace(EXCEL, format=Excel(trailer=Trailer(r"^END (?P<count>\d+)")))
    row = ["T1", "V-1", datetime(2026, 3, 5, 6, 45), "Diesel", 1, None, None]
    assert read(workbook([HEAD, row, ["END", 1]]), tmp_path, form).lines == 1
    with pytest.raises(FileFault, match="counts 2 lines"):
        read(workbook([HEAD, row, ["END", 2]]), tmp_path, form)
    with pytest.raises(FileFault, match="last row must match"):
        read(workbook([HEAD, row]), tmp_path, form)


@pytest.mark.parametrize("data", [b"PK\x03\x04junk", b"No,Vehicle\n1,2\n", workbook([HEAD])[:-50]])
def test_what_is_no_workbook_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(FileFault) as caught:
        read(data, tmp_path, EXCEL)
    assert caught.value.kind == "refused"


def test_workbook_without_the_sheet_or_that_bursts(tmp_path: Path) -> None:
    import zipfile

    with pytest.raises(FileFault, match=r"no sheet 'Data'.*'Other'"):
        read(workbook([HEAD], "Other"), tmp_path, EXCEL)
    for name, content, says in (
        ("xl/media/big.bin", b"0" * (30 << 20), "unpacks to"),
        (
            "xl/evil.xml",
            b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aa">]><x>&a;</x>',
            "declares XML entities",
        ),
    ):
        out = io.BytesIO(workbook([["x"], HEAD]))
        with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        with pytest.raises(FileFault, match=says) as caught:
            read(out.getvalue(), tmp_path, EXCEL)
        assert caught.value.kind == "refused"


def test_kept_columns_are_cleaned_beside_the_row(tmp_path: Path) -> None:
    declaration = varied(
        kept={
            "weight_kg": ColumnMap("weight_kg", ("Weight (kilograms)",), null_patterns=(r"^See ",), read_as="number"),
            "sent_on": ColumnMap("sent_on", ("Sent",), times=LocalTimes(("%m/%d/%Y", "%d-%b-%y")), read_as="date"),
        },
        ignored=("Secret",),
    )  # fmt: skip
    more = ["1.50,3/14/2026,x,a", "See DN-304 (ID#:10589),2-Jun-06,x,", 'heavy,soon,x,"b ""c"" \\d"']
    lines = [f"{line(n)},{one}" for n, one in enumerate(more)]
    parsed = read(
        text(lines, "No,Vehicle,When,What,Litres,Sum,Currency,Weight (kilograms),Sent,Secret,Free"),
        tmp_path,
        declaration,
    )
    assert [json.loads(row["extras"]) for row in rows(parsed)] == [
        {"weight_kg": 1.5, "sent_on": date(2026, 3, 14).isoformat(), "Free": "a"},
        {"sent_on": "2006-06-02"},
        {"weight_kg (as sent)": "heavy", "sent_on (as sent)": "soon", "Free": 'b "c" \\d'},
    ]


def test_headerless_file_and_one_without_a_final_line_end(tmp_path: Path) -> None:
    names = ("No", "Vehicle", "When", "What", "Litres", "Sum", "Currency")
    bare = varied(format=CsvFormat(header=False, names=names))
    data = "\n".join([line(1), line(2)]).encode()
    assert [row["source_line"] for row in rows(read(data, tmp_path, bare))] == [1, 2]
    strict = varied(format=CsvFormat(header=False, names=names, final_newline=True))
    with pytest.raises(FileFault, match=r"format\.final_newline"):
        read(data, tmp_path, strict)
    with pytest.raises(FileFault, match=r"the last line \(2\) has no line end and 3 fields"):
        read("\n".join([line(1), "T2,V,01/03/2026 10:00"]).encode(), tmp_path, bare)


def test_header_alone_is_a_file_without_lines(tmp_path: Path) -> None:
    parsed = read(text([]), tmp_path)
    assert (parsed.lines, parsed.accepted, parsed.min_event_time) == (0, 0, None)
    assert feather.read_table(parsed.rows_path).num_rows == 0
