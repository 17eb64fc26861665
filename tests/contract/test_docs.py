"""The documents: links lead somewhere, what they name exists, the index of decisions is complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetflow.settings import PROJECT_ROOT

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE_PATH = re.compile(
    r"`((?:dags|dbt|docs|domain|fleetflow|infra|ingestion|quality|serving|sql|tests)/[\w./-]+)`"
)


def pages() -> list[Path]:
    outside = [PROJECT_ROOT / "README.md", PROJECT_ROOT / "infra" / "docker" / "README.md"]
    return [*outside, *sorted((PROJECT_ROOT / "docs").rglob("*.md"))]


def without_code_blocks(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def relative_links(page: Path) -> Iterator[str]:
    for target in LINK.findall(without_code_blocks(page)):
        if "://" not in target and not target.startswith("mailto:"):
            yield target


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in relative_links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT_ROOT)))
def test_paths_that_are_named_exist(page: Path) -> None:
    named = CODE_PATH.findall(without_code_blocks(page))
    generated = {"infra/docker/.env"}
    assert [path for path in named if path not in generated and not (PROJECT_ROOT / path).exists()] == []


def test_index_of_decisions_is_complete() -> None:
    directory = PROJECT_ROOT / "docs" / "adr"
    found = {path.name for path in directory.glob("[0-9]*.md")}
    assert set(LINK.findall((directory / "README.md").read_text())) == found


def test_decisions_say_their_number_and_status() -> None:
    for path in (PROJECT_ROOT / "docs" / "adr").glob("[0-9]*.md"):
        text = path.read_text()
        assert re.match(rf"# 0*{int(path.name[:4])}[.:] ", text), path.name
        assert re.search(r"^(Status: )?(proposed|accepted|superseded)", text, re.MULTILINE | re.IGNORECASE), (
            path.name
        )
