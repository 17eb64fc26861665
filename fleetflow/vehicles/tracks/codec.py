"""The standing of vehicles as bytes, one value a vehicle, and back.

A value is zlib over MessagePack: rows a table, the names that the rows refer to (drivers, zones, sites), and the
tables' rows as 64-bit words, little endian, floats by their bits. Nothing in it is code. `VERSION` changes with the
tables, and with any rule that changes what a fold comes to.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import accumulate
from typing import Any, Protocol

import msgspec
import numpy as np

from domain.tracks import Fixes, Parts, Visits
from domain.tracks.legs import Carry
from domain.tracks.table import DTYPES, Ints, Table
from fleetflow.vehicles.tracks.standing import Standing
from fleetflow.vehicles.tracks.sums import DaySums, RuleCounts

VERSION = 1
TABLES: dict[str, type[Table]] = {
    "carry": Carry, "candidates": Fixes, "parts": Parts, "visits": Visits, "days": DaySums, "counts": RuleCounts,
}  # fmt: skip
FAMILIES = ("driver", "zone", "fence")
# Names within a vehicle are told apart by this many bits.
_SHIFT = 32
_LEVEL = 1


class StateError(ValueError):
    """Bytes that are no state of this version."""


class Names(Protocol):
    """The names behind the codes of a chunk."""

    @property
    def drivers(self) -> Sequence[str]:
        """The drivers, sorted."""

    @property
    def zones(self) -> Sequence[str]:
        """The IANA time zones, sorted."""

    @property
    def sites(self) -> Sequence[str]:
        """The sites that have a fence, sorted."""


class _Value(msgspec.Struct, array_like=True):
    sizes: list[int]
    drivers: list[str]
    zones: list[str]
    fences: list[str]
    rows: bytes


def encode(standing: Standing, vehicles: Ints, names: Names) -> list[bytes]:
    """Return a value for each of these vehicle codes, which are sorted."""
    tables = {name: getattr(standing, name) for name in TABLES}
    bounds = {name: _bounds(table, vehicles) for name, table in tables.items()}
    local = {family: _Local.of(family, tables.values(), vehicles) for family in FAMILIES}
    words = {name: _words(table, local) for name, table in tables.items()}
    lists = [
        local[family].names(known)
        for family, known in zip(FAMILIES, (names.drivers, names.zones, names.sites), strict=True)
    ]
    encoder = msgspec.msgpack.Encoder()
    values = []
    for at, (drivers, zones, fences) in enumerate(zip(*lists, strict=True)):
        rows = [words[name][first[at] : end[at]] for name, (first, end) in bounds.items()]
        sizes = [len(each) for each in rows]
        value = _Value(sizes, drivers, zones, fences, b"".join(each.tobytes() for each in rows))
        values.append(zlib.compress(encoder.encode(value), _LEVEL))
    return values


class Decoded:
    """Values of vehicles, opened: the names they use are known, and wait for their codes."""

    def __init__(self, values: Mapping[int, bytes]) -> None:
        """Open a value for each vehicle code.

        Raises:
            StateError: a value is not one of this version.
        """
        self.vehicles = sorted(values)
        decoder = msgspec.msgpack.Decoder(_Value)
        try:
            self._values = [decoder.decode(zlib.decompress(values[code])) for code in self.vehicles]
        except (zlib.error, msgspec.MsgspecError) as fault:
            raise StateError(f"a kept state cannot be read: {fault}") from fault

    @property
    def drivers(self) -> set[str]:
        """The drivers that are named."""
        return {name for value in self._values for name in value.drivers}

    @property
    def zones(self) -> set[str]:
        """The zones that are named."""
        return {name for value in self._values for name in value.zones}

    def standing(self, as_of_us: Ints, names: Names) -> Standing:
        """Return the tables in the codes of a chunk; visits to sites that are no longer known are left out.

        Raises:
            StateError: a value's size is not that of its rows.
        """
        families = {
            "driver": _Global([value.drivers for value in self._values], names.drivers),
            "zone": _Global([value.zones for value in self._values], names.zones),
            "fence": _Global([value.fences for value in self._values], names.sites),
        }
        tables: dict[str, Any] = {}
        starts = [0] * len(self._values)
        for place, (name, table) in enumerate(TABLES.items()):
            width = 8 * (len(fields(table)) - 1)
            sizes = [value.sizes[place] for value in self._values]
            ends = [start + size * width for start, size in zip(starts, sizes, strict=True)]
            pieces = [v.rows[start:end] for v, start, end in zip(self._values, starts, ends, strict=True)]
            if any(len(p) != e - s for p, s, e in zip(pieces, starts, ends, strict=True)):
                raise StateError(f"a kept state ends within its table {name}")
            starts = ends
            tables[name] = self._table(table, b"".join(pieces), sizes, families)
        visits = tables["visits"]
        tables["visits"] = visits.take(visits.fence >= 0)
        return Standing(as_of_us, **tables)

    def _table(self, table: type[Table], rows: bytes, sizes: list[int], families: dict[str, _Global]) -> Any:
        columns = [column for column in fields(table) if column.name != "vehicle"]
        words = np.frombuffer(rows, "<i8").reshape(-1, len(columns))
        owner = np.repeat(np.arange(len(sizes)), sizes)
        values: dict[str, Any] = {"vehicle": np.array(self.vehicles, np.int64)[owner]}
        for at, column in enumerate(columns):
            word = np.ascontiguousarray(words[:, at])
            if column.name in families:
                values[column.name] = families[column.name].codes(owner, word)
            elif DTYPES[column.type] is np.float64:
                values[column.name] = word.view(np.float64)
            else:
                values[column.name] = word.astype(DTYPES[column.type])
        return table(**values)


def _bounds(table: Table, vehicles: Ints) -> tuple[list[int], list[int]]:
    """Return where each vehicle's rows begin and end; the table is sorted by vehicle."""
    vehicle = table.columns()["vehicle"]
    first, end = np.searchsorted(vehicle, vehicles), np.searchsorted(vehicle, vehicles, "right")
    return first.tolist(), end.tolist()


class _Local:
    """Names as each vehicle numbers them: by their codes, from 0."""

    def __init__(self, pairs: Ints, vehicles: Ints) -> None:
        self._pairs = pairs
        self._starts = np.searchsorted(pairs, vehicles << _SHIFT)
        self._ends = np.searchsorted(pairs, (vehicles + 1) << _SHIFT)

    @classmethod
    def of(cls, family: str, tables: Any, vehicles: Ints) -> _Local:
        columns = [t.columns() for t in tables]
        keys = [(c["vehicle"] << _SHIFT) + c[family] for c in columns if family in c]
        known = [c[family] >= 0 for c in columns if family in c]
        return cls(
            np.unique(np.concatenate([k[is_known] for k, is_known in zip(keys, known, strict=True)])),
            vehicles,
        )

    def codes(self, vehicle: Ints, code: Ints) -> Ints:
        first = np.searchsorted(self._pairs, vehicle << _SHIFT)
        at = np.searchsorted(self._pairs, (vehicle << _SHIFT) + code)
        return np.where(code >= 0, at - first, code)

    def names(self, known: Sequence[str]) -> list[list[str]]:
        codes = (self._pairs & ((1 << _SHIFT) - 1)).tolist()
        return [
            [known[code] for code in codes[start:end]]
            for start, end in zip(self._starts.tolist(), self._ends.tolist(), strict=True)
        ]


class _Global:
    """The codes that a chunk gives to the names of each vehicle; -1 for one that it does not know."""

    def __init__(self, lists: list[list[str]], known: Sequence[str]) -> None:
        number = {name: code for code, name in enumerate(known)}
        self._codes = np.array([number.get(name, -1) for names in lists for name in names] or [-1], np.int64)
        self._starts = np.array([0, *accumulate(len(names) for names in lists)], np.int64)

    def codes(self, owner: Ints, local: Ints) -> Ints:
        at = np.minimum(self._starts[owner] + np.maximum(local, 0), len(self._codes) - 1)
        return np.where(local >= 0, self._codes[at], local)


def _words(table: Table, local: Mapping[str, _Local]) -> Any:
    columns = {name: values for name, values in table.columns().items() if name != "vehicle"}
    words = np.empty((len(table), len(columns)), "<i8")
    for at, (name, values) in enumerate(columns.items()):
        if name in local:
            words[:, at] = local[name].codes(table.columns()["vehicle"], values)
        else:
            words[:, at] = values.view(np.int64) if values.dtype == np.float64 else values
    return words
