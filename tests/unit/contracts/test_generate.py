"""The generator: same bytes each time, and a check that sees every kind of difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.contracts import ENTITIES, FEEDS
from domain.contracts.generate import NOTE, differences, main, targets, write


def test_writes_all_then_nothing(tmp_path: Path) -> None:
    assert write(tmp_path) == list(targets())
    assert write(tmp_path) == []
    assert differences(tmp_path) == []


def test_same_contracts_give_the_same_bytes() -> None:
    assert targets() == targets()


def test_every_feed_and_entity_has_its_files() -> None:
    for name in (*FEEDS, *ENTITIES):
        assert {f"docs/contracts/{name}.odcs.yaml", f"quality/suites_generated/{name}.json"} <= set(targets())


def test_every_file_says_that_it_is_generated() -> None:
    for path, text in targets().items():
        note = "do not edit" if path.endswith(".json") else NOTE
        assert note in text, path
        assert text.endswith("\n"), path


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda file: file.unlink(), "missing: docs/reference/feeds.md"),
        (lambda file: file.write_text(file.read_text() + "\n"), "differs: docs/reference/feeds.md"),
    ],
    ids=["missing", "edited"],
)
def test_check_lists_a_difference_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: object, line: str
) -> None:
    write(tmp_path)
    assert callable(harm)
    harm(tmp_path / "docs/reference/feeds.md")
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [line]
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0


def test_file_of_a_feed_that_is_gone_is_listed_and_removed(tmp_path: Path) -> None:
    write(tmp_path)
    stray = tmp_path / "docs/contracts/old_feed.odcs.yaml"
    stray.write_text("gone")
    assert differences(tmp_path) == ["not asked for: docs/contracts/old_feed.odcs.yaml"]
    assert write(tmp_path) == ["docs/contracts/old_feed.odcs.yaml"]
    assert not stray.exists()


def test_check_writes_nothing(tmp_path: Path) -> None:
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []
