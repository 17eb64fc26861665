"""Writes `infra/docker/.env` with generated passwords; never overwrites it.

Call: `python3 infra/docker/make_env.py`. Needs Python 3.11, nothing of the project.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PASSWORDS = (
    "POSTGRES_PASSWORD",
    "FLEETFLOW_LOADER_PASSWORD",
    "FLEETFLOW_TRANSFORMER_PASSWORD",
    "FLEETFLOW_OPS_PASSWORD",
    "FLEETFLOW_ANALYST_PASSWORD",
    "FLEETFLOW_ORDERS_PASSWORD",
    "FLEETFLOW_CDC_PASSWORD",
    "FLEETFLOW_PSEUDONYM_KEY",
    "AIRFLOW_DB_PASSWORD",
    "AIRFLOW_ADMIN_PASSWORD",
    "AIRFLOW_SESSION_KEY",
    "AIRFLOW_JWT_SECRET",
)


def main(directory: Path = HERE) -> None:
    """Write the file, or say that it is there."""
    path = directory / ".env"
    if path.exists():
        sys.exit(
            f"{path} is there already; remove it for new passwords (and the volumes that hold the old ones)"
        )
    # Letters and digits only: they stand in addresses.
    values = {name: secrets.token_hex(24) for name in PASSWORDS}
    values["AIRFLOW_FERNET_KEY"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in values.items())
    sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
