"""CSV files and their place on disk: figures, formula injection, paths that stay where they belong."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import report_samples as samples

from fleetflow.commands.report import moment
from fleetflow.faults import UserError
from serving.report.model import Risks, SlaRow
from serving.report.publish import publish, safe_name
from serving.report.sheets import neutral, risk_sheet, sla_sheet


def rows_of(sheet: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(sheet.decode("utf-8-sig"), newline="")))


def test_sla_sheet_holds_every_row() -> None:
    report = samples.morning()
    rows = {(row["dimension"], row["member"]): row for row in rows_of(sla_sheet(report))}
    assert len(rows) == len(report.sla)
    due = [s for s in samples.shipments() if s.day == samples.DAY and s.region == "Nord"]
    kept = sum(s.outcome == "on_time" for s in due)
    nord = rows["region", "Nord"]
    assert (nord["due"], nord["on_time"], nord["missed"]) == (str(len(due)), str(kept), str(len(due) - kept))
    assert float(nord["on_time_share"]) == pytest.approx(kept / len(due), abs=1e-6)


def test_unknown_share_is_empty_not_zero() -> None:
    report = replace(samples.morning(), sla=(SlaRow("region", "x", 0, 0, 0, 0, 0, None, None, None),))
    (row,) = rows_of(sla_sheet(report))
    assert (row["on_time_share"], row["target_share"], row["vs_7d_pp"]) == ("", "", "")


def test_risk_sheet_holds_more_than_the_page() -> None:
    rows = rows_of(risk_sheet(samples.morning()))
    assert [row["minutes_to_promise"] for row in rows] == [str(4 + 7 * n) for n in range(40)]
    assert rows[0]["promised_at"] == "2026-11-20T05:49:00Z"


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "|x", "%0", " =1", "\uff1d1", "=cmd|' /C calc'!A0"],
)
def test_formulas_are_neutralised(text: str) -> None:
    report = replace(
        samples.morning(), risks=Risks((samples.risky(0, shipment_id=text, carrier_id=text),), 1)
    )
    (row,) = rows_of(risk_sheet(report))
    assert row["shipment_id"] == row["carrier_id"] == f"'{text}"


@pytest.mark.parametrize("text", ["", " ", "SHP-1", "a=b", "Köln, Süd", 'say "x"', "two\nlines"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert neutral(text) == text
    (row,) = rows_of(risk_sheet(replace(samples.morning(), risks=Risks((samples.risky(0, region=text),), 1))))
    assert row["region"] == text


def test_negative_numbers_stay_numbers() -> None:
    report = replace(samples.morning(), sla=(SlaRow("region", "x", 2, 2, 1, 1, 0, 0.5, 0.9, 0.8),))
    (row,) = rows_of(sla_sheet(report))
    assert float(row["vs_target_pp"]) == pytest.approx(-40)


@pytest.mark.parametrize("tenant", ["../../etc", "..", ".", "a/b", "C:\\x", "a b", "ac.me", "~"])
def test_tenant_cannot_leave_its_folder(tenant: str, tmp_path: Path) -> None:
    published = publish(replace(samples.morning(), tenant=tenant), tmp_path, None, "")
    assert published.path.resolve().parent.parent == (tmp_path / samples.DAY.isoformat()).resolve()
    assert published.uri is None


def test_different_tenants_have_different_folders() -> None:
    names = ["a.b", "a%2Eb", "a b", "a+b", "A.b", "a/b", "a%2Fb"]
    assert len({safe_name(name) for name in names}) == len(names)


class Store:
    """Takes objects until told to fail."""

    def __init__(self, fail_at: str = "") -> None:
        self.objects: dict[str, bytes] = {}
        self.fail_at = fail_at

    def put_object(self, **given: Any) -> None:
        if self.fail_at and given["Key"].endswith(self.fail_at):
            raise ConnectionError("bucket is away")
        self.objects[given["Key"]] = given["Body"]


def test_page_goes_last_and_a_repeat_mends(tmp_path: Path) -> None:
    store = Store(fail_at="at_risk.csv")
    with pytest.raises(ConnectionError):
        publish(samples.morning(), tmp_path, store, "reports")
    assert [key.rsplit("/", 1)[1] for key in store.objects] == ["morning_sla.csv"]
    store.fail_at = ""
    published = publish(samples.morning(), tmp_path, store, "reports")
    assert list(store.objects)[-1] == "2026-11-19/acme/morning_sla.html"
    assert published.uri == "s3://reports/2026-11-19/acme/morning_sla.html"
    assert published.path.read_bytes() == store.objects["2026-11-19/acme/morning_sla.html"]


def test_failed_write_leaves_the_old_page_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = publish(samples.morning(), tmp_path, None, "").path
    before = page.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        publish(replace(samples.morning(), sla=()), tmp_path, None, "")
    assert page.read_bytes() == before
    assert len(list(page.parent.iterdir())) == 7


NOW = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (None, NOW),
        ("2026-11-19", NOW),
        ("2026-11-18", datetime(2026, 11, 19, 6, 0, tzinfo=UTC)),
    ],
)
def test_moment_of_a_day(day: str | None, expected: datetime) -> None:
    assert moment(day, NOW) == expected


@pytest.mark.parametrize(
    ("day", "words"),
    [("2026-11-20", "is not over yet"), ("2031-01-01", "is not over yet"), ("yesterday", "write YYYY-MM-DD")],
)
def test_unusable_day_is_one_line(day: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        moment(day, NOW)
