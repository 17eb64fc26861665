"""Applies ordered SQL files to a database, once each, and refuses a file that changed after it ran.

Reads `NNNN_<verb>_<noun>.sql`; writes `public.schema_migration` (version, name, sha256, applied_at).
Each file is one transaction; two runners at once are kept apart by an advisory lock.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_LOCK = 7_305_412


class MigrationError(RuntimeError):
    """A migration file is out of order, misnamed, or was edited after it ran."""


@dataclass(frozen=True)
class Migration:
    """One SQL file and the hash of its text."""

    version: int
    path: Path

    @property
    def text(self) -> str:
        """The file's SQL."""
        return self.path.read_text()

    @property
    def sha256(self) -> str:
        """Hash of the file, stored when it runs."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def read_migrations(directory: Path) -> list[Migration]:
    """Return the directory's migrations in order.

    Raises:
        MigrationError: a name has another shape, or a version is missing or taken twice.
    """
    found = []
    for path in sorted(directory.glob("*.sql")):
        if not (match := _NAME.match(path.name)):
            raise MigrationError(f"{path.name}: expected NNNN_<verb>_<noun>.sql")
        found.append(Migration(int(match[1]), path))
    versions = [migration.version for migration in found]
    if versions != list(range(1, len(found) + 1)):
        raise MigrationError(f"{directory}: versions {versions} are not 1..{len(found)} without a gap")
    return found


def apply(dsn: str, directory: Path) -> list[str]:
    """Bring the database up to date; return the names of the files that ran now.

    Raises:
        MigrationError: a file that ran before has another content now.
    """
    with psycopg.connect(dsn, autocommit=True, options="-c timezone=UTC") as conn:
        conn.execute("select pg_advisory_lock(%s)", (_LOCK,))
        conn.execute(
            "create table if not exists public.schema_migration (version int primary key, name text not null,"
            " sha256 text not null, applied_at timestamptz not null default now())"
        )
        ran = conn.execute("select version, sha256 from public.schema_migration").fetchall()
        known: dict[int, str] = dict(ran)
        return [m.path.name for m in read_migrations(directory) if _run(conn, m, known.get(m.version))]


def _run(conn: psycopg.Connection[tuple[Any, ...]], migration: Migration, known: str | None) -> bool:
    if known == migration.sha256:
        return False
    if known is not None:
        raise MigrationError(f"{migration.path.name} was edited after it ran; write a new migration instead")
    with conn.transaction():
        conn.execute(migration.text.encode())
        conn.execute(
            "insert into public.schema_migration (version, name, sha256) values (%s, %s, %s)",
            (migration.version, migration.path.name, migration.sha256),
        )
    return True
