"""What is wrong, since when, and what to do."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
