"""Declarations: every fault named at once, in place, with what would be right."""

from __future__ import annotations

from datetime import time, timedelta
from pathlib import Path

import pytest

from ingestion.partners.declare.declaration import DeclarationError, read_declaration, read_declarations
from ingestion.partners.declare.model import CsvFormat, FixedWidth

GOOD = """
tenant_id: acme
feed: fuel_purchase
directory: /outbox
pattern: "*.csv"
format: {kind: csv}
line_key: [transaction_id]
columns:
  transaction_id: {source: Number}
  vehicle_id: {source: Vehicle}
  purchased_at: {source: When, layouts: ["%d.%m.%Y"], zone: Europe/Berlin, at: "12:00"}
  fuel: {source: What}
"""


def read(tmp_path: Path, text: str, name: str = "some") -> None:
    (tmp_path / f"{name}.yaml").write_text(text)
    read_declaration(tmp_path / f"{name}.yaml")


def test_shipped_declarations_are_read() -> None:
    found = read_declarations()
    assert set(found) == {"nordcard", "scms", "swiftline", "torque"}
    card = found["nordcard"]
    assert isinstance(card.format, CsvFormat)
    assert (card.format.delimiter, card.encoding, card.numbers.decimal) == (";", "cp1252", ",")
    assert card.arrival is not None
    assert (card.arrival.times, card.arrival.grace) == ((time(4, 0),), timedelta(minutes=90))
    assert card.columns["transaction_id"].sources == ("Beleg-Nr", "Belegnummer", "Transaktion")
    assert isinstance(found["torque"].format, FixedWidth)
    assert {one.contract.name for one in found.values()} == {
        "fuel_purchase",
        "service_record",
        "shipment_event",
    }


def test_smallest_declaration_has_sensible_defaults(tmp_path: Path) -> None:
    (tmp_path / "some.yaml").write_text(GOOD)
    found = read_declaration(tmp_path / "some.yaml")
    assert (found.name, found.account, found.encoding, found.after_load) == ("some", "some", "utf-8", "keep")
    assert found.columns["transaction_id"].required
    assert found.completeness.temporary == (".part", ".tmp", ".filepart")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("feed: fuel_purchase", "feed: gps_location", "feed: 'gps_location' is none of"),
        ("tenant_id: acme", "tennant_id: acme", "tennant_id: is no key; tenant_id is meant?"),
        ("directory: /outbox", "directory: ../outbox", "must not hold .."),
        ('pattern: "*.csv"', 'pattern: "a/*.csv"', "a name, without directories"),
        ("kind: csv", "kind: parquet", "format.kind: 'parquet' is none of csv, jsonlines"),
        ("kind: csv", 'kind: csv, delimiter: ";;"', "one ASCII character"),
        ("kind: csv", "kind: csv, trailer: '('", "is no regular expression"),
        ("kind: csv", "kind: csv, header: false", "format.names"),
        ("kind: csv", "kind: csv, skip_lines: -1", "skip_lines: a number from 0"),
        (
            "line_key: [transaction_id]",
            "line_key: [odometer_km]",
            "must be a mapped column that is never null",
        ),
        ("line_key: [transaction_id]", "line_key: []", "line_key: is missing"),
        ("zone: Europe/Berlin", "zone: Berlin", "'Berlin' is no IANA time zone"),
        ("zone: Europe/Berlin, ", "", "columns.purchased_at.zone: is missing"),
        (', at: "12:00"', "", "columns.purchased_at.at: is missing"),
        ('"%d.%m.%Y"', '"%d.%m"', "a day, a month and a year"),
        ('"%d.%m.%Y"', '"%d.%q.%Y"', "%q is not read"),
        ("{source: What}", "{source: What, values: {A: petroleum}}", "values: petroleum: ours are diesel"),
        ("{source: What}", "{source: What, constant: diesel}", "exactly one of source and constant"),
        ("{source: What}", "{constant: water}", "'water': ours are"),
        (
            "  fuel: {source: What}",
            "  volume_l: {source: L}",
            "columns: fuel is missing, and fuel_purchase needs it",
        ),
        ("  fuel:", "  volume_l: {source: L, unit: mi}\n  fuel:", "'mi' is not read as l; gal, gal_uk, ml"),
        ("  fuel:", "  volume_l: {source: L (gal)}\n  fuel:", "says gal, and unit says l"),
        (
            "  fuel:",
            "  amount_minor: {source: S, money: true}\n  fuel:",
            "amount_minor and currency stand together",
        ),
        (
            "  fuel:",
            "  event_id: {source: S}\n  fuel:",
            "event_id: is not a column of fuel_purchase that a file fills",
        ),
        ("  fuel:", "  station_id: {source: S, null_patterns: ['[']}\n  fuel:", "is no regular expression"),
        ("format:", "encoding: klingon\nformat:", "'klingon' is no encoding"),
        ("format:", 'numbers: {decimal: ",", thousands: ","}\nformat:', "is the decimal sign, too"),
        ("format:", "completeness: {trailer: true}\nformat:", "the format declares no trailer"),
        ("format:", "completeness: {done: ready.txt}\nformat:", "must hold {name} or {stem}"),
        ("format:", "arrival: {times: [25:00]}\nformat:", "a quoted time of day"),
        ("format:", "arrival: {times: ['04:00'], weekdays: [mo]}\nformat:", "they are mon, tue"),
        ("format:", "limits: {max_bytes: 12 parsecs}\nformat:", "a size such as 512 KiB"),
        ("format:", "late_after: soon\nformat:", "a span such as"),
        ("format:", "pgp: {signed: true, key: k}\nformat:", "pgp.signers: is missing"),
        ("format:", "max_rejected_share: 3\nformat:", "a number from 0 to 1"),
        ("format:", "ignored: [no]\nformat:", "a list of texts is wanted"),
        ("format:", "ignored: [VEHICLE]\nformat:", "'Vehicle' is mapped to vehicle_id"),
        ("format:", "name: other\nformat:", "must be the file's name"),
    ],
)
def test_fault_is_named_in_its_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(DeclarationError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert says in str(caught.value)
    assert str(caught.value).startswith("some.yaml: ")


def test_all_faults_come_in_one_message(tmp_path: Path) -> None:
    text = (
        GOOD.replace("acme", "[]")
        .replace("kind: csv", "kind: xml")
        .replace("source: Number", "sauce: Number")
    )
    with pytest.raises(DeclarationError) as caught:
        read(tmp_path, text)
    assert len(str(caught.value).splitlines()) >= 3


@pytest.mark.parametrize("text", ["", "- a\n", "a: [", "\x00", "!!python/object/apply:os.getcwd []"])
def test_what_is_no_declaration_is_a_fault_and_nothing_else(tmp_path: Path, text: str) -> None:
    with pytest.raises(DeclarationError):
        read(tmp_path, text)


def test_two_partners_may_not_take_each_others_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(GOOD + "account: both\n")
    with pytest.raises(
        DeclarationError, match=r"two.yaml: account, directory and pattern are those of one.yaml"
    ):
        read_declarations(tmp_path)
    with pytest.raises(DeclarationError, match="is no directory"):
        read_declarations(tmp_path / "none")
