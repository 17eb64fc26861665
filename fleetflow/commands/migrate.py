"""`fleetflow migrate`: bring the warehouse's tables up to date.

Runs as the warehouse's owner. Safe to repeat, and safe to run twice at once. The order database is the
company's: it is not touched here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from fleetflow.faults import UserError
from fleetflow.settings import PROJECT_ROOT, Settings, load_settings

if TYPE_CHECKING:
    from fleetflow.runtime import Connection

MIGRATIONS = PROJECT_ROOT / "sql" / "migrations"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("migrate", help="Apply the warehouse's migrations and set the pseudonym key.")(_migrate)


def _migrate(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    report = migrate(load_settings())
    typer.echo(json.dumps(report) if as_json else _sentence(report))


def migrate(settings: Settings) -> dict[str, object]:
    """Apply what is missing and set the pseudonym key; return `applied`, `version` and `pseudonym_key`.

    `pseudonym_key` is `set` when this call stored it, `kept` when the same one was there.

    Raises:
        UserError: a migration was edited after it ran, the owner lacks a right, or the key is another one.
        SettingsError: the owner's address or the pseudonym key is not set.
    """
    import psycopg

    from fleetflow.migrations import MigrationError, apply, read_migrations
    from fleetflow.runtime import connect

    _require_key(settings)
    owner = settings.dsn("owner")
    try:
        applied = apply(owner, MIGRATIONS)
        with connect(owner) as conn:
            key = _set_key(conn, settings.pseudonym_key.reveal())
        version = read_migrations(MIGRATIONS)[-1].version
    except MigrationError as fault:
        raise UserError(str(fault)) from fault
    except psycopg.errors.InsufficientPrivilege as fault:
        raise UserError(
            f"the owner in FLEETFLOW_OWNER_DSN may not migrate: {fault.diag.message_primary}"
        ) from fault
    return {"applied": applied, "version": version, "pseudonym_key": key}


def _require_key(settings: Settings) -> None:
    if len(settings.pseudonym_key) < 32:
        raise UserError(
            "FLEETFLOW_PSEUDONYM_KEY needs at least 32 characters: pseudonyms could be guessed otherwise"
        )


def _set_key(conn: Connection, key: str) -> str:
    # Another key would give every driver a second pseudonym, so a difference is an error and not an update.
    stored = conn.execute("select count(*) from vault.pseudonym_key").fetchone()
    conn.execute("call ops.set_pseudonym_key(%s)", (key,))
    same = conn.execute(
        "select inner_pad = vault.pad(convert_to(%s, 'UTF8'), 54) from vault.pseudonym_key where retired_at is null",
        (key,),
    ).fetchone()
    if same is None or not same[0]:
        raise UserError(
            "FLEETFLOW_PSEUDONYM_KEY is not the key that this warehouse uses; if it is meant to become it, run"
            " `fleetflow privacy rotate-key`"
        )
    return "kept" if stored and stored[0] else "set"


def _sentence(report: dict[str, object]) -> str:
    applied = report["applied"]
    assert isinstance(applied, list)
    lines = [f"applied {name}" for name in applied] or [f"up to date at version {report['version']:04d}"]
    return "\n".join([*lines, f"pseudonym key {report['pseudonym_key']}"])
