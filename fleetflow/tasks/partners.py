"""What the DAGs of partners call: one look at a partner's directory, one load of what is whole there, what is missing.

Light to import; return values are counts and names. Nothing here decides about a file: `ingestion.partners` does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fleetflow.settings import Settings
    from ingestion.partners.arrival import Look, Sighting
    from ingestion.partners.declaration import Declaration
    from ingestion.partners.load import FileOutcome

Report = dict[str, Any]

# Longer than the whole seconds in which servers tell the time of change.
SETTLE_S = 3.0
_NAMES_SHOWN = 20

log = logging.getLogger("fleetflow.partners")


class PartnerFaultError(RuntimeError):
    """A partner's files cannot be got at before somebody mends declaration, settings or key; the message says which."""


def wait_until(partner: str, due: datetime, *, scheduled: bool) -> datetime | None:
    """Return until when a run that was due then waits for files; None where it waits for none.

    A scheduled run waits for its expected delivery until the grace has passed, and not at all on a day on which
    none is expected; one that was triggered waits as long from when it was.

    Raises:
        PartnerFaultError: there is no such partner, or its declaration has faults.
    """
    from ingestion.partners.arrival import expected_at

    arrival = _declared(partner)[1].arrival
    if arrival is None:
        return None
    if scheduled and not expected_at(_declared(partner)[1], due, due + timedelta(minutes=1)):
        return None
    return due + arrival.grace


async def look_for_files(partner: str, looks: Mapping[str, Look]) -> tuple[list[str], dict[str, Look]]:
    """Look once at a partner's directory; return the names that a load would take now, and what this look found.

    `looks` is what the look before found. Files that were taken before, as they are, do not count.

    Raises:
        PartnerFaultError: declaration, settings, key or host key are not right.
        ConnectionFault: the server cannot be reached now.
    """
    from fleetflow.partners import address_of
    from ingestion.partners.arrival import Stage, judge
    from ingestion.partners.place import AccessFault
    from ingestion.partners.session import Session

    settings, declaration = await asyncio.to_thread(_declared, partner)
    try:
        async with Session(address_of(settings, declaration), declaration.directory) as session:
            listing = await session.list("*")
    except (AccessFault, ValueError) as fault:
        raise PartnerFaultError(str(fault)) from fault
    ready = [one for one in judge(listing, declaration, looks) if one.stage is not Stage.WAITING]
    new = await asyncio.to_thread(_leave_out_taken, settings, declaration, ready) if ready else []
    return new, {file.name: (file.size, file.modified_at) for file in listing}


def load_partner(partner: str) -> Report:
    """Load what is whole in a partner's directory now; return how many files became what.

    Where the declaration wants two looks, the second follows after three seconds.

    Raises:
        PartnerFaultError: declaration, settings, key or host key are not right.
        ConnectionFault: the server cannot be reached, also after a few tries.
    """
    from ingestion.partners.place import AccessFault

    settings, declaration = _declared(partner)
    try:
        outcomes = _load(settings, declaration)
        if (declaration.completeness.stable or declaration.completeness.trailer) and _waiting(outcomes):
            time.sleep(SETTLE_S)
            outcomes = [one for one in outcomes if one not in _waiting(outcomes)] + _load(
                settings, declaration
            )
    except (AccessFault, ValueError) as fault:
        raise PartnerFaultError(str(fault)) from fault
    return _counts(outcomes)


def report_missing(partner: str) -> Report:
    """Enter what was expected of a partner and did not come; return how many deliveries are missing now.

    The health check alerts on each (`partner_file_missing`).

    Raises:
        PartnerFaultError: there is no such partner, or its declaration has faults.
    """
    from fleetflow.runtime import connect
    from ingestion.partners.schedule import look, note_missing

    settings, declaration = _declared(partner)
    now = datetime.now(UTC)
    with connect(settings.dsn("loader"), autocommit=True) as conn:
        missing = note_missing(conn, declaration, look(conn, declaration, now), now)
    for file in missing:
        log.warning("%s: %s", partner, file.reason)
    expected = sorted(file.expected_at for file in missing if file.expected_at)
    return {"missing": len(missing), "expected_at": [at.isoformat() for at in expected[-_NAMES_SHOWN:]]}


def _declared(partner: str) -> tuple[Settings, Declaration]:
    from fleetflow.partners import read_partner
    from fleetflow.settings import load_settings

    try:
        settings = load_settings()
        return settings, read_partner(settings, partner)
    except ValueError as fault:  # SettingsError, DeclarationError
        raise PartnerFaultError(str(fault)) from fault


def _leave_out_taken(settings: Settings, declaration: Declaration, ready: Sequence[Sighting]) -> list[str]:
    from fleetflow.runtime import connect
    from ingestion.partners.arrival import Stage
    from ingestion.partners.ledger import find_files
    from ingestion.partners.states import ENDED

    with connect(settings.dsn("loader"), autocommit=True) as conn:
        ended = [file for file in find_files(conn, declaration.name) if file.state in ENDED]
    taken = {(file.name, file.size_bytes, file.modified_at): file for file in ended}
    new = []
    for one in ready:
        known = taken.get((one.file.name, one.file.size, one.file.modified_at))
        if known is None or (one.stage is Stage.WHOLE and not known.is_current(one.file)):
            new.append(one.file.name)
    return sorted(new)


def _load(settings: Settings, declaration: Declaration) -> list[FileOutcome]:
    from fleetflow.partner_load import load

    return load(settings, declaration)


def _waiting(outcomes: Sequence[FileOutcome]) -> list[FileOutcome]:
    return [one for one in outcomes if one.state == "seen"]


def _counts(outcomes: Sequence[FileOutcome]) -> Report:
    held = [one.name for one in outcomes if one.state in ("held", "refused")]
    return {
        "files": dict(Counter(str(one.state) for one in outcomes)),
        "lines": sum(one.file.lines or 0 for one in outcomes),
        "accepted": sum(one.file.accepted or 0 for one in outcomes),
        "rejected": sum(one.file.rejected or 0 for one in outcomes),
        "held_or_refused": held[:_NAMES_SHOWN],
    }
