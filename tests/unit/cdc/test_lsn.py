from __future__ import annotations

import pytest

from ingestion.cdc.lsn import format_lsn, parse_lsn


@pytest.mark.parametrize(
    ("text", "position"), [("0/0", 0), ("16/B374D848", 0x16B374D848), ("FFFFFFFF/FFFFFFFF", 2**64 - 1)]
)
def test_both_ways(text: str, position: int) -> None:
    assert parse_lsn(text) == position
    assert format_lsn(position) == text
