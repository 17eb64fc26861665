"""What the probes need is loaded before anybody is given a time to answer in."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from pathlib import Path
from fleetflow.monitoring import measure, probes
from fleetflow.settings import load_settings

loaded = []
settings = load_settings(Path("/nowhere"), {"FLEETFLOW_ORDERS_CDC_DSN": "postgresql://u@127.0.0.1:1/o"})
measure.PROBES = {"disk": lambda _: loaded.extend({"boto3", "ingestion.cdc.pull"} & set(sys.modules)) or {}}
print("before", {"boto3", "ingestion.cdc.pull"} & set(sys.modules))
measure.take_look(settings, deadline_s=0.5)
print("then", sorted(loaded))
"""


def test_imports_come_before_the_clock_and_not_with_the_module() -> None:
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["before set()", "then ['boto3', 'ingestion.cdc.pull']"]
