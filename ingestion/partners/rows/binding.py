"""Which column of a file is which of the contract's: by the partner's name, its synonyms, and without its unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingestion.partners.declare.model import ColumnMap, Declaration
from ingestion.partners.declare.names import plain_name, split_unit


@dataclass(frozen=True)
class Binding:
    """A header, bound: contract column to place in the file, what is left over, and what is odd about it.

    `synonyms` are columns that came under another name than the first; `units` are headers whose unit is not the
    declared one (said, wanted); `rivals` are places that claim the same column, the taken one first.
    """

    names: tuple[str, ...]
    sources: Mapping[str, int]
    time_sources: Mapping[str, int]
    kept: Mapping[str, int]
    extras: tuple[int, ...]
    missing: tuple[str, ...]
    synonyms: Mapping[str, str]
    units: Mapping[str, tuple[str, str]]
    duplicates: tuple[str, ...]
    rivals: Mapping[str, tuple[int, ...]]

    @property
    def mapped(self) -> dict[int, str]:
        """Places in the file that feed a column of the contract."""
        return {place: name for name, place in (*self.time_sources.items(), *self.sources.items())}


def bind(header: Sequence[str], declaration: Declaration) -> Binding:
    """Bind a header to the declared columns; never raises: what is wrong stands in the binding."""
    plain = [plain_name(name) for name in header]
    bare = [split_unit(name) for name in header]
    sources: dict[str, int] = {}
    time_sources: dict[str, int] = {}
    synonyms: dict[str, str] = {}
    units: dict[str, tuple[str, str]] = {}
    rivals: dict[str, tuple[int, ...]] = {}
    for name, column in declaration.columns.items():
        places = [place for source in column.sources for place in _places(source, plain, bare)]
        places = list(dict.fromkeys(places))
        if places:
            sources[name] = places[0]
            if plain[places[0]] != plain_name(column.sources[0]):
                synonyms[name] = header[places[0]]
            if len(places) > 1:
                rivals[name] = tuple(places)
            if odd := _odd_unit(bare[places[0]][1], column, declaration):
                units[name] = odd
        if column.time_source is not None and (at := _places(column.time_source, plain, bare)):
            time_sources[name] = at[0]
    kept: dict[str, int] = {}
    for name, column in declaration.kept.items():
        if at := [place for source in column.sources for place in _places(source, plain, bare)]:
            kept[name] = at[0]
    used = {*sources.values(), *time_sources.values()}
    ignored = {plain_name(name) for name in declaration.ignored}
    spoken_for = {*used, *kept.values()}
    counts = Counter(plain)
    return Binding(
        names=tuple(header),
        sources=sources,
        time_sources=time_sources,
        kept=kept,
        extras=tuple(
            i for i, name in enumerate(plain) if name and i not in spoken_for and name not in ignored
        ),
        missing=tuple(_missing(declaration, sources, time_sources)),
        synonyms=synonyms,
        units=units,
        duplicates=tuple(dict.fromkeys(header[i] for i in sorted(used) if counts[plain[i]] > 1)),
        rivals=rivals,
    )


def _places(source: str, plain: Sequence[str], bare: Sequence[tuple[str, str | None]]) -> list[int]:
    wanted = plain_name(source)
    exact = [i for i, name in enumerate(plain) if name == wanted]
    if exact:
        return exact
    base = split_unit(source)[0]
    return [i for i, (name, unit) in enumerate(bare) if unit is not None and name in (wanted, base)] or (
        [i for i, name in enumerate(plain) if name == base]
    )


def _odd_unit(said: str | None, column: ColumnMap, declaration: Declaration) -> tuple[str, str] | None:
    wanted = column.unit or declaration.contract.column(column.name).unit
    if column.money:
        currency = declaration.columns.get("currency")
        wanted = currency.constant if currency else None
    return (said, wanted) if said and wanted and said != wanted else None


def _missing(
    declaration: Declaration, sources: Mapping[str, int], time_sources: Mapping[str, int]
) -> Sequence[str]:
    found = []
    for name, column in declaration.columns.items():
        lacks_time = column.time_source is not None and name not in time_sources
        if column.required and column.sources and (name not in sources or lacks_time):
            found.append(name)
    return found
