"""A dry parse of a local file: what a load would make of it. Lands nothing, needs no server but knows the schemas.

The schemas that earlier files came in are read from the warehouse where there is one; without it the file is judged
as a partner's first.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from fleetflow.commands.partner_view import column_words
from fleetflow.settings import Settings, SettingsError

if TYPE_CHECKING:
    from ingestion.partners.declare.declaration import Declaration
    from ingestion.partners.schema import KnownSchema

_SHOWN = 10


def check_file(settings: Settings, declaration: Declaration, path: Path, *, approved: bool) -> dict[str, Any]:
    """Parse a file as a load would; return what would become of it."""
    from fleetflow.partner_load import pgp_keys
    from ingestion.partners.fetch.file_names import matches
    from ingestion.partners.rows.parse import FileFacts, FileFault, parse_file

    known = _known(settings, declaration.name)
    modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    facts = FileFacts(path.name, _sha256(path), modified, datetime.now(UTC))
    found: dict[str, Any] = {
        "partner": declaration.name,
        "file": path.name,
        "taken": matches(path.name, declaration.pattern),
        "pattern": declaration.pattern,
        "known_schemas": None if known is None else len(known),
    }
    with tempfile.TemporaryDirectory(prefix="fleetflow-check-") as scratch:
        try:
            parsed = parse_file(
                path, declaration, facts, known or [], Path(scratch),
                keys=pgp_keys(settings, declaration), approved=approved,
            )  # fmt: skip
        except FileFault as fault:
            return found | {
                "state": fault.kind, "cause": str(fault.cause), "reason": fault.words,
                "approvable": fault.approvable, "lines": fault.lines, "rejected": fault.rejected,
            }  # fmt: skip
        return found | {
            "state": "loaded",
            "lines": parsed.lines,
            "accepted": parsed.accepted,
            "rejected": parsed.rejected,
            "rejects": _first_rejects(parsed.refusals_path),
            "rejected_by_rule": dict(parsed.rejected_by_rule),
            "from": parsed.min_event_time,
            "to": parsed.max_event_time,
            "recorded_before": parsed.recorded_before,
            "recorded_late": parsed.recorded_late,
            "differences": parsed.diff.to_json() if parsed.diff else [],
            "columns": parsed.schema.to_json(),
        }


def _known(settings: Settings, partner: str) -> list[KnownSchema] | None:
    from fleetflow.runtime import connect
    from ingestion.partners.schemas import read_schemas

    try:
        with connect(settings.dsn("ops"), autocommit=True) as conn:
            return read_schemas(conn, partner)
    except (SettingsError, psycopg.OperationalError):
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_rejects(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(batch_size=_SHOWN, columns=["line", "rule", "detail"]):
            return list(batch.to_pylist())
    return []


def check_words(found: Mapping[str, Any]) -> Iterator[str]:
    """Say in lines what a load would do."""
    if not found["taken"]:
        yield f"note: a load would not even take a file of this name: {found['pattern']!r} is wanted"
    if found["known_schemas"] is None:
        yield "note: no warehouse is reachable, so the file is judged as the partner's first"
    if found["state"] != "loaded":
        yield f"{found['file']} would be {found['state']} ({found['cause']}): {found['reason']}"
        if found["state"] == "held":
            yield (
                "`fleetflow partner approve` would let it go on as it is"
                if found["approvable"]
                else "approving it would not help: the declaration has to follow first"
            )
        return
    yield from _loaded_words(found)


def _loaded_words(found: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{found['file']} would be loaded: {found['lines']:,} lines, {found['accepted']:,} accepted,"
        f" {found['rejected']:,} rejected"
    )
    if found["accepted"]:
        yield f"events from {found['from']:%F %T} to {found['to']:%F %T} UTC"
    yield from (f"    {count:,} rejected by {rule}" for rule, count in found["rejected_by_rule"].items())
    yield from (f"    line {one['line']}: {one['rule']}: {one['detail']}" for one in found["rejects"])
    for kind, words in (
        ("recorded_late", "recorded late"),
        ("recorded_before", "recorded before they happened"),
    ):
        if found[kind]:
            yield f"{found[kind]:,} rows {words}"
    told = [change for change in found["differences"] if change["kind"] != "first"]
    yield from (f"{'!' if change['breaking'] else '~'} {change['words']}" for change in told)
    yield from map(column_words, found["columns"])
