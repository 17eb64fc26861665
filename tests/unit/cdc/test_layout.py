"""What a change of schema is called."""

from __future__ import annotations

import pytest

from ingestion.cdc.errors import SchemaDriftError
from ingestion.cdc.layout import Layout, SourceColumn, compare

TEXT, INT = 25, 23


def layout(*columns: tuple[str, int, int | None], oid: int = 1) -> Layout:
    return Layout(oid, tuple(SourceColumn(name, kind, -1, number) for name, kind, number in columns))


BASE = layout(("id", TEXT, 1), ("city", TEXT, 2), ("size", INT, 3))


def names(columns: tuple[SourceColumn, ...]) -> list[str]:
    return [column.name for column in columns]


@pytest.mark.parametrize(
    ("seen", "added", "dropped"),
    [
        (BASE, [], []),
        (layout(("id", TEXT, 1), ("city", TEXT, 2), ("size", INT, 3), ("note", TEXT, 4)), ["note"], []),
        (layout(("id", TEXT, 1), ("size", INT, 3)), [], ["city"]),
        (layout(("id", TEXT, 1), ("city", TEXT, 2), ("weight", INT, 4)), ["weight"], ["size"]),
        # The new column is gone again from the catalog: only its place and type speak.
        (layout(("id", TEXT, None), ("city", TEXT, None), ("note", TEXT, None)), ["note"], ["size"]),
    ],
)
def test_followed(seen: Layout, added: list[str], dropped: list[str]) -> None:
    difference = compare("sites", BASE, seen)
    assert (names(difference.added), names(difference.dropped)) == (added, dropped)
    assert len(difference.in_words()) == len(added) + len(dropped)


@pytest.mark.parametrize(
    ("seen", "change", "detail"),
    [
        (layout(("id", TEXT, 1), ("town", TEXT, 2), ("size", INT, 3)), "rename", "city is now called town"),
        (
            layout(("id", TEXT, None), ("town", TEXT, None), ("size", INT, None)),
            "rename",
            "city is now called town",
        ),
        (
            layout(("id", TEXT, None), ("city", TEXT, None), ("bulk", INT, None)),
            "rename",
            "size is now called bulk",
        ),
        (layout(("id", TEXT, 1), ("city", TEXT, 2), ("size", TEXT, 3)), "type", "size changed its type"),
        (layout(("id", TEXT, 1), ("city", TEXT, 2), ("size", INT, 3), oid=2), "replace", "made anew"),
    ],
)
def test_refused(seen: Layout, change: str, detail: str) -> None:
    with pytest.raises(SchemaDriftError, match=detail) as refusal:
        compare("sites", BASE, seen)
    assert refusal.value.change == change


def test_a_narrower_length_is_another_type() -> None:
    before = Layout(1, (SourceColumn("name", 1043, 24, 1),))
    after = Layout(1, (SourceColumn("name", 1043, 14, 1),))
    with pytest.raises(SchemaDriftError):
        compare("sites", before, after)


def test_layout_survives_the_ledger() -> None:
    assert Layout.from_json(BASE.to_json()) == BASE
