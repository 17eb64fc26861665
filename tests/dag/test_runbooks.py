"""Runbooks name only commands that exist, links that lead somewhere, and cover every alert."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import typer.main

from fleetflow.monitoring.signals import EVENTS, SIGNALS, UNSEEN
from fleetflow.settings import PROJECT_ROOT

PAGES = sorted((PROJECT_ROOT / "docs" / "runbooks").glob("*.md"))
HEADINGS = ["Symptom", "What it means", "Look at", "Fix", "Verify"]

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@every_page
def test_commands_exist(page: Path) -> None:
    from fleetflow.cli import app

    program = typer.main.get_command(app)
    named = re.findall(r"(?:`|\$\()fleetflow ([^`)]+?)[`)]", page.read_text(encoding="utf-8"))
    for words in named:
        parse(program, shlex.split(" ".join(words.split())))


def parse(command: click.Command, words: list[str]) -> None:
    """Follow the words into the program's commands and parse what remains as options; runs nothing."""
    context = click.Context(command)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0]) if words else None
        assert found is not None, f"there is no command {' '.join(words)}"
        command, words = found, words[1:]
        context = click.Context(command, parent=context)
    command.parse_args(click.Context(command, parent=context), list(words))


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem != "README"], ids=lambda page: page.stem
)
def test_pages_have_one_shape(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == HEADINGS


def pages_of_alerts() -> set[str]:
    """The pages that the closed list names, as paths in this repository."""
    pages = {signal.runbook for signal in SIGNALS.values()} | {page for page in EVENTS.values() if page}
    return pages | {f"docs/runbooks/alert_{UNSEEN}.md"}


def test_every_alert_has_its_page() -> None:
    assert sorted(page for page in pages_of_alerts() if not (PROJECT_ROOT / page).exists()) == []


def test_every_page_of_an_alert_has_its_alert() -> None:
    wanted = {Path(page).stem for page in pages_of_alerts()}
    about_alerts = {page.stem for page in PAGES if page.stem.startswith(("alert_", "partner_file_"))}
    assert about_alerts - wanted == set()


def test_a_page_speaks_of_its_alert() -> None:
    for name, page in [(signal.name, signal.runbook) for signal in SIGNALS.values()]:
        text = (PROJECT_ROOT / page).read_text(encoding="utf-8")
        assert f"`{name}`" in text.partition("## What it means")[0], f"{page} does not name {name}"


def test_the_code_raises_only_alerts_of_the_list() -> None:
    raised: set[str] = set()
    for path in sorted((PROJECT_ROOT / "fleetflow").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        for pair in re.findall(r'\b_?[aA]lert\(\s*"(\w+)"|to_thread\(alert, "(\w+)"', source):
            raised |= {name for name in pair if name}
    assert {"dag_failed", "deadline_missed"} <= raised
    assert raised - {*SIGNALS, *EVENTS} == set()


def test_events_are_in_the_index() -> None:
    index = (PROJECT_ROOT / "docs" / "runbooks" / "README.md").read_text(encoding="utf-8")
    assert [name for name in (*EVENTS, UNSEEN) if f"`{name}`" not in index] == []
