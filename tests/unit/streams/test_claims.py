from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.streams.claims import Claim, adopt_orphans, gate, stream_directory
from ingestion.streams.spool import LaneSpool, SpoolError


def claim(root: Path) -> Claim:
    with gate(root):
        return Claim.create(root)


def orphans(root: Path, own: Claim) -> list[Path]:
    with gate(root):
        found = list(adopt_orphans(root, own))
    for orphan in found:
        orphan.release()
    return [orphan.path for orphan in found]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "x" * 129, "ü"])
def test_a_name_that_is_no_stream_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a stream name"):
        stream_directory(tmp_path, name)


def test_a_spool_directory_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    with pytest.raises(SpoolError, match="cannot make spool directory"):
        stream_directory(tmp_path / "spool", "s")


def test_a_living_producer_in_this_process_is_no_orphan(tmp_path: Path) -> None:
    first, second = claim(tmp_path), claim(tmp_path)
    assert orphans(tmp_path, second) == []
    LaneSpool(first.path, 0).append(1, b"x")
    first.release()
    assert orphans(tmp_path, second) == [first.path]
    second.release()


def test_a_directory_without_lines_goes_with_its_claim(tmp_path: Path) -> None:
    one = claim(tmp_path)
    one.release()
    assert not one.path.exists()


def test_a_foreign_file_in_the_directory_is_left_alone(tmp_path: Path) -> None:
    one = claim(tmp_path)
    (one.path / "notes.txt").write_text("mine")
    one.release()
    assert (one.path / "notes.txt").read_text() == "mine"


CHILD = """
import sys, time
from pathlib import Path
from ingestion.streams.claims import Claim, gate
from ingestion.streams.spool import LaneSpool
with gate(Path(sys.argv[1])):
    claim = Claim.create(Path(sys.argv[1]))
LaneSpool(claim.path, 0).append(1, b"from the child")
print(claim.path, flush=True)
time.sleep(60)
"""


def test_another_process_is_protected_while_it_lives_and_adopted_when_it_died(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        path = Path(child.stdout.readline().strip())
        own = claim(tmp_path)
        assert orphans(tmp_path, own) == []
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    assert orphans(tmp_path, own) == [path]
    own.release()


def test_discarding_keeps_torn_files_for_people(tmp_path: Path) -> None:
    one = claim(tmp_path)
    for lane in (0, 1):
        LaneSpool(one.path, lane).append(1, b"x")
    one.discard([one.path / "lane-0001-00000001.spool"])
    one.release()
    kept = [p.name for p in tmp_path.iterdir() if p.suffix == ".torn"]
    assert kept == [f"{one.path.name}-lane-0001-00000001.spool.torn"]
    assert not one.path.exists()
