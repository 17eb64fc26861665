"""Prepares the order database that stands in for the company's, and Airflow's login.

Safe to repeat. On AWS neither is needed: the order database is there, and Airflow has its own authentication.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from fleetflow.local.databases import CDC_ROLE
from fleetflow.migrations import apply
from fleetflow.runtime import connect
from fleetflow.settings import PROJECT_ROOT, load_settings
from ingestion.cdc import prepare


def main() -> None:
    """Create the order database's tables, publish them for CDC, and write Airflow's password file."""
    orders = load_settings().orders_dsn.reveal()
    apply(orders, PROJECT_ROOT / "sql" / "orders")
    with connect(orders) as owner:
        prepare(owner, CDC_ROLE)
    write_login(Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]))


def write_login(path: Path) -> None:
    """Write the administrator's password where Airflow's simple login reads it, for our user only."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]}))


if __name__ == "__main__":
    main()
