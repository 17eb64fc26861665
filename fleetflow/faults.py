"""Turns faults that a user can mend into one line; anything else stays a traceback."""

from __future__ import annotations

import botocore.exceptions
import psycopg

from fleetflow.settings import SettingsError


class UserError(Exception):
    """A fault of the call, not of the program; the message says what to do."""


def explain(fault: Exception) -> str | None:
    """Return one line for a fault that the user can mend, None for a defect of ours."""
    match fault:
        case UserError() | SettingsError():
            return str(fault)
        case psycopg.OperationalError():
            reason = str(fault).strip().splitlines()[-1]
            return f"Postgres cannot be used: {reason} (is the stack up? `fleetflow status`)"
        case botocore.exceptions.EndpointConnectionError():
            return f"AWS cannot be reached: {fault} (is the stack up? `fleetflow status`)"
        case botocore.exceptions.ClientError():
            return f"AWS refused: {fault}"
        case botocore.exceptions.NoCredentialsError():
            return "AWS credentials are missing: set AWS_ACCESS_KEY_ID or use a role"
    return None
