"""Whether a file that was read may land: its header, its drift from what is known, its share of refused lines.

Held, with both sides named: a required column that is missing, two columns that claim one of ours, a unit or a way of
writing that changed, values that moved to other columns, too many refused lines. `approved` lets through all but a
missing column, which no approval can bring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ingestion.partners.declare.model import Declaration
from ingestion.partners.faults import Cause, FileFault
from ingestion.partners.rows.binding import Binding
from ingestion.partners.rows.spool import Spool
from ingestion.partners.schema import KnownSchema, ObservedSchema, SchemaDiff, compare


def judge_header(declaration: Declaration, binding: Binding, approved: bool) -> None:
    """Hold or refuse a file by its header alone.

    Raises:
        FileFault: a name stands twice, a required column is missing, two claim the same, or a unit is another.
    """
    if binding.duplicates:
        names = ", ".join(repr(name) for name in binding.duplicates)
        raise FileFault(
            Cause.DUPLICATE_HEADER,
            f"the header names {names} more than once: which one is meant cannot be known:"
            f" {_list(binding.names)}",
        )
    for name, places in () if approved else binding.rivals.items():
        claims = " and ".join(repr(binding.names[place]) for place in places)
        raise FileFault(
            Cause.AMBIGUOUS_COLUMN,
            f"{claims} all claim {name}; take a synonym out of the declaration, or approve: then"
            f" {binding.names[places[0]]!r} is read",
        )
    if binding.missing:
        raise FileFault(Cause.MISSING_COLUMN, missing_words(declaration, binding))
    for name, (said, wanted) in () if approved else binding.units.items():
        header = binding.names[binding.sources[name]]
        raise FileFault(
            Cause.CHANGED_MEANING,
            f"the header {header!r} says {said}, and {name} is declared in {wanted} (columns.{name}.unit); change the"
            " declaration, or approve if only the header is wrong",
        )


def missing_words(declaration: Declaration, binding: Binding) -> str:
    """Say which columns are missing, under which names they were looked for, and what is there instead."""
    parts = []
    for name in binding.missing:
        column = declaration.columns[name]
        tried = [repr(source) for source in column.sources]
        if column.time_source and name not in binding.time_sources:
            tried.append(repr(column.time_source))
        parts.append(f"{name} (looked for {' or '.join(tried)})")
    spare = [repr(binding.names[place]) for place in binding.extras]
    there = f"; not mapped are {', '.join(spare[:12])}" if spare else ""
    return (
        f"the required {', '.join(parts)} {'is' if len(parts) == 1 else 'are'} not in the header"
        f" {_list(binding.names)}{there}; add the new name to columns.<column>.synonyms, or ask the partner"
    )


def judge(
    declaration: Declaration,
    binding: Binding | None,
    seen: ObservedSchema,
    known: Sequence[KnownSchema],
    spool: Spool,
    doubts: Mapping[str, str],
    approved: bool,
) -> tuple[ObservedSchema, SchemaDiff | None]:
    """Return the schema as it is to be recorded and, where it is new, how it differs from the newest known one.

    Raises:
        FileFault: the file is held for a column that no line has, its drift, or its refused lines.
    """
    if binding is not None and binding.missing:
        raise FileFault(Cause.MISSING_COLUMN, missing_words(declaration, binding), schema=seen)
    taken = [one for one in known if one.state != "held"]
    newest = max(taken, key=lambda one: one.version, default=None)
    schema = seen.widened_by(newest.schema).marked_by(newest.schema) if newest else seen
    fresh = schema.fingerprint not in {one.schema.fingerprint for one in taken}
    diff = compare(schema, newest) if fresh else None
    lines = spool.accepted + spool.rejected
    if approved:
        return schema, diff
    if doubts:
        words = "; ".join(f"{name}: {said}" for name, said in doubts.items())
        words += "; change columns.<column>.layouts, or approve if the file is right as declared"
        raise FileFault(
            Cause.CHANGED_MEANING, words, schema=schema, diff=diff, lines=lines, rejected=spool.rejected
        )
    if diff is not None and diff.breaking:
        words = "; ".join(change.words for change in diff.breaking)
        moved = all(change.kind == "shifted" for change in diff.breaking)
        cause = Cause.SHIFTED_COLUMNS if moved else Cause.CHANGED_MEANING
        raise FileFault(cause, words, schema=schema, diff=diff, lines=lines, rejected=spool.rejected)
    if spool.rejected > declaration.max_rejected_share * lines:
        raise FileFault(
            Cause.REJECTED_SHARE,
            _rejected_words(declaration, spool, lines, diff),
            schema=schema,
            diff=diff,
            lines=lines,
            rejected=spool.rejected,
        )
    return schema, diff


def _rejected_words(declaration: Declaration, spool: Spool, lines: int, diff: SchemaDiff | None) -> str:
    rules = ", ".join(
        f"{count} {rule} (first: {spool.examples[rule]})" for rule, count in spool.rules.most_common(4)
    )
    changed = (
        f"; also: {diff.words}" if diff is not None and diff.against is not None and diff.changes else ""
    )
    return (
        f"{spool.rejected} of {lines} lines are refused ({spool.rejected / lines:.1%}), and at most"
        f" {declaration.max_rejected_share:.1%} may be (max_rejected_share): {rules}{changed}"
    )


def _list(names: Sequence[str]) -> str:
    shown = "; ".join(names[:40])
    return f"[{shown}{'; ...' if len(names) > 40 else ''}]"
