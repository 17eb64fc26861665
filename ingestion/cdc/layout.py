"""The shape of a published table, and what may change about it without stopping the mirror.

Postgres adds columns at the end and never moves one, and a column keeps its number for life. So a new name
that carries a known number, or that stands where no new column can stand, is an old column renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingestion.cdc.errors import SchemaDriftError
from ingestion.cdc.pgoutput import Relation


@dataclass(frozen=True)
class SourceColumn:
    """A column of the order database.

    `missing` is what rows older than the column hold in it. Where that is not one value for all of them (`computed`:
    a default is there, but no missing value), only the table itself can tell. `sends_text`: its binary form is text.
    """

    name: str
    type_oid: int
    type_modifier: int
    number: int | None = None
    missing: str | None = None
    computed: bool = False
    sends_text: bool = False

    @property
    def type(self) -> tuple[int, int]:
        """The type and its modifier, as the catalog numbers them."""
        return self.type_oid, self.type_modifier


@dataclass(frozen=True)
class Layout:
    """The published columns of one table, in the table's order."""

    oid: int
    columns: tuple[SourceColumn, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    def by_name(self) -> dict[str, SourceColumn]:
        """The columns under their names."""
        return {column.name: column for column in self.columns}

    def to_json(self) -> dict[str, Any]:
        """What the ledger keeps of it."""
        columns = [[c.name, c.type_oid, c.type_modifier, c.number] for c in self.columns]
        return {"oid": self.oid, "columns": columns}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Layout:
        """Read what `to_json` wrote."""
        return cls(stored["oid"], tuple(SourceColumn(*column) for column in stored["columns"]))

    @classmethod
    def from_relation(cls, relation: Relation, catalog: Layout | None) -> Layout:
        """Take the stream's description; the catalog adds numbers and missing values, where it has the name."""
        known = catalog.by_name() if catalog and catalog.oid == relation.oid else {}
        columns = []
        for seen in relation.columns:
            now = known.get(seen.name)
            columns.append(
                SourceColumn(
                    seen.name,
                    seen.type_oid,
                    seen.type_modifier,
                    now.number if now else None,
                    now.missing if now else None,
                    now is not None and now.computed,
                    now is not None and now.sends_text and now.type_oid == seen.type_oid,
                )
            )
        return cls(relation.oid, tuple(columns))


@dataclass(frozen=True)
class Difference:
    """What the mirror follows by itself: columns added and columns dropped."""

    added: tuple[SourceColumn, ...]
    dropped: tuple[SourceColumn, ...]

    def in_words(self) -> list[tuple[str, str]]:
        """What changed: the kind of change and a sentence, one for each column."""
        added = [("add column", f"column {column.name} was added") for column in self.added]
        dropped = [
            (
                "drop column",
                f"column {column.name} was dropped; the mirror keeps it, new rows hold null there",
            )
            for column in self.dropped
        ]
        return [*added, *dropped]


def compare(entity: str, known: Layout, seen: Layout) -> Difference:
    """Tell what changed from the known layout to the seen one.

    Raises:
        SchemaDriftError: a column changed its type, or was renamed.
    """
    if known.oid != seen.oid:
        raise SchemaDriftError(entity, "replace", "the table was dropped and made anew")
    before, after = known.by_name(), seen.by_name()
    for name in before.keys() & after.keys():
        if before[name].type != after[name].type:
            raise SchemaDriftError(entity, "type", f"column {name} changed its type")
    added = tuple(column for column in seen.columns if column.name not in before)
    dropped = tuple(column for column in known.columns if column.name not in after)
    for column in added:
        if (was := _former_name(column, seen, known, dropped)) is not None:
            raise SchemaDriftError(entity, "rename", f"column {was} is now called {column.name}")
    return Difference(added, dropped)


def _former_name(
    column: SourceColumn, seen: Layout, known: Layout, dropped: tuple[SourceColumn, ...]
) -> str | None:
    """Return the dropped column that this one was, or None if it is a new one."""
    numbers = {old.number: old.name for old in dropped if old.number is not None}
    if column.number is not None and len(numbers) == len(dropped):
        return numbers.get(column.number)
    followers = seen.names[seen.names.index(column.name) + 1 :]
    survivors = [name for name in followers if name in known.names]
    candidates = [old.name for old in dropped if old.type == column.type]
    if candidates and (survivors or known.names[-1] in candidates):
        return candidates[-1]
    return None
