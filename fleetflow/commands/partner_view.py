"""How partners, their files and their schemas are shown: rows of tables, facts for JSON, sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from fleetflow.runtime import Connection
    from ingestion.partners.declare.declaration import Declaration
    from ingestion.partners.ledger import PartnerFile
    from ingestion.partners.load import FileOutcome

_REASON_WIDTH = 70
_OBSERVED = {
    "recorded_late": "recorded late (over {after_days:g} days after)",
    "recorded_before_it_happened": "recorded before it happened",
}


def print_table(rows: Sequence[Mapping[str, Any]], empty: str) -> None:
    """Print rows under their names, each column as wide as it must be; numbers to the right."""
    if not rows:
        typer.echo(empty)
        return
    names = list(rows[0])
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in [names, *cells]) for i in range(len(names))]
    right = [all(isinstance(row[name], int | None) for row in rows) for name in names]
    for line in [names, *cells]:
        padded = (
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        )
        typer.echo("  ".join(padded).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def summary_rows(conn: Connection, declarations: Iterable[Declaration]) -> list[dict[str, Any]]:
    """One row a partner: what it sends, when, and how many of its files are in which state."""
    counts: dict[str, dict[str, int]] = {}
    last: dict[str, Any] = {}
    query = "select partner, state, count(*), max(ended_at) from ops.partner_file group by partner, state"
    for partner, state, count, ended in conn.execute(query).fetchall():
        counts.setdefault(partner, {})[state] = count
        if state == "loaded":
            last[partner] = f"{ended:%F %T}"
    return [
        {
            "partner": one.name,
            "feed": one.feed,
            "format": one.format.kind,
            "expected": _schedule(one),
            **{
                state: counts.get(one.name, {}).get(state, 0)
                for state in ("loaded", "held", "refused", "missing")
            },
            "last loaded": last.get(one.name),
        }
        for one in declarations
    ]


def _schedule(declaration: Declaration) -> str:
    arrival = declaration.arrival
    if arrival is None:
        return "at any time"
    times = ", ".join(f"{at:%H:%M}" for at in arrival.times)
    days = "" if len(arrival.weekdays) == 7 else f" {','.join(arrival.weekdays)}"
    return f"{times} {arrival.zone}{days}"


def file_facts(file: PartnerFile) -> dict[str, Any]:
    """Everything the ledger holds of a file."""
    return dict(vars(file))


def file_row(file: PartnerFile) -> dict[str, Any]:
    """A file as a row of a table."""
    reason = file.reason or ""
    return {
        "file": file.file_id,
        "partner": file.partner,
        "name": file.name,
        "state": f"{file.state}, late" if file.is_late else str(file.state),
        "lines": file.lines,
        "accepted": file.accepted,
        "rejected": file.rejected,
        "unchanged": file.unchanged,
        "superseded": file.superseded,
        "since": f"{file.ended_at or file.whole_at or file.seen_at:%F %T}",
        "reason": reason if len(reason) <= _REASON_WIDTH else f"{reason[: _REASON_WIDTH - 3]}...",
    }


def reject_counts(conn: Connection, file_id: int) -> dict[str, int]:
    """Count the kept rejects of a file by rule."""
    rows = conn.execute(
        "select r.rule, count(*) from ops.rejected as r join ops.batch as b using (batch_id)"
        " where b.partner_file_id = %s group by r.rule order by 2 desc, 1",
        (file_id,),
    )
    return dict(rows.fetchall())


def describe(file: PartnerFile, rejects: Mapping[str, int]) -> Iterator[str]:
    """Say in lines what is known of a file."""
    yield f"file {file.file_id}  {file.partner}  {file.name}"
    for name, words in (*_standing(file), *_content(file, rejects), *(("next", fix) for fix in _fixes(file))):
        yield f"{name:<10} {words}"


def _standing(file: PartnerFile) -> Iterator[tuple[str, str]]:
    late = f", late (expected {file.expected_at:%F %H:%M} UTC)" if file.is_late and file.expected_at else ""
    yield "state", f"{file.state}{late}"
    if file.reason:
        yield "why", file.reason
    if file.approved_by and file.approved_at:
        yield "approved", f"by {file.approved_by}, {file.approved_at:%F %T} UTC"


def _content(file: PartnerFile, rejects: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    if file.lines is not None:
        yield "lines", counts_words(file)
    yield from (("rejected", f"{count:,} by {rule}") for rule, count in rejects.items())
    yield from (("remarkable", words) for words in observation_words(file))
    if file.supersedes is not None:
        yield "supersedes", f"file {file.supersedes}"
    if file.schema_version is not None:
        yield "schema", f"version {file.schema_version} (`fleetflow partner schema {file.partner}`)"
    if file.size_bytes is not None and file.modified_at:
        digest = file.sha256 or "not read"
        yield "content", f"{file.size_bytes:,} bytes of {file.modified_at:%F %T} UTC, SHA-256 {digest}"
    if file.archive_key:
        yield "kept at", file.archive_key


def counts_words(file: PartnerFile) -> str:
    """Return the counts of a file as one sentence."""
    if file.accepted is None:
        return f"{file.lines:,} read" + (f", {file.rejected:,} of them not right" if file.rejected else "")
    words = f"{file.lines:,}: {file.accepted:,} landed"
    if file.superseded:
        words += f" ({file.superseded:,} of them corrections)"
    words += f", {file.rejected:,} rejected, {file.unchanged:,} unchanged"
    return words + (f"; {file.absent:,} lines of the version before are not in it" if file.absent else "")


def observation_words(file: PartnerFile) -> Iterator[str]:
    """Name what is remarkable about the rows that landed."""
    for kind, found in file.observations.items():
        shown = ", ".join(str(line) for line in found["lines"][:10])
        more = ", ..." if found["rows"] > 10 else ""
        name = _OBSERVED.get(kind, kind.replace("_", " ")).format(**found)
        yield f"{found['rows']:,} rows {name}, by up to {found['most_days']:g} days: rows {shown}{more}"


def _fixes(file: PartnerFile) -> Iterator[str]:
    if file.state == "held":
        yield f"`fleetflow partner approve {file.file_id}` to take it as it is, or mend its declaration and approve"
    if file.state == "refused" and file.sha256:
        yield f"ask {file.partner} for a sound file; after mending a key or the declaration:"
        yield f"`fleetflow partner retry {file.file_id}`"
    if file.state == "whole":
        yield f"`fleetflow partner load {file.partner}`"


def outcome_facts(outcome: FileOutcome) -> dict[str, Any]:
    """One file's outcome for JSON."""
    return {
        **file_facts(outcome.file),
        "seconds": outcome.seconds,
        "repeated": outcome.repeated,
        "fault": outcome.fault,
    }


def outcome_lines(partner: str, outcomes: Sequence[FileOutcome]) -> Iterator[str]:
    """Say in lines what a load came to."""
    if not outcomes:
        yield f"{partner}: nothing new"
    for outcome in outcomes:
        file = outcome.file
        state = "came again, taken before" if outcome.repeated else str(file.state)
        yield f"{partner}: file {file.file_id} {file.name}: {state}"
        if file.lines is not None and not outcome.repeated:
            yield f"    {counts_words(file)}"
        for words in observation_words(file) if not outcome.repeated else ():
            yield f"    {words}"
        if outcome.fault:
            yield f"    not finished, the next load tries again: {outcome.fault}"
        elif file.reason:
            yield f"    {file.reason}"
        if file.state in {"held", "refused"}:
            yield from (f"    {fix}" for fix in _fixes(file))


def schema_facts(conn: Connection, partner: str) -> list[dict[str, Any]]:
    """Every schema of a partner, oldest first."""
    rows = conn.execute(
        "select version, state, first_file_id, seen_at, columns, diff from ops.partner_schema"
        " where partner = %s order by version",
        (partner,),
    )
    names = ("version", "state", "first_file_id", "seen_at", "columns", "diff")
    return [dict(zip(names, row, strict=True)) for row in rows]


def schema_lines(partner: str, found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Say in lines what each schema is and how it differs from the one before."""
    if not found:
        yield f"no file of {partner} has been read yet"
    for one in found:
        yield f"version {one['version']}  {one['state']}  since {one['seen_at']:%F %T} UTC, file {one['first_file_id']}"
        yield from map(column_words, one["columns"])
        for change in one["diff"] if one["version"] > 1 else ():
            yield f"  {'!' if change.get('breaking') else '~'} {change['words']}"


def column_words(column: Mapping[str, Any]) -> str:
    """Say in one line what a column of a schema is."""
    unit = f" in {column['unit']}" if column.get("unit") else ""
    read_as = f"read as {column['column']}" if column.get("column") else "kept in extras, or ignored"
    return f"    {column['name']:<32} {column['kind']}{unit}, {read_as}"
