"""Runbooks name only commands that exist, links that lead somewhere, and cover every alert."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import typer.main

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


def test_every_alert_has_its_page() -> None:
    source = (PROJECT_ROOT / "fleetflow" / "orchestration.py").read_text(encoding="utf-8")
    raised = set(re.findall(r'_alert\(\s*"(\w+)"|_alert, "(\w+)"', source))
    names = {name for pair in raised for name in pair if name}
    assert {"dag_failed", "deadline_missed", "landing_default_partition"} <= names
    index = (PROJECT_ROOT / "docs" / "runbooks" / "README.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in index] == []
    assert {f"alert_{name}" for name in names - {"dag_failed"}} <= {page.stem for page in PAGES}
