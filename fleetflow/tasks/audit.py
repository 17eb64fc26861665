"""What the DAG of the nightly checks calls of the audit."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

Report = dict[str, Any]

DAYS = 2
"""How far back a night looks: a night that was lost is made up for."""
SUNDAY = 7
_NAMED = 5


def verify_chains(day: str) -> Report:
    """Verify the audit on the night of a day (ISO, UTC): the chains added to since two days before; on Sundays all.

    Raises:
        ChecksFailedError: a chain is not as it was recorded; the message names the first of them.
    """
    from fleetflow.audit import Scope, verify
    from fleetflow.orchestration import ChecksFailedError
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    night = date.fromisoformat(day)
    since = None if night.isoweekday() == SUNDAY else night - timedelta(days=DAYS)
    with connect(load_settings().dsn("ops"), autocommit=True) as conn:
        found = verify(conn, Scope(since=since))
    if found.findings:
        named = "; ".join(str(finding) for finding in found.findings[:_NAMED])
        raise ChecksFailedError(
            f"the audit is not as it was recorded, {len(found.findings)} of {found.chains} chains: {named}"
        )
    return {
        "since": None if since is None else since.isoformat(),
        "chains": found.chains,
        "entries": found.entries,
    }
