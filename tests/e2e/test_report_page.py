"""The morning report in a real browser: phone and desk width, light and dark, on paper, without a network."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from serving.report import publish, render_html

CHROMIUM = Path(os.environ.get("FLEETFLOW_CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SECTIONS = ("utilization", "driver-hours", "fuel", "maintenance")
SAMPLES = Path(__file__).parents[1] / "unit" / "report" / "report_samples.py"

pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(),
    reason=f"{CHROMIUM} is missing; `apt-get install chromium`, or set FLEETFLOW_CHROMIUM",
)

Open = Callable[..., Any]


def load_samples() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_samples", SAMPLES)
    assert spec is not None
    assert spec.loader is not None
    sys.path.insert(0, str(SAMPLES.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules["report_samples"] = module
    spec.loader.exec_module(module)
    return module


samples = load_samples()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    # Chromium's sandbox does not start for root.
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The full morning as published, an empty one, and one whose names are as long as contracts allow."""
    directory = tmp_path_factory.mktemp("page")
    full = samples.morning()
    empty = replace(
        full, sla=(), days=(), lanes=(), risks=type(full.risks)(), exceptions=(), health=type(full.health)()
    )
    unknown = replace(full, vehicles=samples.vehicle_samples.unknown_sections())
    long = "W" * 64
    wide = replace(
        full,
        tenant=long,
        sla=tuple(replace(row, member=long) if row.dimension == "carrier" else row for row in full.sla),
        lanes=tuple(replace(lane, origin=long, destination=long) for lane in full.lanes),
        risks=replace(
            full.risks,
            shipments=tuple(
                replace(s, shipment_id=long, carrier_id=long, vehicle_id=long, origin=long)
                for s in full.risks.shipments
            ),
        ),
        exceptions=tuple(replace(e, reason=long) for e in full.exceptions),
        health=replace(
            full.health,
            cdc=tuple(replace(c, slot=long) for c in full.health.cdc),
            reconciliation=samples.differing(),
        ),
        vehicles=samples.vehicle_samples.wide_sections(long),
    )
    found = {"full": publish(full, directory, None, "").path}
    for name, report in (("empty", empty), ("wide", wide), ("unknown", unknown)):
        found[name] = directory / f"{name}.html"
        found[name].write_text(render_html(report), encoding="utf-8")
    return found


@pytest.fixture
def open_page(browser: Any, pages: dict[str, Path]) -> Iterator[Open]:
    """Open a page; what it asked for and what the browser complained of is on `page.seen`."""
    opened = []

    def open_one(name: str = "full", width: int = 1280, scheme: str = "light") -> Any:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened.append(page)
        page.seen = []
        page.on("request", lambda request: page.seen.append(request.url))
        page.on("console", lambda message: page.seen.append(message.text))
        page.goto(pages[name].as_uri())
        return page

    yield open_one
    for page in opened:
        page.close()


@pytest.mark.parametrize("name", ["full", "empty", "wide", "unknown"])
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_page_does_not_scroll_sideways(open_page: Open, name: str, width: int) -> None:
    page = open_page(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    spilled = page.evaluate(
        """() => [...document.querySelectorAll('body *')]
            .filter(e => !e.closest('.unseen, thead, .skip, .scroll *') && e.getClientRects().length
                && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
            .map(e => e.tagName + '.' + e.className).slice(0, 5)"""
    )
    assert spilled == []


@pytest.mark.parametrize("name", ["full", "empty"])
def test_nothing_is_asked_for_and_nothing_complained_of(
    open_page: Open, pages: dict[str, Path], name: str
) -> None:
    page = open_page(name)
    page.wait_for_load_state("networkidle")
    assert {url for url in page.seen if not url.startswith("data:")} == {pages[name].as_uri()}


def test_headline_is_in_the_first_screen(open_page: Open) -> None:
    row = samples.morning().headline
    for width in (390, 1280):
        page = open_page(width=width)
        headline = page.locator("#headline")
        assert headline.inner_text().split() == [f"{100 * row.on_time / row.due:.1f}%", "on", "time"]
        assert headline.bounding_box()["y"] < 400
        assert page.locator(".verdict").bounding_box()["y"] < 900
        assert f"of {row.due} shipments due arrived on time" in page.locator(".verdict").inner_text()


def test_empty_day_says_so(open_page: Open) -> None:
    page = open_page("empty")
    assert "No shipments were due on" in page.locator(".verdict").inner_text()
    assert "Nothing due" in page.title()


def test_dark_scheme_changes_ground_and_text(open_page: Open) -> None:
    colours = "(() => { const s = getComputedStyle(document.body); return [s.backgroundColor, s.color] })()"
    light, dark = (open_page(scheme=scheme).evaluate(colours) for scheme in ("light", "dark"))
    assert brightness(light[0]) > 200 > brightness(light[1])
    assert brightness(dark[0]) < 60 < brightness(dark[1])


def brightness(colour: str) -> float:
    parts = [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(parts) / 3


def test_every_table_has_a_caption_and_keeps_its_role_on_a_phone(open_page: Open) -> None:
    page = open_page(width=390)
    tables = page.locator("table").count()
    assert tables == page.locator("table > caption").count() >= 11
    captions = page.locator("caption").all_inner_texts()
    assert all(captions)
    assert len(set(captions)) == tables
    # Rows that are laid out as cards must still be announced as rows of a table.
    assert page.get_by_role("table").count() == tables
    assert page.get_by_role("rowheader", name="Rhein-Ruhr").count() == 1


def test_charts_have_names(open_page: Open) -> None:
    page = open_page()
    assert page.get_by_role("img", name="On-time share by day").count() == 1
    assert page.get_by_role("img", name="Thu 19 Nov 2026").count() == 1
    assert page.evaluate(
        "[...document.querySelectorAll('svg')]"
        ".every(s => s.getAttribute('aria-label') || s.ariaHidden === 'true')"
    )


def test_text_in_charts_is_readable_on_a_phone(open_page: Open) -> None:
    page = open_page(width=390)
    heights = page.evaluate(
        """() => [...document.querySelectorAll('svg.trend text')].map(t => {
            const svg = t.ownerSVGElement
            const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width
            return parseFloat(getComputedStyle(t).fontSize) * scale })"""
    )
    assert min(heights) >= 9.5


def test_links_lead_to_the_tables_beside_the_page(open_page: Open, pages: dict[str, Path]) -> None:
    page = open_page()
    hrefs = set(page.evaluate("[...document.querySelectorAll('footer a')].map(a => a.getAttribute('href'))"))
    assert hrefs == {path.name for path in pages["full"].parent.iterdir() if path.suffix == ".csv"}
    assert len(hrefs) == 6
    assert all((pages["full"].parent / href).is_file() for href in hrefs)


def test_keyboard_reaches_the_report_first(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"


def test_paper_is_light_even_in_dark_mode_and_few_pages(open_page: Open) -> None:
    page = open_page(scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    ink = page.evaluate("getComputedStyle(document.querySelector('.verdict')).color")
    assert brightness(ink) < 80
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.count(b"/Type /Page\n") <= 10


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_section_on_vehicles_is_one_screen_of_a_laptop(
    open_page: Open, section: str, scheme: str
) -> None:
    box = open_page(scheme=scheme).locator(f"#{section}").bounding_box()
    assert box["height"] <= 800
    assert box["width"] <= 1280


@pytest.mark.parametrize("section", SECTIONS)
def test_section_that_is_not_known_says_so_and_is_small(open_page: Open, section: str) -> None:
    screen = open_page("unknown").locator(f"#{section}")
    assert "Not known" in screen.inner_text()
    assert screen.locator("svg, table, dl").count() == 0
    assert screen.bounding_box()["height"] < 160


def test_sections_are_reached_from_the_first_screen_and_a_half(open_page: Open) -> None:
    page = open_page()
    for section in SECTIONS:
        link = page.locator(f".contents a[href='#{section}']")
        assert link.bounding_box()["y"] < 1000
        link.click()
        assert abs(page.locator(f"#{section}").bounding_box()["y"]) < 60


def test_labels_of_columns_do_not_touch(open_page: Open) -> None:
    for width in (390, 1280):
        touching = open_page(width=width).evaluate(
            """() => [...document.querySelectorAll('svg.columns')].flatMap(svg => {
                const boxes = [...svg.querySelectorAll('text')].map(t => t.getBoundingClientRect())
                return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => a.left < b.right - 1
                    && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3))
            }).length"""
        )
        assert touching == 0, width
