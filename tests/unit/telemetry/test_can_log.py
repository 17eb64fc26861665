"""CAN logs from files, and `fleetflow can` over them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fleetflow.commands import can
from fleetflow.faults import UserError, explain
from ingestion.telemetry.logs import LogError, read_log

WHOSE = {"tenant_id": "local", "vehicle_id": "v", "model": "haul_truck", "model_year": 2020}
CANDUMP = """(1773122400.000000) can0 0CF00400#FFFFFF6813FFFFFF

(1773122400.1) vcan1 123#R
(1773122400.250000) vcan1 123##1000102030405060708090A0B T
(1773122400.300000) can0 18FECA00#44FFB804030AFFFF
(1773122400.4) can0 7FF#
"""
CSV = """captured_at,arbitration_id,payload,is_extended,vehicle_id
1773122400.5,0x18FEF100,FF804FFFFFFFFFFF,,
2026-03-10T07:00:01+01:00,7ff,00 11,true,v9
"""


def written(directory: Path, text: str, name: str = "x.log") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def test_candump(tmp_path: Path) -> None:
    rows = read_log(written(tmp_path, CANDUMP), WHOSE).to_pylist()
    found = [(row["channel"], row["arbitration_id"], row["is_extended"], len(row["payload"])) for row in rows]
    assert found == [
        ("can0", 0x0CF00400, True, 8),
        ("vcan1", 0x123, False, 12),
        ("can0", 0x18FECA00, True, 8),
        ("can0", 0x7FF, False, 0),
    ]
    assert [row["captured_at"].microsecond for row in rows] == [0, 250_000, 300_000, 400_000]
    assert {row["vehicle_id"] for row in rows} == {"v"}


def test_csv(tmp_path: Path) -> None:
    rows = read_log(written(tmp_path, CSV, "x.csv"), WHOSE).to_pylist()
    found = [(row["vehicle_id"], row["arbitration_id"], row["is_extended"], row["payload"]) for row in rows]
    assert found == [
        ("v", 0x18FEF100, True, bytes.fromhex("FF804FFFFFFFFFFF")),
        ("v9", 0x7FF, True, b"\x00\x11"),
    ]
    assert [row["captured_at"].timestamp() for row in rows] == [1773122400.5, 1773122401]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.log", "can0 123#00", "line 1: .* is no candump line"),
        ("x.log", "(1.5) can0 12#00", "is no candump line"),
        ("x.log", "(1.5) can0 123#0", "is no candump line"),
        ("x.log", "(999999999999.5) can0 123#00", "is no instant of these times"),
        ("x.csv", "a,b\n", "the header lacks captured_at, arbitration_id, payload"),
        ("x.csv", "", "the header lacks"),
        ("x.csv", "captured_at,arbitration_id,payload\n1,zz,00\n", "line 2: .* hexadecimal"),
        ("x.csv", "captured_at,arbitration_id,payload\n1,12\n", "line 2: .* hexadecimal"),
        ("x.csv", "captured_at,arbitration_id,payload\nnan,12,00\n", "line 2: .* no instant"),
        ("x.csv", "captured_at,arbitration_id,payload\n2026-03-10T07:00:01,12,00\n", "has no zone"),
        ("x.csv", "captured_at,arbitration_id,payload\nyesterday,12,00\n", "is no instant"),
    ],
)
def test_lines_that_are_no_frames(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(LogError, match=words):
        read_log(written(tmp_path, text, name), WHOSE)


def run(*arguments: str) -> str:
    app = typer.Typer()
    can.register(app)
    done = CliRunner().invoke(app, ["can", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_decode_prints_signals_codes_and_counts(tmp_path: Path) -> None:
    path = str(written(tmp_path, CANDUMP))
    text = run("decode", path, "--model", "haul_truck", "--year", "2020", "--vehicle", "v")
    assert "engine_speed" in text
    assert "621 rpm" in text
    assert "active SPN 1208 FMI 3, 10 times from 0x00" in text
    assert text.endswith("v: 4 frames, 2 decoded, 2 unknown_id\n8 signals, 0 messages unfinished\n")


def test_decode_prints_json(tmp_path: Path) -> None:
    path = str(written(tmp_path, CANDUMP))
    lines = [
        json.loads(line)
        for line in run("decode", path, "--model", "haul_truck", "--year", "2020", "--json").splitlines()
    ]
    kinds = [line["kind"] for line in lines]
    assert [kinds.count(kind) for kind in ("signal", "trouble_code", "raw", "lost", "counts")] == [
        8,
        1,
        2,
        0,
        1,
    ]
    assert lines[-1]["frames"] == 4
    assert (
        len(run("decode", path, "--model", "haul_truck", "--year", "2020", "--limit", "1").splitlines()) == 4
    )


@pytest.mark.parametrize(
    ("text", "model", "words"),
    [
        (CANDUMP, "lorry", "no decoder for model 'lorry' of 2020; the manifest has"),
        ("x", "haul_truck", "line 1: 'x'"),
        (None, "haul_truck", "cannot be read"),
    ],
)
def test_faults_are_one_line(tmp_path: Path, text: str | None, model: str, words: str) -> None:
    path = tmp_path / "none.log" if text is None else written(tmp_path, text)
    with pytest.raises(UserError) as caught:
        run("decode", str(path), "--model", model, "--year", "2020")
    assert words in (explain(caught.value) or "")


def test_manifest_check(tmp_path: Path) -> None:
    assert "haul_truck@1          j1939  haul_truck 2016- on *: 4 messages, 14 signals" in run(
        "manifest", "check"
    )
    facts = [json.loads(line) for line in run("manifest", "check", "--json").splitlines()]
    assert [one["decoder"] for one in facts] == ["city_van@2", "obd@1", "haul_truck@1", "j1939_standard@1"]
    with pytest.raises(UserError, match="decoders: a list of decoders is wanted"):
        run("manifest", "check", "--manifest", str(written(tmp_path, "version: 1", "m.yaml")))
