"""What maintain__airflow__daily calls: Airflow's own history, dropped past its days by Airflow's own command.

Tasks are kept from Airflow's metadata database. The command runs in a process of its own, on the address that the
settings name for this alone.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

Report = dict[str, Any]

ADDRESS = "FLEETFLOW_AIRFLOW_METADATA_URI"
BATCH_ROWS = 10_000
_TOLD = 2_000

log = logging.getLogger("fleetflow.tasks.airflow_history")


class CleaningError(RuntimeError):
    """Airflow's command failed; the message is the end of what it said."""


def clean_history(keep_days: int, now: datetime | None = None) -> Report | None:
    """Delete runs, task instances, XComs, log entries and jobs of before `keep_days` days; None without an address.

    A DAG's newest run stays, however old, for its schedule goes on from it. Safe to repeat and to kill.

    Raises:
        CleaningError: some table could not be cleaned.
    """
    from fleetflow.settings import load_settings

    settings = load_settings()
    if settings.airflow_metadata_uri is None:
        return None
    address = settings.airflow_metadata_uri.reveal()
    before = (now or datetime.now(UTC)) - timedelta(days=keep_days)
    command = ["db", "clean", "--clean-before-timestamp", before.isoformat(timespec="seconds"), "--yes"]
    options = ["--skip-archive", "--batch-size", str(BATCH_ROWS), "--error-on-cleanup-failure"]
    uri = address.replace("postgresql://", "postgresql+psycopg2://", 1)
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *command, *options],
        env={
            **os.environ,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": uri,
            "AIRFLOW__CORE__SQL_ALCHEMY_CONN": uri,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    said = (done.stdout + done.stderr).replace(address, "***").replace(uri, "***")
    log.info("%s", said)
    if done.returncode:
        raise CleaningError(said[-_TOLD:])
    return {"before": before.isoformat(timespec="seconds")}
