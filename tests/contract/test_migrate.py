"""`fleetflow migrate` on a real database: what it applies, what it refuses."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import threading
from pathlib import Path

import psycopg
import pytest
import typer
from typer.testing import CliRunner

from fleetflow.commands import migrate as command
from fleetflow.faults import UserError
from fleetflow.migrations import read_migrations
from fleetflow.settings import Settings, load_settings

KEY = "0123456789abcdef0123456789abcdef"
NAMES = [migration.path.name for migration in read_migrations(command.MIGRATIONS)]


def settings_for(dsn: str, home: Path, key: str = KEY) -> Settings:
    return load_settings(home, environment(dsn, key))


def environment(dsn: str, key: str = KEY) -> dict[str, str]:
    addresses = {f"FLEETFLOW_{name}_DSN": dsn for name in ("OWNER", "LOADER", "ORDERS", "ORDERS_CDC")}
    return {**addresses, "FLEETFLOW_PSEUDONYM_KEY": key}


def test_applies_all_then_nothing(empty_database: str, tmp_path: Path) -> None:
    settings = settings_for(empty_database, tmp_path)
    first, second = command.migrate(settings), command.migrate(settings)
    assert first == {"applied": NAMES, "version": len(NAMES), "pseudonym_key": "set"}
    assert second == {"applied": [], "version": len(NAMES), "pseudonym_key": "kept"}


def test_pseudonym_is_the_hmac_of_tenant_and_identifier(empty_database: str, tmp_path: Path) -> None:
    command.migrate(settings_for(empty_database, tmp_path))
    with psycopg.connect(empty_database) as conn:
        row = conn.execute("select ops.pseudonym('acme', 'drv-1')").fetchone()
    assert row == (hmac.new(KEY.encode(), b"acme\x1fdrv-1", hashlib.sha256).hexdigest()[:24],)


def test_another_key_is_refused(empty_database: str, tmp_path: Path) -> None:
    command.migrate(settings_for(empty_database, tmp_path))
    with pytest.raises(UserError, match="FLEETFLOW_PSEUDONYM_KEY is not the key"):
        command.migrate(settings_for(empty_database, tmp_path, key=KEY[::-1]))


def test_short_key_is_refused_before_anything_runs(empty_database: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 32 characters"):
        command.migrate(settings_for(empty_database, tmp_path, key="short"))
    with psycopg.connect(empty_database) as conn:
        assert conn.execute("select to_regclass('public.schema_migration')").fetchone() == (None,)


def test_edited_migration_is_refused(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "migrations"
    shutil.copytree(command.MIGRATIONS, copied)
    monkeypatch.setattr(command, "MIGRATIONS", copied)
    settings = settings_for(empty_database, tmp_path)
    command.migrate(settings)
    with (copied / NAMES[1]).open("a") as file:
        file.write("-- one more thought\n")
    with pytest.raises(UserError, match=f"{NAMES[1]} was edited after it ran"):
        command.migrate(settings)


def test_failed_migration_leaves_nothing_of_itself(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "migrations"
    directory.mkdir()
    (directory / "0001_create_one.sql").write_text("create table one (n int);")
    (directory / "0002_create_two.sql").write_text("create table two (n int); select 1 / 0;")
    monkeypatch.setattr(command, "MIGRATIONS", directory)
    with pytest.raises(psycopg.errors.DivisionByZero):
        command.migrate(settings_for(empty_database, tmp_path))
    with psycopg.connect(empty_database) as conn:
        assert conn.execute("select to_regclass('one')::text, to_regclass('two')::text").fetchone() == (
            "one",
            None,
        )
        assert conn.execute("select version from public.schema_migration").fetchall() == [(1,)]


def test_two_at_once_apply_each_file_once(empty_database: str, tmp_path: Path) -> None:
    settings = settings_for(empty_database, tmp_path)
    reports: list[dict[str, object]] = []
    runs = [threading.Thread(target=lambda: reports.append(command.migrate(settings))) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(len(report["applied"]) for report in reports) == [0, len(NAMES)]  # type: ignore[arg-type]


def test_command_prints_one_json_object(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**environment(empty_database), "FLEETFLOW_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    result = CliRunner().invoke(app, ["migrate", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["applied"]) == (0, NAMES)
    again = CliRunner().invoke(app, ["migrate"])
    assert again.stdout == f"up to date at version {len(NAMES):04d}\npseudonym key kept\n"
    assert KEY not in result.output + again.output
