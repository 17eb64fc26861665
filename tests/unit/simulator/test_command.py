from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from simulator_runs import ROOT, recount
from typer.testing import CliRunner

from fleetflow.commands import simulate
from fleetflow.faults import UserError

SMALL = [
    "--start", "2026-11-20T09:00:00Z",
    "--rate", "200",
    "--seconds", "3",
    "--vehicles", "30",
    "--drivers", "40",
    "--shipments", "60",
    "--history-days", "1",
    "--history-shipments", "20",
]  # fmt: skip


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.callback()
    def main() -> None:
        """Keep the command's name."""

    simulate.register(app)
    return app


def test_out_writes_one_file_per_feed_and_prints_the_truth(app: typer.Typer, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["simulate", *SMALL, "--invalid", "0.2", "--out", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    truth = json.loads(done.stdout)
    lines = []
    for path in tmp_path.glob("*.ndjson"):
        default = "gps_location" if path.stem == "gps_location" else None
        lines += [(line, default) for line in path.read_bytes().split(b"\n")[:-1]]
    found = recount(lines)
    assert {feed: counts["sent"] for feed, counts in truth["feeds"].items()} == {
        feed: counts["sent"] for feed, counts in found.items()
    }
    assert {feed: counts["invalid"] for feed, counts in truth["feeds"].items()} == {
        feed: counts["invalid"] for feed, counts in found.items()
    }


def test_the_same_command_writes_the_same_bytes(app: typer.Typer, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert not CliRunner().invoke(app, ["simulate", *SMALL, "--out", str(tmp_path / name)]).exception
    for path in (tmp_path / "a").glob("*.ndjson"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--rate", "0"], "rate"),
        (["--mix", "gps"], "mix"),
        (["--mix", "cars=1"], "mix"),
        (["--start", "yesterday"], "start"),
        (["--start", "2026-11-20T09:00:00"], "time zone"),
        (["--late", "2"], "late"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(
    app: typer.Typer, tmp_path: Path, options: list[str], named: str
) -> None:
    done = CliRunner().invoke(app, ["simulate", *options, "--out", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert named in str(done.exception)
    assert "\n" not in str(done.exception)


def test_an_interrupt_leaves_a_complete_truth(tmp_path: Path) -> None:
    code = "import typer; from fleetflow.commands import simulate as s; a=typer.Typer(); s.register(a); a()"
    many = ["--rate", "50000", "--seconds", "100000", "--vehicles", "30", "--shipments", "60"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *many, "--history-days", "0", "--out", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "gps_location.ndjson").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    [path] = (tmp_path / "sent").glob("*.json")
    truth = json.loads(path.read_text())
    assert truth["complete"] is True
    written = sum(p.read_bytes().count(b"\n") for p in tmp_path.glob("*.ndjson"))
    assert sum(feed["sent"] for feed in truth["feeds"].values()) == written
