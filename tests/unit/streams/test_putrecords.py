from __future__ import annotations

import statistics

import pytest

from ingestion.streams.putrecords import RETRY_BASE_S, retry_delay_s


@pytest.mark.parametrize(
    ("attempts", "ceiling_s"), [(0, 0.05), (1, 0.1), (3, 0.4), (6, 2.0), (60, 2.0), (5000, 2.0)]
)
def test_waits_are_spread_evenly_below_a_doubling_and_capped_ceiling(attempts: int, ceiling_s: float) -> None:
    waits = [retry_delay_s(attempts, 2.0) for _ in range(4000)]
    assert 0 <= min(waits) < 0.02 * ceiling_s
    assert 0.98 * ceiling_s < max(waits) <= ceiling_s
    assert statistics.mean(waits) == pytest.approx(ceiling_s / 2, rel=0.1)


def test_the_first_wait_is_short() -> None:
    assert retry_delay_s(0, 5.0) <= RETRY_BASE_S
