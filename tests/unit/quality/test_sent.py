"""The senders' truth files, summed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quality.reconcile import Sent, read_sent


def write(directory: Path, name: str, feeds: dict[str, Any], **more: Any) -> None:
    (directory / f"{name}.json").write_text(json.dumps({"run": name, "feeds": feeds, **more}))


def test_runs_are_summed_by_feed(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a",
        {"gps_location": {"sent": 10, "distinct": 9, "valid_distinct": 8, "invalid": {"too_long": 1}}},
    )
    write(
        tmp_path,
        "b",
        {"gps_location": {"sent": 5, "distinct": 5, "valid_distinct": 5, "invalid": {"too_long": 2}}},
    )
    assert read_sent(tmp_path) == {"gps_location": Sent(15, 13, 9, {"too_long": 3})}


@pytest.mark.parametrize("more", [{"complete": False}, {}])
def test_a_run_that_cannot_tell_leaves_the_valid_unknown(tmp_path: Path, more: dict[str, bool]) -> None:
    valid = 8 if more else None
    write(
        tmp_path,
        "a",
        {"gps_location": {"sent": 10, "distinct": 9, "valid_distinct": valid, "invalid": None}},
        **more,
    )
    write(tmp_path, "b", {"gps_location": {"sent": 5, "distinct": 5, "valid_distinct": 5, "invalid": {}}})
    found = read_sent(tmp_path)["gps_location"]
    assert (found.sent, found.valid_distinct, found.most_distinct) == (15, None, 9)


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ValueError, match=r"other\.json is not a sender's truth"):
        read_sent(tmp_path)


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_run_that_cannot_tell_leaves_the_invalid_unknown(tmp_path: Path, order: str) -> None:
    """`fleetflow send` does not judge its lines: its rejects must not be held against a simulator's count."""
    told = {"gps_location": {"sent": 5, "distinct": 5, "valid_distinct": 4, "invalid": {"too_long": 1}}}
    untold = {"gps_location": {"sent": 2, "distinct": 2, "valid_distinct": None, "invalid": None}}
    write(tmp_path, order[0], told)
    write(tmp_path, order[1], untold)
    assert read_sent(tmp_path)["gps_location"].invalid is None
