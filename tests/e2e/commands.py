"""Runs the program as a user does, in a process of its own, on a stack of a test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from fleetflow.settings import PROJECT_ROOT, Settings


def shared_data(name: str) -> Path | None:
    """Find a real data set that lies beside the project, where there is one."""
    place = Path(os.environ.get("FLEETFLOW_SHARED") or PROJECT_ROOT.parent / "shared") / "data" / name
    return place if place.exists() else None


def fleetflow(settings: Settings, *words: str, env: Mapping[str, str] | None = None, fine: int = 0) -> str:
    """Run one command and return what it printed; its exit status must be `fine`."""
    done = subprocess.run(
        [sys.executable, "-c", "from fleetflow.cli import main; main()", *words],
        env={**os.environ, "FLEETFLOW_HOME": str(settings.home), **(env or {})},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == fine, f"{' '.join(words)}: {done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    return done.stdout


def rows(settings: Settings, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Query the warehouse as its owner."""
    with psycopg.connect(settings.dsn("owner"), autocommit=True) as conn:
        return conn.execute(query.encode(), parameters).fetchall()


MARTS = (
    "dim_driver", "dim_site", "dim_vehicle", "fct_shipment", "fct_shipment_sla", "fct_delivery_exception",
    "fct_on_time_daily",
)  # fmt: skip


def marts(settings: Settings, tables: Sequence[str] = MARTS) -> dict[str, list[str]]:
    """Return every row of the marts as text, sorted, at one moment for what depends on now."""
    with psycopg.connect(settings.dsn("owner"), autocommit=True) as conn:
        conn.execute("set fleetflow.as_of = '2026-01-01 06:00+00'")
        return {
            table: sorted(row[0] for row in conn.execute(f"select t::text from marts.{table} as t".encode()))
            for table in tables
        }
