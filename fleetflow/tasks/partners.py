"""What the DAGs of partners call: one look at a partner's directory, one load of what is whole there, what is missing.

Light to import; return values are counts and names. Nothing here decides about a file: `ingestion.partners` does.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fleetflow.settings import SettingsError

if TYPE_CHECKING:
    from fleetflow.settings import Settings
    from ingestion.partners.declare.declaration import Declaration
    from ingestion.partners.fetch.arrival import Look, Sighting
    from ingestion.partners.fetch.place import RemoteFile
    from ingestion.partners.ledger import PartnerFile

Report = dict[str, Any]

_NAMES_SHOWN = 20

log = logging.getLogger("fleetflow.partners")


class PartnerFaultError(RuntimeError):
    """A partner's files cannot be got at before somebody mends declaration, settings or key; the message says which."""


class UnfinishedError(RuntimeError):
    """A load could not bring files to their end; the message names each, and why."""


def wait_until(partner: str, due: datetime, *, scheduled: bool) -> datetime | None:
    """Return until when a run that was due then waits for files; None where it waits for none.

    A scheduled run waits for its expected delivery until the grace has passed, and not at all on a day on which
    none is expected; one that was triggered waits as long from when it was.

    Raises:
        PartnerFaultError: there is no such partner, or its declaration has faults.
    """
    from ingestion.partners.fetch.arrival import expected_at

    arrival = _declared(partner)[1].arrival
    if arrival is None:
        return None
    if scheduled and not expected_at(_declared(partner)[1], due, due + timedelta(minutes=1)):
        return None
    return due + arrival.grace


def is_owed(partner: str, due: datetime) -> bool:
    """Tell whether the delivery that was expected at this moment is still to come: no file of it came to its end.

    Raises:
        PartnerFaultError: there is no such partner, or its declaration has faults.
    """
    from fleetflow.runtime import connect
    from ingestion.partners.fetch.arrival import expected_at
    from ingestion.partners.ledger import find_files
    from ingestion.partners.states import ENDED

    settings, declaration = _declared(partner)
    expected = expected_at(declaration, due, due + timedelta(minutes=1))
    if not expected:
        return False
    with connect(settings.dsn("loader"), autocommit=True) as conn:
        query = "select watched_from <= %s from ops.partner_watch where partner = %s"
        watched = conn.execute(query, (expected[0], partner)).fetchone()
        files = find_files(conn, partner)
    if watched is None or not watched[0]:
        return False  # what was due before anybody looked is nobody's debt
    return not any(file.expected_at == expected[0] and file.state in ENDED for file in files)


async def look_for_files(partner: str, looks: Mapping[str, Look]) -> tuple[list[str], dict[str, Look]]:
    """Look once at a partner's directory; return the names that a load would take now, and what this look found.

    `looks` is what the look before found. Files that were taken before, as they are, do not count.

    Raises:
        PartnerFaultError: declaration, settings, key or host key are not right.
        ConnectionFault: the server cannot be reached now.
    """
    from fleetflow.partners import address_of
    from ingestion.partners.fetch.arrival import Stage, judge
    from ingestion.partners.fetch.place import AccessFault
    from ingestion.partners.fetch.session import Session

    settings, declaration = await asyncio.to_thread(_declared, partner)
    try:
        async with Session(address_of(settings, declaration), declaration.directory) as session:
            listing = await session.list("*")
    except (AccessFault, SettingsError) as fault:
        raise PartnerFaultError(str(fault)) from fault
    ready = [one for one in judge(listing, declaration, looks) if one.stage is not Stage.WAITING]
    new = await asyncio.to_thread(_leave_out_taken, settings, declaration, ready) if ready else []
    return new, {file.name: (file.size, file.modified_at) for file in listing}


def load_partner(partner: str) -> Report:
    """Load what is whole in a partner's directory now; return how many files became what.

    Raises:
        PartnerFaultError: declaration, settings, key or host key are not right.
        UnfinishedError: some files could not be brought to their end; the next try goes on with them.
        ConnectionFault: the server cannot be reached, also after a few tries.
        PartnerBusyError: another load of the partner is at work.
    """
    from fleetflow.partner_load import load_settled, unfinished
    from ingestion.partners.fetch.place import AccessFault

    settings, declaration = _declared(partner)
    try:
        outcomes = load_settled(settings, declaration)
    except (AccessFault, SettingsError) as fault:
        raise PartnerFaultError(str(fault)) from fault
    if faults := [f"{one.name}: {one.fault}" for one in unfinished(outcomes)]:
        raise UnfinishedError("; ".join(faults[:_NAMES_SHOWN]))
    return _counts([one.file for one in outcomes])


def add_reports(before: Report | None, later: Report) -> Report:
    """Return the counts of two loads of one run as one."""
    if before is None:
        return later
    ended = Counter(
        {state: n for state, n in before["files"].items() if state not in ("seen", "whole", "missing")}
    )
    counts = {name: before[name] + later[name] for name in ("lines", "accepted", "rejected")}
    held = [*before["held_or_refused"], *later["held_or_refused"]]
    return {"files": dict(ended + Counter(later["files"])), **counts, "held_or_refused": held[:_NAMES_SHOWN]}


def report_missing(partner: str) -> Report:
    """Enter what was expected of a partner and did not come; return how many deliveries are missing now.

    The health check alerts on each (`partner_file_missing`).

    Raises:
        PartnerFaultError: there is no such partner, or its declaration has faults.
    """
    from fleetflow.runtime import connect
    from ingestion.partners.fetch.schedule import look, note_missing

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
    from ingestion.partners.ledger import find_files
    from ingestion.partners.states import ENDED

    with connect(settings.dsn("loader"), autocommit=True) as conn:
        ended = [file for file in find_files(conn, declaration.name) if file.state in ENDED]
    known = {(file.name, file.size_bytes, file.modified_at): file for file in ended}
    found = ((one.file, known.get((one.file.name, one.file.size, one.file.modified_at))) for one in ready)
    return sorted(listed.name for listed, file in found if file is None or not _is_taken(file, listed))


def _is_taken(file: PartnerFile, listed: RemoteFile) -> bool:
    """Whether a load would leave it as it is: what was read is what is listed, or it was refused unread."""
    from ingestion.partners.intake import GONE

    return file.is_current(listed) if file.sha256 else file.cause != GONE


def _counts(files: Sequence[PartnerFile]) -> Report:
    loaded = [file for file in files if file.state == "loaded"]
    held = [file.name for file in files if file.state in ("held", "refused")]
    return {
        "files": dict(Counter(str(file.state) for file in files)),
        "lines": sum(file.lines or 0 for file in loaded),
        "accepted": sum(file.accepted or 0 for file in loaded),
        "rejected": sum(file.rejected or 0 for file in loaded),
        "held_or_refused": held[:_NAMES_SHOWN],
    }
