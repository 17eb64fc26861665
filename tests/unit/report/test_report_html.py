"""The page: its figures equal plain Python's, it is escaped, and honest about what is not known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
import report_samples as samples

from serving.report import render_html
from serving.report.model import Lane, MorningReport, Risks, SlaRow, TransformRun
from serving.report.render import ROWS_SHOWN, freshness_rows, segments

EMPTY = MorningReport("acme", samples.DAY, samples.AS_OF, samples.AS_OF)
SHEETS = {
    "morning_sla.csv",
    "at_risk.csv",
    "utilization.csv",
    "driver_hours.csv",
    "fuel.csv",
    "maintenance.csv",
}
ATTACK = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Reads tables by caption, and every tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._caption = ""
        self._rows: list[list[str]] = []
        self._within: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._within.append(tag)
        if tag == "table":
            self._caption, self._rows = "", []
        elif tag == "tr":
            self._rows.append([])
        elif tag in {"td", "th"}:
            self._rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._within and self._within.pop() != tag:
            pass
        if tag == "table":
            self.tables[" ".join(self._caption.split())] = [
                [" ".join(c.split()) for c in r] for r in self._rows
            ]

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if "caption" in self._within:
            self._caption += data
        elif self._within and {"td", "th"} & set(self._within):
            self._rows[-1][-1] += data

    def table(self, caption: str) -> list[list[str]]:
        return next(rows for title, rows in self.tables.items() if title.startswith(caption))


@pytest.fixture(scope="module")
def morning() -> MorningReport:
    return samples.morning()


@pytest.fixture(scope="module")
def page(morning: MorningReport) -> Page:
    return Page(render_html(morning))


@pytest.mark.parametrize(
    ("caption", "dimension"),
    [("By region", "region"), ("By carrier", "carrier"), ("By service level", "service_level")],
)
def test_sla_tables_equal_plain_counts(page: Page, caption: str, dimension: str) -> None:
    made = samples.shipments()
    expected = {}
    for member in {samples.member_of(s, dimension) for s in made}:
        due = [s for s in made if s.day == samples.DAY and samples.member_of(s, dimension) == member]
        week = [s for s in made if s.day < samples.DAY and samples.member_of(s, dimension) == member]
        kept, kept_week = (sum(s.outcome == "on_time" for s in some) for some in (due, week))
        share, target = kept / len(due), sum(samples.TARGETS[s.service_level] for s in due) / len(due)
        expected[member] = (
            f"{100 * share:.1f}%",
            plain(100 * (share - target)),
            plain(100 * (share - kept_week / len(week))),
            f"{len(due) - kept} / {len(due)}",
        )
    rows = page.table(caption)[1:]
    assert {row[0]: (row[1], row[2].rpartition(", ")[2], row[3], row[4]) for row in rows} == expected


def plain(points: float) -> str:
    return (
        f"{points:+.1f}".replace("-", "\N{MINUS SIGN}")
        .replace("+0.0", "±0.0")
        .replace("\N{MINUS SIGN}0.0", "±0.0")
    )


def test_headline_equals_plain_counts(page: Page) -> None:
    due = [s for s in samples.shipments() if s.day == samples.DAY]
    text = " ".join(" ".join(page.text).split())
    assert f"{100 * sum(s.outcome == 'on_time' for s in due) / len(due):.1f}% on time" in text
    for outcome, words in (
        ("on_time", "on time"),
        ("late", "late"),
        ("open", "not delivered"),
        ("returned", "returned"),
    ):
        assert f"{sum(s.outcome == outcome for s in due)} {words}" in text


def test_tables_start_with_the_greatest_shortfall(morning: MorningReport, page: Page) -> None:
    short = {row.member: row.due * (row.target_share or 0) - row.on_time for row in morning.of("carrier")}
    assert [row[0] for row in page.table("By carrier")[1:]] == sorted(short, key=lambda m: -short[m])


def test_risks_are_capped_and_the_total_is_said(page: Page) -> None:
    caption = next(title for title in page.tables if title.startswith("At risk"))
    assert caption == "At risk today the 15 most urgent of 40, the rest in at_risk.csv"
    rows = page.table("At risk")[1:]
    assert [row[0] for row in rows][:3] == ["4 min", "11 min", "18 min"]
    assert len(rows) == 15


def test_a_csv_that_is_capped_too_says_so(morning: MorningReport) -> None:
    page = Page(render_html(replace(morning, risks=replace(morning.risks, total=90_000))))
    caption = next(title for title in page.tables if title.startswith("At risk"))
    assert caption == "At risk today the 15 most urgent of 90,000, the first 40 in at_risk.csv"


def test_many_members_are_capped_and_the_rest_is_said(morning: MorningReport) -> None:
    many = tuple(SlaRow("carrier", f"c{n:03}", 10, 10, 9, 1, 0, 0.9, 0.95, None) for n in range(100))
    page = Page(render_html(replace(morning, sla=many)))
    assert len(page.table("By carrier")) == ROWS_SHOWN + 1
    assert "88 more carriers in" in " ".join(page.text)


def test_everything_from_data_is_escaped(morning: MorningReport) -> None:
    hostile = replace(
        morning,
        tenant=ATTACK,
        sla=(*morning.sla, SlaRow("region", ATTACK, 5, 5, 1, 4, 0, 0.2, 0.9, None)),
        lanes=(Lane(ATTACK, '"><img src=x onerror=alert(1)>', 3, 1, 2, 0, 5.0, 0, 0),),
        risks=Risks(
            (samples.risky(0, shipment_id=ATTACK, vehicle_id="' onload='x", carrier_id=ATTACK),), 1, 1
        ),
        exceptions=(replace(morning.exceptions[0], reason=ATTACK),),
        health=replace(
            morning.health,
            failed_checks=(
                replace(morning.health.failed_checks[0], detail=ATTACK, subject=ATTACK, check_name=ATTACK),
            ),
            rejects=(replace(morning.health.rejects[0], feed=ATTACK, rule=ATTACK),),
            cdc=(replace(morning.health.cdc[0], slot=ATTACK),),
        ),
    )
    html = render_html(hostile)
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "img", "iframe", "object"}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 10
    assert f'{ATTACK} → "><img src=x onerror=alert(1)>' in [row[0] for row in page.table("Worst lanes")]


def test_page_asks_for_nothing(page: Page) -> None:
    places = [
        attrs.get(name) for _, attrs in page.tags for name in ("href", "src", "xlink:href") if attrs.get(name)
    ]
    assert {p for p in places if not str(p).startswith("#")} == {"data:,", *SHEETS}
    assert "url(" not in "".join(page.text)
    assert "@import" not in "".join(page.text)


def test_empty_day_is_honest() -> None:
    page = Page(render_html(EMPTY))
    text = " ".join(" ".join(page.text).split())
    assert "No shipments were due on Thu 19 Nov 2026." in text
    assert "0 due" in text
    assert "0.0%" not in text
    assert page.table("By region")[1] == ["No shipments were due."]
    assert page.table("At risk")[1] == ["No shipment is at risk."]
    assert "not healthy" in text


def test_missing_history_is_not_zero(morning: MorningReport) -> None:
    fresh = replace(
        morning,
        sla=tuple(replace(row, share_7d=None) for row in morning.sla),
        days=tuple(day for day in morning.days if day.day == samples.DAY),
    )
    page = Page(render_html(fresh))
    assert {row[3] for row in page.table("By region")[1:]} == {"n/a"}
    assert {row[4 - 1] for row in page.table("Failed attempts")[1:]} == {"n/a"}


def test_usual_is_an_average_over_days_that_are_known(morning: MorningReport) -> None:
    known = {samples.DAY - timedelta(days=n) for n in (0, 1, 2)}
    page = Page(render_html(replace(morning, days=tuple(d for d in morning.days if d.day in known))))
    assert page.table("Failed attempts")[1][3] == "70"  # 140 over the two days before


def test_same_report_gives_the_same_page(morning: MorningReport) -> None:
    assert render_html(morning) == render_html(samples.morning())


def test_tables_are_semantic(page: Page) -> None:
    tables = sum(tag == "table" for tag, _ in page.tags)
    assert tables == len(page.tables) == sum(tag == "caption" for tag, _ in page.tags)
    assert all(attrs.get("scope") in {"col", "row"} for tag, attrs in page.tags if tag == "th")
    charts = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert all(a.get("aria-label") or a.get("aria-hidden") == "true" for a in charts)
    assert len([tag for tag, _ in page.tags if tag == "h1"]) == 1


def test_parts_of_the_bar_add_up() -> None:
    parts = segments(SlaRow("all", "all", 7, 5, 4, 1, 1, 4 / 7, None, None))
    assert [part.count for part in parts] == [4, 1, 1, 1]
    assert sum(part.width for part in parts) == pytest.approx(100, abs=0.01)


def test_freshness_is_a_median_not_an_average() -> None:
    runs = [TransformRun(samples.AS_OF, 1, p, p * 2, p * 3) for p in (1.0, 2.0, 90.0, 3.0, 4.0)]
    latest, middle, slowest = freshness_rows(runs)
    assert (latest.p50_s, middle.p50_s, slowest.p50_s, slowest.p99_s) == (4.0, 3.0, 90.0, 270.0)


STYLE = Path(samples.__file__).parents[3] / "serving" / "report" / "templates" / "style.css"
TEXT_ON = [
    ("ink", "page"),
    ("ink", "card"),
    ("soft", "page"),
    ("soft", "card"),
    ("link", "card"),
    ("link", "page"),
    ("good", "card"),
    ("bad", "card"),
    ("good", "good-wash"),
    ("bad", "bad-wash"),
    ("look", "look-wash"),
    ("ink", "track"),
]


def schemes() -> Iterator[tuple[str, dict[str, str]]]:
    blocks = re.findall(r":root \{([^}]*--page[^}]*)\}", STYLE.read_text())
    for name, block in zip(("light", "dark"), blocks, strict=True):
        yield name, dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(("scheme", "colours"), list(schemes()), ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT_ON)
def test_contrast_is_aa(scheme: str, colours: dict[str, str], text: str, ground: str) -> None:
    high, low = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 4.5, scheme


def test_reconciliation_says_how_far_all_adds_up_and_what_was_repaired(page: Page) -> None:
    assert page.table("Adds up until")[1:] == [
        ["driver assignment event", "05:00", "19 Nov", "0"],
        ["gps location", "05:00", "19 Nov", "0"],
        ["order database", "n/a", "19 Nov", "0"],
        ["shipment event", "05:00", "19 Nov", "0"],
    ]
    assert page.table("Does not add up")[1:] == [["Every closed window adds up."]]
    assert page.table("Repaired")[1:] == [
        ["gps location hour 20 Nov 03:00", "04:22", "Raw object of batch 48812 rebuilt from the stream"]
    ]


def test_open_differences_stand_in_words_and_the_rest_is_said(morning: MorningReport) -> None:
    health = replace(morning.health, reconciliation=samples.differing())
    page = Page(render_html(replace(morning, health=health)))
    (first, second) = page.table("Does not add up 9 closed windows")[1:]
    assert first[:2] == ["shipment event hour 20 Nov 03:00", "✕ differs"]
    assert first[2].startswith("Batch 48820: 1,204 rows in landing, the ledger says 1,911. Batch 48820: raw/")
    assert first[2].endswith("; 2 more")
    assert second == [
        "gps location day Thu 19 Nov 2026",
        "✕ not counted",
        "Could not ask stream fleetflow-gps",
    ]
    assert "7 older windows: fleetflow reconcile status." in " ".join("".join(page.text).split())
