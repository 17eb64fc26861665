"""The Great Expectations suite of a feed: what every accepted row keeps to, as JSON that the library loads.

Written without importing Great Expectations (that takes seconds); a test loads each suite with the real one.
Every expectation is severity critical: landing has already refused such rows, so a breach means a defect in
landing or a row that came in another way. Set rules (volume, freshness, transitions) are not here: they are
no contract of one feed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from domain.contracts.model import Choice, Column, Feed, Text

Expectation = dict[str, Any]


def suite(feed: Feed) -> dict[str, Any]:
    """Return the suite of a feed's landing table, or of an entity's mirror in `source`."""
    return {
        "name": f"contract_{feed.name}",
        "expectations": list(_expectations(feed)),
        "meta": {
            "generated": "by `make generate` from domain/contracts; do not edit",
            "subject": f"{'landing' if feed.lands else 'source'}.{feed.name}",
            "contract_version": f"{feed.version}.{feed.minor}",
        },
        "notes": feed.doc,
    }


def _expectations(feed: Feed) -> Iterator[Expectation]:
    names = [column.name for column in feed.mirrored]
    yield _expect("expect_table_columns_to_match_set", column_set=names, exact_match=False)
    if not feed.lands:
        yield from _unique(feed)
    for column in feed.mirrored:
        yield from _column(column)
    for pair in feed.together:
        yield from (_present_with(this, other) for this, other in (pair, pair[::-1]))


def _unique(feed: Feed) -> Iterator[Expectation]:
    # Only a mirror holds each key once; landing keeps every repeat, and the warehouse removes it.
    if len(feed.key) == 1:
        yield _expect("expect_column_values_to_be_unique", column=feed.key[0])
    else:
        yield _expect("expect_compound_columns_to_be_unique", column_list=list(feed.key))


def _column(column: Column) -> Iterator[Expectation]:
    if not column.nullable:
        yield _expect("expect_column_values_to_not_be_null", column=column.name)
    match column.type:
        case Text(max_length):
            yield _expect(
                "expect_column_value_lengths_to_be_between",
                column=column.name,
                min_value=1,
                max_value=max_length,
            )
        case Choice(values):
            yield _expect("expect_column_values_to_be_in_set", column=column.name, value_set=list(values))
        case _:
            pass
    if column.between:
        low, high = column.between
        bounds = {"min_value": low, "max_value": high}
        yield _expect("expect_column_values_to_be_between", column=column.name, **bounds)


def _present_with(column: str, other: str) -> Expectation:
    condition = {"type": "nullity", "column": {"name": other}, "is_null": False}
    return _expect("expect_column_values_to_not_be_null", column=column, row_condition=condition)


def _expect(kind: str, **kwargs: Any) -> Expectation:
    given = {name: value for name, value in kwargs.items() if value is not None}
    return {"type": kind, "kwargs": given, "severity": "critical"}
