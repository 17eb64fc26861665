"""`<home>/stack.env`: the addresses and secrets of a running stack, as the settings read them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from fleetflow.local import airflow, aws, databases, postgres, sftp, worker
from fleetflow.local.state import State, write_private
from fleetflow.partner_load import pgp_variable
from fleetflow.partners import read_pgp_names
from fleetflow.settings import PROJECT_ROOT, Settings, read_env_file

NAMES = {
    "FLEETFLOW_GPS_STREAM": "fleetflow-gps",
    "FLEETFLOW_STATUS_STREAM": "fleetflow-status",
    "FLEETFLOW_TELEMETRY_STREAM": "fleetflow-telemetry",
    "FLEETFLOW_RAW_BUCKET": "fleetflow-raw",
    "FLEETFLOW_REPORT_BUCKET": "fleetflow-reports",
    "FLEETFLOW_LAKE_BUCKET": "fleetflow-lake",
}
ALERT_TOPIC = "fleetflow-alerts"
# Settings of a real account that boto3 would take up beside the stand-in's.
_FOREIGN = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL_KINESIS",
    "AWS_ENDPOINT_URL_S3",
)


def write(state: State, env: Mapping[str, str]) -> dict[str, str]:
    """Write the file for the parts that have a port by now; return its values.

    Names of streams and buckets, and the directory of partner declarations, are those that `env` chooses, else
    those of the last time, else the default ones.
    """
    path = state.home / "stack.env"
    known = {**read_env_file(path), **env}
    partners = Path(known.get("FLEETFLOW_PARTNERS_DIR") or Settings.partners_dir).expanduser().resolve()
    chosen = {**names(known), "FLEETFLOW_PARTNERS_DIR": str(partners)}
    values = {**chosen, **_databases(state), **_aws(state), **_sftp(state, partners), **_rest(state)}
    lines = [
        "# Written by `fleetflow up`; the passwords are of this stack only.",
        *map("=".join, values.items()),
    ]
    write_private(path, "\n".join(lines) + "\n")
    return values


def names(chosen: Mapping[str, str]) -> dict[str, str]:
    """Return the names of streams and buckets: those chosen, else the default ones."""
    return {key: chosen.get(key) or default for key, default in NAMES.items()}


def for_child(home: Path, values: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the stack's own processes: this stack's addresses win over the user's."""
    own = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    path = os.pathsep.join([str(Path(sys.executable).parent), own.get("PATH", os.defpath)])
    modules = os.pathsep.join(filter(None, [str(PROJECT_ROOT), own.get("PYTHONPATH")]))
    extra = {
        "FLEETFLOW_HOME": str(home),
        "PYTHONPATH": modules,
        "PATH": path,
        "PYTHONUNBUFFERED": "1",
    }
    return {**own, **values, **extra}


def _databases(state: State) -> dict[str, str]:
    port = state.ports.get("postgres")
    if port is None:
        return {}
    roles = {role.removeprefix("fleet_").upper(): role for role in databases.WAREHOUSE_ROLES}
    # Migrations create roles and bypass row security, which the superuser of an embedded cluster may.
    roles["OWNER"] = postgres.ADMIN
    return {
        **{
            f"FLEETFLOW_{name}_DSN": databases.uri(port, state.secret, r, "warehouse")
            for name, r in roles.items()
        },
        "FLEETFLOW_ORDERS_DSN": databases.uri(port, state.secret, "orders_owner", "orders"),
        "FLEETFLOW_ORDERS_CDC_DSN": databases.uri(port, state.secret, databases.CDC_ROLE, "orders"),
        "FLEETFLOW_PSEUDONYM_KEY": state.secret("pseudonym"),
    }


def _aws(state: State) -> dict[str, str]:
    port = state.ports.get("aws")
    if port is None:
        return {}
    return {
        "AWS_ENDPOINT_URL": aws.endpoint(port),
        "AWS_REGION": aws.REGION,
        "AWS_DEFAULT_REGION": aws.REGION,
        "AWS_ACCESS_KEY_ID": aws.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": aws.ACCESS_KEY,
        "FLEETFLOW_ALERT_TOPIC_ARN": f"arn:aws:sns:{aws.REGION}:{aws.ACCOUNT}:{ALERT_TOPIC}",
    }


def _sftp(state: State, partners: Path) -> dict[str, str]:
    port = state.ports.get("sftp")
    if port is None:
        return {}
    base = sftp.base(state.home)
    keys = {pgp_variable(name): str(sftp.pgp_key(base, name)) for name in read_pgp_names(partners)}
    return {
        "FLEETFLOW_SFTP_URL": sftp.address(port),
        "FLEETFLOW_SFTP_KEY": str(base / "keys"),
        "FLEETFLOW_SFTP_KNOWN_HOSTS": str(base / "known_hosts"),
        **keys,
    }


def _rest(state: State) -> dict[str, str]:
    values = {}
    if port := state.ports.get("airflow"):
        values["FLEETFLOW_AIRFLOW_URL"] = airflow.address(port)
        values["FLEETFLOW_AIRFLOW_USER"] = airflow.USER
        values["FLEETFLOW_AIRFLOW_PASSWORD"] = state.secret("airflow_admin")
        values["FLEETFLOW_AIRFLOW_METADATA_URI"] = databases.uri(
            state.ports["postgres"], state.secret, "airflow", "airflow"
        )
    if port := state.ports.get("worker"):
        values["FLEETFLOW_WORKER_METRICS_URL"] = worker.metrics(port)
    return values
