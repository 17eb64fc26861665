"""A spool cut anywhere gives back an unbroken run of lines, never a wrong one; it owes what no one has."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.streams.spool import LaneSpool, SpooledLine, decode_frames, encode_frame, read_spool

LINES = st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=25)
POSITIONS = st.integers(0, 2**32 - 1)


def numbered(lines: list[bytes], position: int, first: int = 1) -> list[SpooledLine]:
    return [SpooledLine(n, position, line) for n, line in enumerate(lines, start=first)]


def encode(lines: list[SpooledLine]) -> bytes:
    return b"".join(encode_frame(x.number, x.position, x.line) for x in lines)


@given(LINES, POSITIONS, st.integers(1, 2**63), st.integers(0, 100))
def test_frames_come_back_as_they_were(lines: list[bytes], position: int, first: int, padding: int) -> None:
    wanted = numbered(lines, position, first)
    assert decode_frames(encode(wanted) + bytes(padding)) == (wanted, False)


@given(LINES, POSITIONS, st.data(), st.booleans())
def test_a_cut_tail_costs_only_the_line_it_cut(
    lines: list[bytes], position: int, data: st.DataObject, zeroed: bool
) -> None:
    wanted = numbered(lines, position)
    whole = encode(wanted)
    kept = data.draw(st.integers(0, len(whole)))
    cut = whole[:kept] + bytes(len(whole) - kept if zeroed else 0)
    got, _ = decode_frames(cut)
    assert got == wanted[: len(got)]
    complete = 0
    while complete < len(wanted) and len(encode(wanted[: complete + 1])) <= kept:
        complete += 1
    # Where the cut bytes were zeros themselves, the line is whole after all.
    assert complete <= len(got) <= complete + zeroed


@given(LINES, POSITIONS, st.data())
def test_a_flipped_byte_never_gives_a_wrong_line(
    lines: list[bytes], position: int, data: st.DataObject
) -> None:
    wanted = numbered(lines, position)
    damaged = bytearray(encode(wanted))
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    got, torn = decode_frames(bytes(damaged))
    assert got == wanted[: len(got)]
    assert len(got) < len(wanted)
    assert torn


@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_a_fault(garbage: bytes) -> None:
    decode_frames(garbage)


@settings(max_examples=60, deadline=None)
@given(LINES, st.lists(st.integers(1, 8), max_size=12), st.integers(64, 400))
def test_a_spool_owes_exactly_what_was_not_acknowledged(
    lines: list[bytes], acks: list[int], segment_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        spool = LaneSpool(Path(name), 3, segment_bytes=segment_bytes)
        steps = iter(acks)
        for i, line in enumerate(lines):
            spool.append(i, line)
            spool.ack(min(spool.acked + next(steps, 0), spool.last))
        found = read_spool(Path(name))
        assert [x.line for x in found.lines] == lines[spool.acked :]
        assert [x.position for x in found.lines] == list(range(spool.acked, len(lines)))
        assert found.torn == []
        spool.close()
        assert bool(list(Path(name).iterdir())) == (spool.acked < len(lines))
