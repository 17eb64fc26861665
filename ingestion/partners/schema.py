"""What a file's columns were seen to be, and how that differs from what was known, in words.

An observed schema is versioned by its fingerprint. The fingerprint holds what a reader relies on: the names in their
order, units in headers, and for mapped columns the kind of value and how it is written; not shares or shapes, which
differ from file to file. A file that merely shows less (whole numbers where there were decimals before) is of the
known schema: what is seen is widened by what was known before it is compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

WIDER: Mapping[str, tuple[str, ...]] = {
    "nothing": ("integer", "decimal", "date", "time", "text"),
    "integer": ("decimal", "text"),
    "decimal": ("text",),
    "date": ("time", "text"),
    "time": ("text",),
    "text": (),
}
"""Kinds of value, and which each may widen to."""


@dataclass(frozen=True)
class ObservedColumn:
    """One column of a file. `kind` is a key of WIDER; `written` how its values are written (layouts, decimal sign).

    `shape` is what most values look like (`A9`, `A-9`, `9.9`), runs of letters and digits as one each.
    """

    name: str
    kind: str
    column: str | None = None
    unit: str | None = None
    written: tuple[str, ...] = ()
    shape: str = ""
    null_share: float = 0.0


@dataclass(frozen=True)
class ObservedSchema:
    """The columns of a file, in their order."""

    columns: tuple[ObservedColumn, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The header."""
        return tuple(column.name for column in self.columns)

    @property
    def fingerprint(self) -> str:
        """32 hex digits over what a reader relies on."""
        facts = [
            [c.name, c.unit, c.column, c.kind if c.column else None, sorted(c.written) if c.column else None]
            for c in self.columns
        ]
        return hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode()).hexdigest()[:32]

    def to_json(self) -> list[dict[str, Any]]:
        """Return the columns as JSON values, for `ops.partner_schema.columns`."""
        return [{**vars(column), "written": list(column.written)} for column in self.columns]

    @classmethod
    def from_json(cls, columns: Sequence[Mapping[str, Any]]) -> ObservedSchema:
        """Return the schema that `to_json` gave."""
        return cls(tuple(ObservedColumn(**{**c, "written": tuple(c.get("written", ()))}) for c in columns))

    def widened_by(self, known: ObservedSchema) -> ObservedSchema:
        """Return this schema with each column as wide as it was known to be."""
        before = {column.name: column for column in known.columns}
        return ObservedSchema(
            tuple(_widened(c, before[c.name]) if c.name in before else c for c in self.columns)
        )

    def marked_by(self, known: ObservedSchema) -> ObservedSchema:
        """Return this schema with the shapes of values that moved to other columns as part of how they are written.

        So a file whose values moved is of a new version, and once that is approved, the next one like it is of it.
        """
        before = {column.name: column for column in known.columns}
        moved = {change.column for change in _moved(before, {column.name: column for column in self.columns})}
        return ObservedSchema(
            tuple(
                replace(c, written=tuple(sorted({*c.written, f"as {c.shape}"}))) if c.name in moved else c
                for c in self.columns
            )
        )


@dataclass(frozen=True)
class KnownSchema:
    """A schema of an earlier file: `state` is accepted, held or approved."""

    version: int
    schema: ObservedSchema
    state: str = "accepted"


@dataclass(frozen=True)
class Change:
    """One difference, in words that name both sides. `breaking` holds the file."""

    kind: str
    column: str
    words: str
    breaking: bool = False


@dataclass(frozen=True)
class SchemaDiff:
    """All differences to a known schema; `against` is its version, None for the first file of a partner."""

    changes: tuple[Change, ...]
    against: int | None = None

    @property
    def words(self) -> str:
        """The differences, one sentence each."""
        return "; ".join(change.words for change in self.changes)

    @property
    def breaking(self) -> tuple[Change, ...]:
        """Those that hold the file."""
        return tuple(change for change in self.changes if change.breaking)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the changes as JSON values, for `ops.partner_schema.diff`."""
        return [dict(vars(change)) for change in self.changes]


def _widened(seen: ObservedColumn, known: ObservedColumn) -> ObservedColumn:
    kind = known.kind if known.kind in WIDER[seen.kind] else seen.kind
    written = tuple(sorted({*seen.written, *known.written}))
    return replace(seen, kind=kind, written=written)


def compare(seen: ObservedSchema, known: KnownSchema | None) -> SchemaDiff:
    """Say how a schema differs from a known one."""
    if known is None:
        return SchemaDiff(tuple(_first(column) for column in seen.columns), None)
    before = {column.name: column for column in known.schema.columns}
    now = {column.name: column for column in seen.columns}
    changes: list[Change] = []
    gone = [column for name, column in before.items() if name not in now]
    for column in seen.columns:
        if column.name not in before:
            changes.append(_new(column, gone))
    changes += [_removed(column, seen) for column in gone]
    kept_before = [name for name in before if name in now]
    kept_now = [name for name in now if name in before]
    if kept_before != kept_now:
        words = f"the columns stand in another order: {', '.join(kept_now)} (were {', '.join(kept_before)})"
        changes.append(Change("reordered", "", words))
    for name in kept_now:
        changes += _changed(before[name], now[name])
    changes += _moved(before, now)
    return SchemaDiff(tuple(changes), known.version)


def _first(column: ObservedColumn) -> Change:
    where = f"read as {column.column}" if column.column else "kept beside the row or ignored"
    return Change("first", column.name, f"{column.name!r} is {column.kind}, {where}")


def _new(column: ObservedColumn, gone: Sequence[ObservedColumn]) -> Change:
    if column.column:
        old = next((c.name for c in gone if c.column == column.column), None)
        if old:
            words = f"{old!r} is now named {column.name!r}, a known synonym for {column.column}"
            return Change("renamed", column.name, words)
        return Change("added", column.name, f"{column.name!r} is new and read as {column.column}")
    return Change(
        "added", column.name, f"{column.name!r} is new and mapped by nothing: kept in extras until it is"
    )


def _removed(column: ObservedColumn, seen: ObservedSchema) -> Change:
    if column.column and any(c.column == column.column for c in seen.columns):
        return Change("gone", column.name, f"the name {column.name!r} is gone")
    what = f", which was read as {column.column}" if column.column else ""
    return Change("removed", column.name, f"{column.name!r}{what} is no longer sent")


def _changed(old: ObservedColumn, new: ObservedColumn) -> list[Change]:
    changes = []
    if old.unit != new.unit:
        words = f"{new.name!r} is in {new.unit or 'no stated unit'}, was in {old.unit or 'no stated unit'}"
        changes.append(Change("unit", new.name, words, breaking=bool(new.column)))
    if new.kind != old.kind and "nothing" not in (old.kind, new.kind):
        widened = new.kind in WIDER[old.kind]
        kind = "widened" if widened else "narrowed" if old.kind in WIDER[new.kind] else "kind"
        changes.append(Change(kind, new.name, f"{new.name!r} holds {new.kind} values, were {old.kind}"))
    if new.column and (added := sorted(set(new.written) - set(old.written))) and old.written:
        words = f"{new.name!r} is written {', '.join(added)}, was {', '.join(old.written)}"
        changes.append(Change("written", new.name, words))
    return changes


def _moved(before: Mapping[str, ObservedColumn], now: Mapping[str, ObservedColumn]) -> list[Change]:
    """Find columns whose values look as another column's did: the values moved, the header did not."""
    odd = [
        name
        for name in now
        if name in before and _looks(now[name]) != _looks(before[name]) and _looks(now[name])
    ]
    found = []
    for name in odd:
        twins = [
            other
            for other in odd
            if other != name and _looks(before[other]) == _looks(now[name]) and _telling(before[other])
        ]
        if twins and _looks(before[name]):
            found.append(
                Change(
                    "shifted",
                    name,
                    f"most values of {name!r} look like those of {twins[0]!r} before ({now[name].shape}, was"
                    f" {before[name].shape})",
                    breaking=True,
                )
            )
    return found if len(found) >= 2 else []


def _looks(column: ObservedColumn) -> tuple[str, str] | None:
    return (column.kind, column.shape) if column.shape else None


def _telling(column: ObservedColumn) -> bool:
    return bool(column.shape)
