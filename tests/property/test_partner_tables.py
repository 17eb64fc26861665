"""Any table, in any dialect and encoding, cut anywhere, reads back as it was written; what is odd is counted."""

from __future__ import annotations

import csv
import io
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pyarrow import feather

from ingestion.partners.declare.model import (
    ColumnMap,
    CsvFormat,
    Declaration,
    FixedWidth,
    JsonLines,
    LocalTimes,
    Numbers,
)
from ingestion.partners.declare.model import Field as Place
from ingestion.partners.read.decoding import Decoder
from ingestion.partners.read.lines import Cutter
from ingestion.partners.read.tabular import CsvReader
from ingestion.partners.rows.layouts import Layout
from ingestion.partners.rows.parse import FileFacts, FileFault, Parsed, parse_file

NAMES = itertools.count()
MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
ANY_TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=12
)
LATIN = st.text(
    st.characters(codec="latin-1", exclude_characters="\0\r\x85", exclude_categories=["Cc"]), max_size=12
)


def read_table(
    data: bytes, form: CsvFormat, encoding: str, block: int
) -> tuple[tuple[str, ...], list[list[str]], list[Any]]:
    def cutter(decoder: Decoder, find_ends: Any) -> Cutter:
        stream = io.BytesIO(data)
        return Cutter(
            stream,
            decoder,
            find_ends,
            max_line_bytes=1 << 20,
            comment=form.comment.encode(),
            block_bytes=block,
        )

    reader = CsvReader(form, Decoder(encoding, tolerant=True), cutter)
    rows, refused = [], []
    for found in reader.blocks():
        rows += [list(row) for row in zip(*(column.to_pylist() for column in found.columns), strict=True)]
        refused += found.refused
    return reader.header, rows, refused


@st.composite
def dialects(draw: st.DrawFn) -> CsvFormat:
    signs = draw(st.permutations([",", ";", "|", "\t", ":"]))
    quote = draw(st.sampled_from(['"', "'"]))
    return CsvFormat(delimiter=signs[0], quote=quote, escape=draw(st.sampled_from(["", "\\"])))


@st.composite
def tables(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> list[list[str]]:
    width = draw(st.integers(2, 5))
    return draw(st.lists(st.lists(texts, min_size=width, max_size=width), min_size=1, max_size=12))


def write(rows: list[list[str]], form: CsvFormat, newline: str, quoting: int) -> str:
    out = io.StringIO()
    writer = csv.writer(
        out, delimiter=form.delimiter, quotechar=form.quote, lineterminator="\n", quoting=quoting,
        doublequote=not form.escape, escapechar=form.escape or None,
    )  # fmt: skip
    header = [f"column {n}" for n in range(len(rows[0]))]
    writer.writerows([header, *rows])
    return out.getvalue().replace("\n", newline)


@MANY
@given(
    data=st.data(),
    form=dialects(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"]),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    block=st.integers(1, 90),
)
def test_any_table_reads_back_in_any_dialect(
    data: st.DataObject, form: CsvFormat, encoding: str, newline: str, quoting: int, block: int
) -> None:
    rows = data.draw(tables(LATIN if encoding == "latin-1" else ANY_TEXT))
    assume("\ufffd" not in str(rows))
    written = write(rows, form, newline, quoting).encode(encoding)
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    for size in (block, 1 << 20):
        header, found, refused = read_table(written, form, declared, size)
        assert header == tuple(f"column {n}" for n in range(len(rows[0])))
        assert not refused
        assert found == rows


@MANY
@given(
    text=st.text(st.sampled_from('ab",;\n\\ '), max_size=120),
    form=dialects(),
    blocks=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_where_blocks_are_cut_never_shows_whatever_stands_there(
    text: str, form: CsvFormat, blocks: tuple[int, int]
) -> None:
    def outcome(block: int) -> Any:
        try:
            header, rows, refused = read_table(
                ("x" + form.delimiter + "y\n" + text).encode(), form, "utf-8", block
            )
        except FileFault as fault:
            return fault.cause
        return header, rows, [(one.line, one.rule, one.raw) for one in refused]

    assert outcome(blocks[0]) == outcome(blocks[1]) == outcome(1 << 20)


FUEL = st.fixed_dictionaries(
    {
        "transaction_id": st.from_regex(r"\A[A-Z0-9-]{1,12}\Z"),
        "vehicle_id": st.text(
            st.characters(codec="cp1252", exclude_categories=["C", "Z"]), min_size=1, max_size=20
        ),
        "purchased_at": st.datetimes(datetime(2020, 1, 1), datetime(2026, 1, 1)).map(
            lambda at: at.replace(microsecond=0)
        ),
        "fuel": st.sampled_from(["diesel", "lng"]),
        "volume_l": st.decimals(0, 5000, places=2),
        "amount_minor": st.integers(-(10**9), 10**9),
        "note": st.text(st.characters(codec="cp1252", exclude_characters="\0\r"), max_size=10),
    }
)
TITLES = {
    "transaction_id": "No", "vehicle_id": "Vehicle", "purchased_at": "When", "fuel": "What", "volume_l": "Litres",
    "amount_minor": "Sum", "note": "Note",
}  # fmt: skip


def declared(form: Any, decimal: str) -> Declaration:
    columns = [
        ColumnMap("transaction_id", ("No",), required=True),
        ColumnMap("vehicle_id", ("Vehicle",), required=True),
        ColumnMap("purchased_at", ("When",), required=True, times=LocalTimes(("%d.%m.%Y %H:%M:%S",), "UTC")),
        ColumnMap("fuel", ("What",), required=True, values={"d": "diesel", "l": "lng"}),
        ColumnMap("volume_l", ("Litres",)),
        ColumnMap("amount_minor", ("Sum",), money=True),
        ColumnMap("currency", constant="EUR"),
    ]
    return Declaration(
        name="any", tenant_id="t", feed="fuel_purchase", account="any", directory="/", pattern="*", format=form,
        columns={column.name: column for column in columns}, line_key=("transaction_id",), encoding="cp1252",
        numbers=Numbers(decimal), max_rejected_share=1.0,
    )  # fmt: skip


def texts_of(row: dict[str, Any], decimal: str) -> dict[str, str]:
    return {
        "No": row["transaction_id"],
        "Vehicle": row["vehicle_id"],
        "When": f"{row['purchased_at']:%d.%m.%Y %H:%M:%S}",
        "What": row["fuel"][0].upper(),
        "Litres": str(row["volume_l"]).replace(".", decimal),
        "Sum": f"{row['amount_minor'] / 100:.2f}".replace(".", decimal),
        "Note": row["note"],
    }


def parse(
    data: bytes, declaration: Declaration, scratch: Path, block: int = 1 << 20
) -> tuple[Parsed, list[dict[str, Any]]]:
    path = scratch / f"file-{next(NAMES)}"
    path.write_bytes(data)
    facts = FileFacts(path.name, f"{next(NAMES):064}", datetime(2026, 2, 1, tzinfo=UTC))
    parsed = parse_file(path, declaration, facts, [], scratch, block_bytes=block)
    return parsed, feather.read_table(parsed.rows_path).to_pylist()


@settings(MANY, max_examples=12)
@given(
    rows=st.lists(FUEL, min_size=1, max_size=8, unique_by=lambda row: row["transaction_id"]),
    order=st.permutations(list(TITLES.values())),
    decimal=st.sampled_from([".", ","]),
    block=st.integers(20, 300),
)
def test_order_of_columns_and_cut_of_blocks_do_not_change_rows(
    rows: list[dict[str, Any]], order: list[str], decimal: str, block: int, tmp_path_factory: Any
) -> None:
    scratch = tmp_path_factory.mktemp("any")
    declaration = declared(CsvFormat(delimiter=";"), decimal)
    found = []
    for titles, size in ((list(TITLES.values()), 1 << 20), (order, block)):
        out = io.StringIO()
        writer = csv.DictWriter(out, titles, delimiter=";", lineterminator="\n")
        writer.writeheader()
        writer.writerows(texts_of(row, decimal) for row in rows)
        found.append(parse(out.getvalue().encode("cp1252"), declaration, scratch, size))
    parsed, first = found[0]
    assert parsed.lines == parsed.accepted == len(rows)
    assert first == found[1][1]
    for wanted, row in zip(rows, first, strict=True):
        assert row["purchased_at"] == wanted["purchased_at"].replace(tzinfo=UTC)
        assert (row["fuel"], row["amount_minor"]) == (wanted["fuel"], wanted["amount_minor"])
        assert row["volume_l"] == float(wanted["volume_l"])
    assert len({row["line_hash"] for row in first}) == len({row["event_id"] for row in first}) == len(rows)


@settings(MANY, max_examples=12)
@given(
    rows=st.lists(FUEL, min_size=1, max_size=10),
    spoilt=st.lists(st.sampled_from(["", "Litres", "When", "What", "No", "short"]), min_size=10, max_size=10),
    block=st.integers(20, 200),
)
def test_lines_are_accepted_or_refused_and_keep_their_neighbours(
    rows: list[dict[str, Any]], spoilt: list[str], block: int, tmp_path_factory: Any
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\n")
    writer.writerow(TITLES.values())
    for row, how in zip(rows, spoilt, strict=False):
        texts = texts_of(row, ",")
        if how in texts:
            texts[how] = "" if how == "No" else "?"
        values = list(texts.values())
        writer.writerow(values[:-1] if how == "short" else values)
    parsed, found = parse(
        out.getvalue().encode("cp1252"),
        declared(CsvFormat(delimiter=";"), ","),
        tmp_path_factory.mktemp("any"),
        block,
    )
    fine = [row for row, how in zip(rows, spoilt, strict=False) if not how]
    assert parsed.lines == parsed.accepted + parsed.rejected == len(rows)
    assert [row["transaction_id"] for row in found] == [row["transaction_id"] for row in fine]
    assert parsed.rejected == len(rows) - len(fine)


@settings(MANY, max_examples=8)
@given(rows=st.lists(FUEL, min_size=1, max_size=6), block=st.integers(20, 300))
def test_formats_agree(rows: list[dict[str, Any]], block: int, tmp_path_factory: Any) -> None:
    """The same rows as JSON lines and in fixed width are the same rows, but for their lines."""
    import json

    assume(all(not row["note"].strip() or row["note"] == row["note"].strip() for row in rows))
    assume(all(len(row["vehicle_id"]) <= 20 and "\n" not in row["note"] for row in rows))
    scratch = tmp_path_factory.mktemp("any")
    texts = [texts_of(row, ".") for row in rows]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in texts)
    widths = {"No": 12, "Vehicle": 20, "When": 19, "What": 1, "Litres": 10, "Sum": 14, "Note": 10}
    starts = list(itertools.accumulate([1, *widths.values()]))
    fields = tuple(Place(name, start, widths[name]) for name, start in zip(widths, starts, strict=False))
    fixed = "".join(
        "".join(f"{row[name]:<{width}}" for name, width in widths.items()) + "\n" for row in texts
    )
    one = parse(lines.encode("cp1252"), declared(JsonLines(), "."), scratch, block)[1]
    other = parse(fixed.encode("cp1252"), declared(FixedWidth(fields), "."), scratch, block)[1]
    keys = ("event_id", "line_hash", "vehicle_id", "purchased_at", "fuel", "volume_l", "amount_minor")
    assert [[row[key] for key in keys] for row in one] == [[row[key] for key in keys] for row in other]
    assert len(one) == len(rows)


@settings(MANY, max_examples=20)
@given(
    at=st.datetimes(datetime(2001, 1, 1), datetime(2025, 12, 31)),
    zone=st.sampled_from(["Europe/Berlin", "America/Chicago", "Australia/Lord_Howe", "UTC"]),
)
def test_local_times_are_what_zoneinfo_says(at: datetime, zone: str) -> None:
    from zoneinfo import ZoneInfo

    import pyarrow as pa

    from ingestion.partners.rows.instants import InstantReader

    at = at.replace(microsecond=0)
    for fold, overlap in ((0, "earlier"), (1, "later")):
        read = InstantReader(LocalTimes(("%Y-%m-%d %H:%M:%S",), zone, overlap=overlap))
        found = read.read(pa.array([f"{at:%Y-%m-%d %H:%M:%S}"])).values[0].as_py()
        aware = at.replace(tzinfo=ZoneInfo(zone), fold=fold)
        back = aware.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        if back != at:  # a skipped hour: shifted forward, whatever the overlap rule
            aware = at.replace(tzinfo=ZoneInfo(zone), fold=0)
        assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found) == aware.astimezone(UTC)


DIGIT_LAYOUTS = ["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M", "%Y%m%d", "%m/%d/%YT%H"]
TIMES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))


@MANY
@given(
    layout=st.sampled_from(DIGIT_LAYOUTS),
    times=st.lists(TIMES | st.none(), min_size=1, max_size=8),
    odd=st.text("0123456789-./: T", max_size=19),
)
def test_a_column_of_digits_reads_as_its_texts_do_one_by_one(
    layout: str, times: list[datetime | None], odd: str
) -> None:
    """All fit, or one does not and all take the slower way; the last text may be anything."""

    def written(at: datetime) -> str:  # strftime does not fill up years before 1000
        return at.strftime(layout.replace("%Y", f"{at.year:04}"))

    texts = [None if at is None else written(at) for at in times]
    expected = [
        None if text is None else datetime.strptime(text, layout).replace(tzinfo=UTC) for text in texts
    ]
    found, _ = Layout(layout).read(pa.array(texts, pa.string()))
    whole, _ = Layout(layout).read(pa.array([*texts, odd], pa.string()))
    alone, _ = Layout(layout).read(pa.array([odd], pa.string()))
    assert found.to_pylist() == [microseconds(at) for at in expected]
    assert whole.to_pylist() == found.to_pylist() + alone.to_pylist()
    if alone[0].is_valid:
        at = datetime.strptime(odd, layout).replace(tzinfo=UTC)
        assert alone.to_pylist() == [microseconds(at)]


def microseconds(at: datetime | None) -> int | None:
    return None if at is None else (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
