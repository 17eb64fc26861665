"""What a backfill will take: seconds by the rates that the benchmarks measured, dollars by list prices.

Reading from landing and writing to Postgres cost no request; reading the lake costs GETs. Traffic between S3 and
machines of the same region is free.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingestion.backfill.plan import Plan

# USD, AWS list prices, us-east-1, S3 Standard; as known on the day below. One place to change them.
PRICES_AS_OF = "2026-11-21"
USD_PER_1000_GETS = 0.0004

# A reader fetches a Parquet object in ranges: its footer, then its column chunks in portions of about this size.
_BYTES_PER_GET = 8 << 20
_GETS_PER_OBJECT = 2
# Rows a second on two cores: `fleetflow bench backfill`, `fleetflow bench transform`.
COPY_ROWS_PER_S = 150_000
TRANSFORM_ROWS_PER_S = 20_000


@dataclass(frozen=True)
class Estimate:
    """Seconds, requests and dollars; the time of the transform is shared with what is live."""

    copy_s: float
    transform_s: float
    gets: int
    size_bytes: int
    usd: float
    prices_as_of: str = PRICES_AS_OF

    @property
    def seconds(self) -> float:
        """All of it, one after the other."""
        return self.copy_s + self.transform_s


def estimate(plan: Plan, *, transformed: bool) -> Estimate:
    """Estimate a plan; `transformed` says whether any pipeline makes tables of the feed."""
    gets = plan.objects * _GETS_PER_OBJECT + -(-plan.size_bytes // _BYTES_PER_GET)
    return Estimate(
        copy_s=plan.rows_from("lake") / COPY_ROWS_PER_S,
        transform_s=plan.rows / TRANSFORM_ROWS_PER_S if transformed else 0.0,
        gets=gets,
        size_bytes=plan.size_bytes,
        usd=round(gets / 1000 * USD_PER_1000_GETS, 6),
    )
