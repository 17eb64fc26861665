"""The demo empties only what a demo has made."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetflow.demo.job import MARK, empty_home
from fleetflow.faults import UserError


def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{}")
    with pytest.raises(UserError, match="not a demo's directory"):
        empty_home(tmp_path)
    assert (tmp_path / "stack.json").exists()


def test_what_a_demo_left_is_emptied(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    empty_home(home)
    (home / "sent").mkdir()
    (home / "sent" / "run.json").write_text("{}")
    empty_home(home)
    assert [path.name for path in home.iterdir()] == [MARK]
