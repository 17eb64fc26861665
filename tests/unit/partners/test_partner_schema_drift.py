"""Files that change over time: what goes on, what is reported, what is held, each with both sides named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingestion.partners.faults import Cause
from ingestion.partners.rows.parse import FileFault
from tests.unit.partners.partner_files import HEADER, known, line, read, rows, text

LINES = [line(n) for n in range(60)]


def test_first_file_reports_every_column_and_the_next_nothing(tmp_path: Path) -> None:
    first = read(text(LINES), tmp_path)
    assert first.diff is not None
    assert first.diff.against is None
    assert {change.kind for change in first.diff.changes} == {"first"}
    again = read(text([line(n) for n in range(100, 140)]), tmp_path, known=[known(first)])
    assert again.diff is None
    assert again.schema.fingerprint == first.schema.fingerprint


def test_new_column_is_kept_in_extras_and_reported(tmp_path: Path) -> None:
    first = read(text(LINES), tmp_path)
    more = read(
        text([f"{one},blue {n}" for n, one in enumerate(LINES)], HEADER + ",Colour"),
        tmp_path,
        known=[known(first)],
    )
    assert more.diff is not None
    assert [(c.kind, c.column, c.breaking) for c in more.diff.changes] == [("added", "Colour", False)]
    assert "kept in extras" in more.diff.words
    assert rows(more)[3]["extras"] == '{"Colour": "blue 3"}'


def test_known_synonym_is_mapped_and_reported_as_renamed(tmp_path: Path) -> None:
    first = read(text(LINES), tmp_path)
    renamed = read(text(LINES, HEADER.replace("No,", "Number,", 1)), tmp_path, known=[known(first)])
    assert renamed.diff is not None
    assert [change.kind for change in renamed.diff.changes] == ["renamed", "gone"]
    assert "'No' is now named 'Number', a known synonym for transaction_id" in renamed.diff.words
    assert [row["event_id"] for row in rows(renamed)] == [row["event_id"] for row in rows(first)]


def test_other_order_is_the_same_rows(tmp_path: Path) -> None:
    first = read(text(LINES), tmp_path)
    turned = [",".join(reversed(one.split(","))) for one in LINES]
    other = read(text(turned, ",".join(reversed(HEADER.split(",")))), tmp_path, known=[known(first)])
    assert other.diff is not None
    assert [change.kind for change in other.diff.changes] == ["reordered"]
    assert rows(other) == rows(first)


def test_wider_values_are_cast_and_reported_once(tmp_path: Path) -> None:
    whole = [line(n, litres=str(n)) for n in range(60)]
    first = read(text(whole), tmp_path)
    wider = read(text(LINES), tmp_path, known=[known(first)])
    assert wider.diff is not None
    assert (wider.diff.changes[0].kind, wider.diff.changes[0].words) == (
        "widened",
        "'Litres' holds decimal values, were integer",
    )
    narrow = read(text(whole), tmp_path, known=[known(first), known(wider, 2)])
    assert narrow.diff is None, "whole numbers are decimals, too"


def test_missing_required_column_is_held_and_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(FileFault) as caught:
        read(text(LINES, HEADER.replace("Vehicle", "Plate")), tmp_path)
    fault = caught.value
    assert (fault.kind, fault.cause, fault.approvable) == ("held", Cause.MISSING_COLUMN, False)
    assert "vehicle_id (looked for 'Vehicle')" in fault.words
    assert "not mapped are 'Plate'" in fault.words


def test_optional_column_may_go(tmp_path: Path) -> None:
    first = read(text(LINES), tmp_path)
    fewer = [",".join(v for i, v in enumerate(one.split(",")) if i != 4) for one in LINES]
    found = read(text(fewer, HEADER.replace(",Litres", "")), tmp_path, known=[known(first)])
    assert found.diff is not None
    assert [(c.kind, c.column) for c in found.diff.changes] == [("removed", "Litres")]
    assert {row["volume_l"] for row in rows(found)} == {None}


@pytest.mark.parametrize(("header", "said"), [("Litres (gal)", "gal"), ("Litres_ml", "ml")])
def test_other_unit_in_the_header_is_held(tmp_path: Path, header: str, said: str) -> None:
    with pytest.raises(FileFault, match=f"says {said}, and volume_l is declared in l") as caught:
        read(text(LINES, HEADER.replace("Litres", header)), tmp_path)
    assert caught.value.cause is Cause.CHANGED_MEANING
    assert read(text(LINES, HEADER.replace("Litres", header)), tmp_path, approved=True).accepted == 60


def test_unit_of_the_declaration_in_the_header_is_the_same_column(tmp_path: Path) -> None:
    assert read(text(LINES, HEADER.replace("Litres", "Litres (l)")), tmp_path).accepted == 60


def test_other_layout_of_dates_is_held_though_some_lines_read(tmp_path: Path) -> None:
    first = read(text(LINES), tmp_path)
    swapped = [line(n, when=f"03/{1 + n % 28:02}/2026 10:00") for n in range(60)]
    with pytest.raises(FileFault) as caught:
        read(text(swapped), tmp_path, known=[known(first)])
    assert caught.value.cause in (Cause.REJECTED_SHARE, Cause.CHANGED_MEANING)
    assert "purchased_at" in caught.value.words
    assert "%m/%d/%Y" in caught.value.words, "the layout that would fit is named"


def test_swapped_days_and_months_are_held_though_every_line_reads(tmp_path: Path) -> None:
    first = read(text(LINES), tmp_path)
    swapped = [line(n, when="05/04/2026 10:00") for n in range(60)]  # the 4th of May, in a file of the 5th
    with pytest.raises(FileFault) as caught:
        read(text(swapped), tmp_path, known=[known(first)], modified_at=datetime(2026, 5, 5, 12, tzinfo=UTC))
    assert caught.value.cause is Cause.CHANGED_MEANING
    assert "%m/%d/%Y" in caught.value.words


def test_other_decimal_sign_is_held(tmp_path: Path) -> None:
    first = read(text(LINES), tmp_path)
    comma = [line(n, litres=f'"{n % 90},5"') for n in range(60)]
    with pytest.raises(FileFault) as caught:
        read(text(comma), tmp_path, known=[known(first)])
    assert caught.value.cause in (Cause.REJECTED_SHARE, Cause.CHANGED_MEANING)
    assert "decimal comma" in caught.value.words


def test_values_that_moved_to_other_columns_are_held(tmp_path: Path) -> None:
    first = read(text(LINES), tmp_path)
    moved = [line(n, no=f"V-{n:03}", vehicle=f"T{n:03}") for n in range(60)]
    with pytest.raises(FileFault) as caught:
        read(text(moved), tmp_path, known=[known(first)])
    assert caught.value.cause is Cause.SHIFTED_COLUMNS
    assert "'No' look like those of 'Vehicle' before" in caught.value.words
    assert read(text(moved), tmp_path, known=[known(first)], approved=True).accepted == 60


def test_more_refused_lines_than_declared_hold_the_file(tmp_path: Path) -> None:
    spoilt = [line(n, what="Water" if n < 7 else "LNG") for n in range(60)]
    with pytest.raises(FileFault) as caught:
        read(text(spoilt), tmp_path)
    fault = caught.value
    assert (fault.cause, fault.kind, fault.lines, fault.rejected) == (Cause.REJECTED_SHARE, "held", 60, 7)
    assert "7 of 60 lines are refused (11.7%), and at most 10.0% may be" in fault.words
    assert "'Water'" in fault.words
    assert fault.schema is not None


def test_a_held_schema_is_not_known_and_an_approved_one_is(tmp_path: Path) -> None:
    first = read(text(LINES), tmp_path)
    moved = [line(n, no=f"V-{n:03}", vehicle=f"T{n:03}") for n in range(60)]
    approved = read(text(moved), tmp_path, known=[known(first)], approved=True)
    with pytest.raises(FileFault):
        read(text(moved), tmp_path, known=[known(first), known(approved, 2, "held")])
    assert read(text(moved), tmp_path, known=[known(first), known(approved, 2, "approved")]).accepted == 60
