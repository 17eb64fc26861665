"""Puts a partner's load together from the settings, and what people decide about single files.

PGP keys are named by a declaration and lie in the environment (filled from Secrets Manager on AWS): for a key
`fleet` that is FLEETFLOW_PGP_FLEET, a path or the armoured key itself, and FLEETFLOW_PGP_FLEET_PASSWORD.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fleetflow.faults import UserError
from fleetflow.settings import Settings, SettingsError

if TYPE_CHECKING:
    from fleetflow.runtime import Connection
    from ingestion.partners.declare.declaration import Declaration
    from ingestion.partners.ledger import PartnerFile
    from ingestion.partners.load import FileOutcome
    from ingestion.partners.rows.parse import PgpKeys

# Longer than the whole seconds in which servers tell the time of change.
SETTLE_S = 3.0
_ARMOUR = "-----BEGIN PGP"


def load(
    settings: Settings,
    declaration: Declaration,
    *,
    step: Callable[[str], None] = lambda _: None,
    scratch: Path | None = None,
) -> list[FileOutcome]:
    """Load what is whole in a partner's directory now, and finish what a load before left half done.

    Raises:
        PartnerBusyError: another load of the partner is at work.
        RemoteFault: the partner's server cannot be reached, or does not let us in.
        SettingsError: the settings do not say where it is, or lack a PGP key.
    """
    from fleetflow.partners import open_remote
    from fleetflow.runtime import client, connect
    from ingestion.landing.ledger import Ledger
    from ingestion.landing.raw_object import put_object
    from ingestion.partners.archive import Archive
    from ingestion.partners.load import LoadTools, load_partner

    s3, dsn = client(settings, "s3"), settings.dsn("loader")
    keys, remote = pgp_keys(settings, declaration), open_remote(settings, declaration)
    with ExitStack() as stack:
        root = scratch or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleetflow-partner-")))
        tools = LoadTools(
            connect=lambda: remote,
            ledger=stack.enter_context(closing(Ledger(dsn))),
            conn=stack.enter_context(connect(dsn, autocommit=True)),
            put_object=lambda key, body: put_object(s3, settings.raw_bucket, key, body),
            archive=Archive(s3, settings.raw_bucket),
            scratch=root,
            worker=f"{socket.gethostname()}-{os.getpid()}",
            clock=lambda: datetime.now(UTC),
            keys=keys,
            step=step,
        )
        return load_partner(declaration, tools)


def load_settled(settings: Settings, declaration: Declaration) -> list[FileOutcome]:
    """Load what is there; where files wait for a second look only, look again after three seconds.

    Raises:
        PartnerBusyError, RemoteFault, SettingsError: as `load`.
    """
    outcomes = load(settings, declaration)
    rules = declaration.completeness
    if not (rules.stable or rules.trailer) or not any(one.state == "seen" for one in outcomes):
        return outcomes
    time.sleep(SETTLE_S)
    later = {one.file.file_id: one for one in load(settings, declaration)}
    return list(({one.file.file_id: one for one in outcomes} | later).values())


def pgp_keys(settings: Settings, declaration: Declaration) -> PgpKeys | None:
    """Return the keys that a declaration names; None where it names none.

    Raises:
        SettingsError: a key is not set or cannot be read.
    """
    from ingestion.partners.rows.parse import PgpKeys

    pgp = declaration.pgp
    if pgp is None:
        return None
    secret = _key(settings, pgp.key)
    password = settings.environment.get(pgp_variable(pgp.key) + "_PASSWORD")
    return PgpKeys(secret, password, tuple(_key(settings, name) for name in pgp.signers))


def pgp_variable(name: str) -> str:
    """Return the name of the setting that holds a PGP key."""
    return "FLEETFLOW_PGP_" + "".join(char if char.isalnum() else "_" for char in name).upper()


def _key(settings: Settings, name: str) -> bytes:
    variable = pgp_variable(name)
    value = settings.environment.get(variable)
    if not value:
        raise SettingsError(f"{variable} is not set: the PGP key {name!r}, as a path or as armoured text")
    if value.startswith(_ARMOUR):
        return value.encode()
    try:
        return Path(value).read_bytes()
    except OSError as fault:
        raise SettingsError(f"{variable}={value!r} cannot be read: {fault.strerror}") from fault


def approve(conn: Connection, file_id: int, by: str, now: datetime) -> PartnerFile:
    """Let a held file, and the schema it came in, go on: the next load takes it from the archive.

    Raises:
        UserError: there is no such file, it is not held, or a later one took its place.
    """
    from ingestion.partners.ledger import find_successor, move
    from ingestion.partners.schemas import approve_schema
    from ingestion.partners.states import State

    file = _found(conn, file_id)
    if file.state is not State.HELD:
        hint = f"; `fleetflow partner retry {file_id}` tries it again" if file.state is State.REFUSED else ""
        raise UserError(
            f"file {file_id} ({file.name}) is {file.state}, only a held file can be approved{hint}"
        )
    later = find_successor(conn, file)
    if later is not None:
        raise UserError(
            f"file {file_id} ({file.name}) was followed by file {later.file_id}, which is loaded: it stays held"
        )
    with conn.transaction():
        if file.schema_version is not None:
            approve_schema(conn, file.partner, file.schema_version)
        return move(conn, file, State.WHOLE, approved_by=by, approved_at=now)


def retry(conn: Connection, file_id: int) -> PartnerFile:
    """Let the next load try a refused file again, from the archive, after its declaration or a key was mended.

    Raises:
        UserError: there is no such file, it is not refused, or its bytes were never fetched.
    """
    from ingestion.partners.ledger import move
    from ingestion.partners.states import State

    file = _found(conn, file_id)
    if file.state is not State.REFUSED:
        raise UserError(
            f"file {file_id} ({file.name}) is {file.state}, only a refused file can be tried again"
        )
    if file.sha256 is None:
        raise UserError(f"file {file_id} ({file.name}) was never fetched: {file.reason}")
    return move(conn, file, State.WHOLE)


def _found(conn: Connection, file_id: int) -> PartnerFile:
    from ingestion.partners.ledger import read_file

    file = read_file(conn, file_id)
    if file is None:
        raise UserError(f"there is no partner file {file_id}; `fleetflow partner files` lists them")
    return file


def unfinished(outcomes: Sequence[FileOutcome]) -> list[FileOutcome]:
    """Return the files that a load could not bring to their end."""
    return [one for one in outcomes if one.fault is not None]
