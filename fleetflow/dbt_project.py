"""Runs the dbt project in this process. The only module that knows dbt.

Reads the transformer's DSN; hands it to dbt by environment variables while it runs, and takes them back
afterwards. Session settings (run id, memory) go by PGOPTIONS, so that compiled models are equal for every
run. The comment of schema `staging` holds which project files the warehouse was built with: seeds and views
are remade when they change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from fleetflow.runtime import connect
from fleetflow.settings import PROJECT_ROOT, Settings

PROJECT = PROJECT_ROOT / "dbt"
_FILES = ("dbt_project.yml", "macros/**/*", "models/**/*", "seeds/**/*")
_VIEWS = "config.materialized:view"
_OF_VEHICLES = "tag:vehicles"
# The models of each pipeline of the ledger, without the views, which stay as they are.
_TABLES = {
    "shipments": ("--exclude", _VIEWS, _OF_VEHICLES),
    "vehicles": ("--select", _OF_VEHICLES, "--exclude", _VIEWS),
}
# A full refresh drops the tables with every view on them, which have to be made again too, wherever they are.
_REMADE = ("--select", _OF_VEHICLES, f"{_OF_VEHICLES}+,{_VIEWS}", "--full-refresh")
# Whoever remakes views and seeds is alone in the project; runs of the pipelines stand side by side.
_PROJECT_LOCK = 0x6462740A
_RESULTS = {"LogModelResult", "LogSeedResult", "LogSnapshotResult"}
_LOCK = threading.Lock()

SESSION = {
    "timezone": "UTC",
    "jit": "off",
    "hash_mem_multiplier": "2",
    "max_parallel_workers_per_gather": "2",
}


def run_models(
    settings: Settings,
    run_id: UUID | None,
    *,
    pipeline: str = "shipments",
    select: str | None = None,
    full_refresh: bool = False,
    watch: Callable[[str, float], None] | None = None,
) -> None:
    """Build a pipeline's models for what the run has claimed: tables only, unless the project's files have changed.

    Of changed files everything is made again, for both pipelines, by whichever run comes first.

    Raises:
        TransformError: a seed or model failed, or dbt could not start.
    """
    options = ["--full-refresh"] if full_refresh else []
    if select is not None:
        invoke(settings, ["run", "--select", select, *options], run_id=run_id, watch=watch)
        return
    version = project_version()
    if (pipeline == "shipments" and full_refresh) or version != _built_version(settings):
        with _project(settings, alone=True):
            if full_refresh or version != _built_version(settings):
                invoke(settings, ["seed", *options], run_id=run_id, watch=watch)
                invoke(settings, ["run", *options], run_id=run_id, watch=watch)
                _note_version(settings, version)
                return
    with _project(settings, alone=full_refresh):
        models = _REMADE if full_refresh else _TABLES[pipeline]
        invoke(settings, ["run", *models], run_id=run_id, watch=watch)


@contextmanager
def _project(settings: Settings, *, alone: bool) -> Iterator[None]:
    """Hold the project in the warehouse, alone or beside others, while dbt works on it."""
    take = "pg_advisory_lock" if alone else "pg_advisory_lock_shared"
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        conn.execute(f"select {take}(%s)".encode(), (_PROJECT_LOCK,))
        yield


def run_tests(settings: Settings, select: str | None = None) -> None:
    """Run the project's data and unit tests on the warehouse as it is.

    Raises:
        TransformError: a test failed.
    """
    invoke(settings, ["test", *(["--select", select] if select else [])])


def invoke(
    settings: Settings,
    arguments: Sequence[str],
    *,
    run_id: UUID | None = None,
    watch: Callable[[str, float], None] | None = None,
    target: Path | None = None,
) -> Any:
    """Run one dbt command; return dbt's result. `target` keeps its artifacts, else they are dropped.

    Raises:
        TransformError: anything failed; the message names each failed node.
    """
    from dbt.cli.main import dbtRunner

    def tell(event: Any) -> None:
        if watch is not None and event.info.name in _RESULTS:
            watch(event.data.node_info.node_name, float(event.data.execution_time))

    with (
        _LOCK,
        tempfile.TemporaryDirectory(prefix="fleetflow-dbt-") as scratch,
        _environment(settings, run_id),
    ):
        places = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
        quiet = [
            "--target-path",
            str(target or scratch),
            "--log-path",
            scratch,
            "--log-level",
            "none",
            "--log-level-file",
            "none",
            "--quiet",
            "--no-use-colors",
            "--no-version-check",
        ]
        with _parsed_once(settings.home / "dbt", Path(target or scratch)):
            result = dbtRunner(callbacks=[tell]).invoke([*arguments, *places, *quiet])
    _raise_failures(result)
    return result


@contextmanager
def _parsed_once(store: Path, target: Path) -> Iterator[None]:
    """Share the parsed project between processes, each with a target of its own; parsing takes seconds."""
    kept, used = store / f"{project_version()[:16]}.msgpack", target / "partial_parse.msgpack"
    if kept.exists() and not used.exists():
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept, used)
    yield
    if used.exists() and not kept.exists():
        store.mkdir(parents=True, exist_ok=True)
        draft = store / f"{kept.name}.{os.getpid()}"
        shutil.copyfile(used, draft)
        draft.replace(kept)


def _raise_failures(result: Any) -> None:
    from fleetflow.transform import TransformError

    if result.success:
        return
    if result.exception is not None:
        raise TransformError(f"dbt: {result.exception}")
    failed = [
        f"{node.node.name}: {' '.join(str(node.message).split())}"
        for node in getattr(result.result, "results", ())
        if node.status in {"error", "fail", "runtime error"}
    ]
    raise TransformError("; ".join(failed) or "dbt failed without a message")


@contextmanager
def _environment(settings: Settings, run_id: UUID | None) -> Iterator[None]:
    wanted = _variables(settings, run_id)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _variables(settings: Settings, run_id: UUID | None) -> Mapping[str, str]:
    address = conninfo_to_dict(settings.dsn("transformer"))
    memory = _sort_memory_mb(settings)
    session = {**SESSION, "work_mem": f"{memory}MB", "temp_buffers": f"{memory}MB"}
    if run_id is not None:
        session["fleetflow.run_id"] = str(run_id)
    wanted = {
        "FLEETFLOW_DBT_HOST": address.get("host", "127.0.0.1"),
        "FLEETFLOW_DBT_PORT": address.get("port", "5432"),
        "FLEETFLOW_DBT_USER": address.get("user", ""),
        "DBT_ENV_SECRET_FLEETFLOW_DBT_PASSWORD": address.get("password", ""),
        "FLEETFLOW_DBT_DBNAME": address.get("dbname", ""),
        "PGOPTIONS": " ".join(f"-c {name}={value}" for name, value in session.items()),
    }
    if "sslmode" in address:
        wanted["PGSSLMODE"] = address["sslmode"]
    return {name: str(value) for name, value in wanted.items()}


def _sort_memory_mb(settings: Settings) -> int:
    """A minute at peak is a gigabyte to sort; a small server gets by with less, on disk."""
    with connect(settings.dsn("transformer")) as conn:
        row = conn.execute("select pg_size_bytes(current_setting('effective_cache_size')) >> 20").fetchone()
    assert row is not None
    return min(max(int(row[0]) // 12, 64), 1024)


@cache
def project_version() -> str:
    """Return a hash over the project's files."""
    digest = hashlib.sha256()
    for path in sorted(p for pattern in _FILES for p in PROJECT.glob(pattern) if p.is_file()):
        digest.update(path.relative_to(PROJECT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _built_version(settings: Settings) -> str | None:
    with connect(settings.dsn("transformer")) as conn:
        row = conn.execute("select obj_description(to_regnamespace('staging'), 'pg_namespace')").fetchone()
    return row[0] if row else None


def _note_version(settings: Settings, version: str) -> None:
    with connect(settings.dsn("transformer")) as conn:
        conn.execute(sql.SQL("comment on schema staging is {}").format(sql.Literal(version)))
