"""A producer killed at random moments: what `send` accepted arrives, in order, little of it twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from producer_stream import assert_all_in_order, event, faults, kinesis, make_stream, read_events, stand_in

from ingestion.streams.producer import Producer

KEYS = 97
LANES = 8
RECORD_BYTES = 5000
LINES_PER_RECORD = RECORD_BYTES // 251

CHILD = """
import itertools, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from producer_stream import event, kinesis
from ingestion.streams.producer import Producer

url, stream, spool, first = *sys.argv[2:4], Path(sys.argv[4]), int(sys.argv[5])
limits = {"record_bytes": 5000, "linger_s": 0.05, "max_pending_bytes": 400_000}
producer = Producer(kinesis(url), stream, spool, lanes=8, **limits)
for seq in itertools.count(first):
    producer.send(f"V{seq % 97:04d}", event(seq % 97, seq))
    os.write(1, b"%d\\n" % seq)
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with stand_in(tmp_path_factory.mktemp("aws"), limits=False) as address:
        yield address


def run_until_killed(url: str, stream: str, spool: Path, first: int, after_s: float) -> int:
    """Send from `first` on in a child, kill it `after_s` after its first line; gives the next seq to send."""
    arguments = (Path(__file__).parent, url, stream, spool, first)
    command = [sys.executable, "-c", CHILD, *map(str, arguments)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        accepted = child.stdout.readline()
        time.sleep(after_s)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        rest, _ = child.communicate()
    # The kill may fall between `send` and the report of its line, so one line more may be accepted.
    lines = (accepted + rest).rpartition(b"\n")[0].split(b"\n")
    assert lines[0], "the child died before its first line"
    return int(lines[-1]) + 1


@pytest.mark.parametrize("seed", [3])
def test_what_send_accepted_survives_sigkill(url: str, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    stream = make_stream(url, 4)
    kills, sent, replayed = 5, 0, 0
    with faults(url, 0.3, seed) as proxy:
        for _ in range(kills):
            sent = run_until_killed(proxy.url, stream, tmp_path, sent, rng.uniform(0.02, 0.5))
        lost_answers = proxy.injected["lose_answer"]
        with Producer(kinesis(url), stream, tmp_path, lanes=12) as last:
            replayed = last.stats().replayed_lines
            for seq in range(sent, sent + 500):
                last.send(f"V{seq % KEYS:04d}", event(seq % KEYS, seq))
    assert sent > 500
    duplicates = assert_all_in_order(read_events(url, stream), sent + 500)
    window = LANES * (LINES_PER_RECORD + 1)
    assert duplicates <= (kills + lost_answers) * window + kills
    assert not list(tmp_path.rglob("*.spool"))
    assert replayed > 0


def test_a_killed_producer_s_backlog_waits_for_the_stream(url: str, tmp_path: Path) -> None:
    sent = run_until_killed(url, "crash-later", tmp_path, 0, 0.3)
    stream = make_stream(url, 2, "crash-later")
    with Producer(kinesis(url), stream, tmp_path) as successor:
        # Nothing could go out, so every accepted line is replayed, and maybe the one that was not reported.
        assert sent <= successor.stats().replayed_lines <= sent + 1
        extra = successor.stats().replayed_lines - sent
    assert assert_all_in_order(read_events(url, stream), sent + extra) == 0
