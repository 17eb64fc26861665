"""A kept state comes back as it was: every value of every table, in the codes of whoever opens it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.tracks.table import DTYPES, Table
from fleetflow.vehicles.tracks.codec import FAMILIES, TABLES, Decoded, StateError, encode
from fleetflow.vehicles.tracks.standing import Standing
from fleetflow.vehicles.tracks.sums import NEVER


@dataclass(frozen=True)
class Names:
    drivers: list[str]
    zones: list[str]
    sites: list[str]


WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
LISTS = st.lists(WORDS, min_size=1, max_size=5, unique=True).map(sorted)
WHOLE = st.integers(-(2**63), 2**63 - 1)
COLUMNS: dict[Any, st.SearchStrategy[Any]] = {
    np.int64: WHOLE,
    np.float64: st.floats(allow_nan=True, allow_infinity=True),
    np.bool_: st.booleans(),
}


@st.composite
def standings(draw: st.DrawFn) -> tuple[Standing, Names]:
    names = Names(draw(LISTS), draw(LISTS), draw(LISTS))
    known = dict(zip(FAMILIES, (names.drivers, names.zones, names.sites), strict=True))
    vehicles = draw(st.integers(1, 4))

    def table(kind: type[Table]) -> Table:
        owner = sorted(draw(st.lists(st.integers(0, vehicles - 1), max_size=6)))
        columns: dict[str, Any] = {"vehicle": np.array(owner, np.int64)}
        for column in fields(kind):
            if column.name in known:
                least = 0 if column.name == "fence" else -1
                values: Any = st.integers(least, len(known[column.name]) - 1)
            else:
                values = COLUMNS[DTYPES[column.type]]
            if column.name != "vehicle":
                drawn = draw(st.lists(values, min_size=len(owner), max_size=len(owner)))
                columns[column.name] = np.array(drawn, DTYPES[column.type])
        return kind(**columns)

    as_of = np.array(draw(st.lists(WHOLE, min_size=vehicles, max_size=vehicles)), np.int64)
    return Standing(as_of, **{name: table(kind) for name, kind in TABLES.items()}), names


def bits(table: Table) -> list[list[Any]]:
    return [
        values.view(np.int64).tolist() if values.dtype == np.float64 else values.tolist()
        for values in table.columns().values()
    ]


@given(standings())
def test_a_state_comes_back_as_it_was(drawn: tuple[Standing, Names]) -> None:
    standing, names = drawn
    vehicles = np.arange(len(standing.as_of_us))
    values = encode(standing, vehicles, names)
    back = Decoded(dict(enumerate(values))).standing(standing.as_of_us, names)
    for name in TABLES:
        assert bits(getattr(back, name)) == bits(getattr(standing, name)), name


@given(standings(), LISTS, LISTS)
def test_names_and_not_codes_are_kept(
    drawn: tuple[Standing, Names], more_drivers: list[str], more_zones: list[str]
) -> None:
    """Another chunk has other names, of other vehicles too; a state opened there names the same."""
    standing, names = drawn
    last = len(standing.as_of_us) - 1
    [value] = encode(standing, np.array([last]), names)
    opened = Decoded({3: value})
    wider = Names(sorted({*opened.drivers, *more_drivers}), sorted({*opened.zones, *more_zones}), names.sites)
    back = opened.standing(np.full(5, NEVER), wider)
    for table in ("carry", "candidates", "parts", "days"):
        here, there = getattr(standing, table), getattr(back, table)
        here = here.take(here.vehicle == last)
        assert set(there.vehicle.tolist()) <= {3}
        for column, before, after in (
            ("driver", names.drivers, wider.drivers),
            ("zone", names.zones, wider.zones),
        ):
            found = [after[code] if code >= 0 else None for code in getattr(there, column).tolist()]
            assert found == [before[code] if code >= 0 else None for code in getattr(here, column).tolist()]


@given(standings())
def test_a_visit_to_a_site_that_went_is_dropped(drawn: tuple[Standing, Names]) -> None:
    standing, names = drawn
    values = encode(standing, np.arange(len(standing.as_of_us)), names)
    back = Decoded(dict(enumerate(values))).standing(
        standing.as_of_us, Names(names.drivers, names.zones, names.sites[1:])
    )
    kept = standing.visits.take(standing.visits.fence > 0)
    assert back.visits.fence.tolist() == (kept.fence - 1).tolist()
    assert back.visits.entered_us.tolist() == kept.entered_us.tolist()


@pytest.mark.parametrize("value", [b"", b"no state", zlib.compress(b"no state")])
def test_what_is_no_state_is_refused(value: bytes) -> None:
    with pytest.raises(StateError, match="cannot be read"):
        Decoded({0: value})


def test_a_state_that_ends_early_is_refused() -> None:
    import msgspec

    names = Names(["d"], ["UTC"], ["s"])
    cut = msgspec.msgpack.encode([[1, 0, 0, 0, 0, 0], [], [], [], b"\0" * 8])
    with pytest.raises(StateError, match="ends within its table carry"):
        Decoded({0: zlib.compress(cut)}).standing(np.array([0]), names)
