"""`fleetflow send` against the AWS stand-in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from producer_stream import kinesis, make_stream, stand_in

from fleetflow.commands.send import send_file
from fleetflow.faults import UserError
from fleetflow.settings import load_settings

DATABASES = ("OWNER", "LOADER", "TRANSFORMER", "OPS", "ANALYST", "ORDERS", "ORDERS_CDC")
PROGRAM = "from fleetflow.cli import main; main()"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with stand_in(tmp_path_factory.mktemp("aws"), limits=True) as address:
        for name in ("gps", "status"):
            make_stream(address, 2, name)
        yield address


def environment(url: str, home: Path, **settings: str) -> dict[str, str]:
    """A machine's environment with this home and stand-in, and databases that no sender needs."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FLEETFLOW_"))},
        **{f"FLEETFLOW_{name}_DSN": "postgresql://nobody@127.0.0.1:9/none" for name in DATABASES},
        "FLEETFLOW_HOME": str(home), "FLEETFLOW_GPS_STREAM": "gps", "FLEETFLOW_STATUS_STREAM": "status",
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
        **settings,
    }  # fmt: skip


def send(
    url: str, home: Path, *arguments: str, stdin: bytes = b"", **settings: str
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", PROGRAM, "send", *arguments]
    env = environment(url, home, **settings)
    return subprocess.run(command, input=stdin, capture_output=True, env=env, check=False, timeout=60)


def lines_on(url: str, stream: str) -> Counter[bytes]:
    client = kinesis(url)
    found: Counter[bytes] = Counter()
    for shard in client.list_shards(StreamName=stream)["Shards"]:
        start = client.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        for record in client.get_records(ShardIterator=start["ShardIterator"])["Records"]:
            found.update(record["Data"].removesuffix(b"\n").split(b"\n"))
    return found


def test_a_file_reaches_the_feed_s_stream_with_its_bad_lines(url: str, tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    good = [b'{"event_id":"e%d","shipment_id":"S%d","status":"created"}' % (i, i % 5) for i in range(40)]
    bad = [b'{"event_id":', b"not json", b'{"event_id":"\xfe"}', b"[1]", b'{"feed":"other","event_id":"x"}']
    file.write_bytes(b"\n".join([*good, good[0], b"", *bad, b"  "]) + b"\n")
    result = send(url, tmp_path, "shipment_event", str(file), "--json")
    assert result.returncode == 0, result.stderr
    summary: dict[str, Any] = json.loads(result.stdout)
    wanted = Counter(b'{"feed":"shipment_event",' + line[1:] for line in [*good, good[0]])
    wanted.update([
        b'{"feed":"shipment_event","event_id":', b"not json", b'{"feed":"shipment_event","event_id":"\xfe"}',
        b"[1]", b'{"feed":"other","event_id":"x"}',
    ])  # fmt: skip
    assert lines_on(url, "status") == wanted
    assert (summary["lines"], summary["left_in_spool"], summary["refused_lines"]) == (46, 0, [])
    assert summary["bytes"] == sum(len(line) + 1 for line in wanted.elements())
    truth = json.loads(Path(summary["truth"]).read_text())
    assert Path(summary["truth"]).parent == tmp_path / "sent"
    assert truth["run"] == summary["run"]
    assert truth["started_at"] < truth["finished_at"]
    assert truth["feeds"] == {
        "shipment_event": {"sent": 41, "distinct": 40, "valid_distinct": None, "invalid": None},
        "unknown": {"sent": 5, "distinct": 5, "valid_distinct": None, "invalid": None},
    }
    assert not list(tmp_path.rglob("*.spool"))


def test_standard_input_and_a_rate_are_taken_and_the_summary_is_for_people(url: str, tmp_path: Path) -> None:
    lines = b"".join(b'{"event_id":"r%d","vehicle_id":"V"}\n' % i for i in range(20))
    result = send(url, tmp_path, "gps_location", "-", "--rate", "40", stdin=lines)
    assert result.returncode == 0, result.stderr
    text = result.stdout.decode()
    assert text.startswith("sent 20 lines to gps in ")
    assert "records sent again: 0" in text
    assert float(text.split(" bytes, ")[1].split(" s ")[0]) >= 0.4
    assert sum(lines_on(url, "gps").values()) == 20


def test_a_line_beyond_a_record_is_named_and_the_rest_is_sent(url: str, tmp_path: Path) -> None:
    file = tmp_path / "big.ndjson"
    file.write_bytes(b'{"shipment_id":"L1"}\n{"x":"' + b"y" * (1 << 20) + b'"}\n{"shipment_id":"L2"}\n')
    result = send(url, tmp_path, "driver_assignment_event", str(file))
    assert result.returncode == 2
    assert "not sent, too large for a record: line 2" in result.stdout.decode()
    assert {b'{"feed":"driver_assignment_event","shipment_id":"L%d"}' % i for i in (1, 2)} <= set(
        lines_on(url, "status")
    )


def test_a_fault_of_the_call_is_one_line_and_status_2(url: str, tmp_path: Path) -> None:
    result = send(url, tmp_path, "gsp", "/nowhere")
    assert result.returncode == 2
    assert result.stderr.decode() == (
        "fleetflow: unknown feed 'gsp': the feeds are can_frame, driver_activity, driver_assignment_event,"
        " gps_location, shipment_event\n"
    )
    assert result.stdout == b""


@pytest.mark.parametrize(
    ("file", "settings", "words"),
    [
        ("gone.ndjson", {}, "cannot read {home}/gone.ndjson: No such file or directory"),
        ("folder", {}, "cannot read {home}/folder: Is a directory"),
        ("one.ndjson", {"FLEETFLOW_GPS_STREAM": "absent"}, "stream absent does not exist at {url}"),
        (
            "one.ndjson",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            "stream gps cannot be used at http://127.0.0.1:9: Could not connect to the endpoint URL:"
            ' "http://127.0.0.1:9/"',
        ),
        (
            "one.ndjson",
            {"FLEETFLOW_HOME": "{home}/blocked"},
            "cannot make spool directory {home}/blocked/spool/gps",
        ),
    ],
)
def test_a_fault_names_what_is_wrong(
    url: str, tmp_path: Path, file: str, settings: dict[str, str], words: str
) -> None:
    (tmp_path / "one.ndjson").write_bytes(b"{}\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "spool").write_text("in the way")
    places = {"home": str(tmp_path), "url": url}
    env = environment(url, tmp_path, **{name: value.format(**places) for name, value in settings.items()})
    with pytest.raises(UserError) as caught:
        send_file(load_settings(env=env), "gps_location", str(tmp_path / file))
    assert str(caught.value).startswith(words.format(**places))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("sent"))


@pytest.mark.parametrize("open_end", [True, False], ids=["waiting for input", "in the middle of a file"])
def test_a_broken_off_run_sends_what_it_took_and_leaves_its_truth(
    url: str, tmp_path: Path, open_end: bool
) -> None:
    stream = make_stream(url, 1)
    lines = [b'{"event_id":"b%d","vehicle_id":"V%d"}\n' % (i, i % 9) for i in range(2000)]
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"".join(lines))
    arguments = ["-"] if open_end else [str(file), "--rate", "100"]
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "send", "gps_location", *arguments, "--json"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(url, tmp_path, FLEETFLOW_GPS_STREAM=stream),
    )  # fmt: skip
    try:
        assert child.stdin is not None
        if open_end:
            child.stdin.write(b"".join(lines[:50]))
            child.stdin.flush()
        while not lines_on(url, stream):
            assert child.poll() is None
            time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        assert child.stdout is not None
        summary = json.loads(child.stdout.read())
        assert child.wait(30) == 130
    finally:
        child.kill()
        child.communicate()
    taken = summary["lines"]
    assert taken == 50 if open_end else 0 < taken < 2000
    assert lines_on(url, stream) == Counter(b'{"feed":"gps_location",' + line[1:-1] for line in lines[:taken])
    truth = json.loads(Path(summary["truth"]).read_text())
    assert truth["feeds"]["gps_location"]["sent"] == taken
