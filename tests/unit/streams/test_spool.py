from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ingestion.streams.spool import LaneSpool, SpoolError, read_spool


def owed(directory: Path) -> list[bytes]:
    return [line.line for line in read_spool(directory).lines]


def fill(directory: Path, lines: int, *, lane: int = 0, **options: int) -> LaneSpool:
    spool = LaneSpool(directory, lane, **options)  # type: ignore[arg-type]
    for i in range(1, lines + 1):
        assert spool.append(i * 7, b"line %d" % i) == i
    return spool


def test_what_was_appended_is_owed_with_its_position(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    found = read_spool(tmp_path)
    assert [(x.number, x.position, x.line) for x in found.lines] == [
        (1, 7, b"line 1"), (2, 14, b"line 2"), (3, 21, b"line 3"),
    ]  # fmt: skip
    assert found.torn == []


def test_acknowledged_lines_are_not_owed(tmp_path: Path) -> None:
    fill(tmp_path, 5).ack(3)
    assert owed(tmp_path) == [b"line 4", b"line 5"]


def test_segments_are_deleted_once_all_their_lines_are_acknowledged(tmp_path: Path) -> None:
    spool = fill(tmp_path, 20, segment_bytes=128)
    segments = len(list(tmp_path.iterdir()))
    assert segments > 5
    spool.ack(10)
    assert len(list(tmp_path.iterdir())) < segments
    assert owed(tmp_path) == [b"line %d" % i for i in range(11, 21)]
    spool.ack(20)
    assert len(list(tmp_path.iterdir())) == 1
    assert owed(tmp_path) == []


def test_a_line_larger_than_a_segment_gets_one_of_its_own(tmp_path: Path) -> None:
    spool = LaneSpool(tmp_path, 0, segment_bytes=128)
    spool.append(1, b"x" * 5000)
    assert owed(tmp_path) == [b"x" * 5000]


def test_closing_deletes_only_what_is_not_owed(tmp_path: Path) -> None:
    kept, done = fill(tmp_path, 4, lane=1), fill(tmp_path, 4, lane=2)
    kept.ack(1)
    done.ack(4)
    kept.close()
    done.close()
    assert [p.name for p in tmp_path.iterdir()] == ["lane-0001-00000001.spool"]
    assert owed(tmp_path) == [b"line 2", b"line 3", b"line 4"]


def test_sync_works_with_and_without_segments(tmp_path: Path) -> None:
    spool = LaneSpool(tmp_path, 0, fdatasync=True, segment_bytes=64)
    spool.sync()
    for i in range(5):
        spool.append(i, b"0123456789")
    spool.sync()
    assert len(owed(tmp_path)) == 5


@pytest.mark.parametrize("cut", [1, 7, 19, 20, 23])
def test_a_torn_last_frame_is_dropped_and_told(tmp_path: Path, cut: int) -> None:
    fill(tmp_path, 3).close()
    path = next(tmp_path.iterdir())
    data = bytearray(path.read_bytes())
    end = data.index(b"line 3") + len(b"line 3")
    data[end - cut : end] = bytes(cut)
    path.write_bytes(data)
    found = read_spool(tmp_path)
    assert [x.line for x in found.lines] == [b"line 1", b"line 2"]
    assert found.torn == [path]


def test_a_torn_acknowledgement_counts_as_none(tmp_path: Path) -> None:
    fill(tmp_path, 3).ack(2)
    path = next(tmp_path.iterdir())
    with path.open("r+b") as file:
        file.seek(8)
        file.write(b"\x03")
    assert owed(tmp_path) == [b"line 1", b"line 2", b"line 3"]


def test_an_empty_or_foreign_file_owes_nothing(tmp_path: Path) -> None:
    (tmp_path / "lane-0000-00000001.spool").write_bytes(b"")
    (tmp_path / "lane-0001-00000001.spool").write_bytes(bytes(4096))
    (tmp_path / "notes.txt").write_bytes(b"not ours")
    assert read_spool(tmp_path).lines == []


def test_a_full_disk_refuses_the_line_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = fill(tmp_path, 2, segment_bytes=96)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SpoolError, match="No space left"):
        spool.append(1, b"y" * 200)
    assert sorted(tmp_path.iterdir()) == before
    monkeypatch.undo()
    assert spool.append(1, b"y" * 200) == 3
    assert owed(tmp_path) == [b"line 1", b"line 2", b"y" * 200]


def test_a_missing_directory_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match=r"cannot create spool file .*gone.*No such file"):
        LaneSpool(tmp_path / "gone", 0).append(1, b"x")
