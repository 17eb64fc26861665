"""What a backfill will take: seconds by rates measured on one small machine, dollars by S3's prices of requests.

Reading from landing and writing to Postgres cost no request; reading the lake costs GETs, and nothing is put. Traffic
between S3 and machines of the same region is free. `Estimate.basis` says in words what the figures rest on.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingestion.backfill.plan import Plan

# S3 Standard, us-east-1, GET: 0.0004 USD per 1,000 (PUT, of which a backfill makes none: 0.005). Looked up on the day
# below in https://awsi.click/en/articles/s3-request-pricing-get-put-difference/ and
# https://c3x.dev/blog/s3-request-fees-explained, which agree. Of https://aws.amazon.com/s3/pricing/ itself only a copy
# without its figures was at hand: check there before a decision hangs on it.
PRICES_AS_OF = "2026-11-21"
USD_PER_1000_GETS = 0.0004

# A reader fetches a Parquet object in ranges: its footer, then its column chunks in portions of about this size.
_BYTES_PER_GET = 8 << 20
_GETS_PER_OBJECT = 2
# Rows a second on 2 cores, docs/performance.md: `fleetflow bench backfill` copied 126,000 to 173,000 from the lake into
# landing; `fleetflow bench transform` took 105 s for 2.1 M shipment events at once, beside 12 M rows of history. A
# backfill's rows are folded with their shipments' whole lives, and share the runs with what is live: slower than that.
COPY_ROWS_PER_S = 150_000
TRANSFORM_ROWS_PER_S = 20_000


@dataclass(frozen=True)
class Estimate:
    """Seconds, requests and dollars; the time of the transform is shared with what is live.

    Not in it: what the database and the machines cost while they work.
    """

    copy_s: float
    transform_s: float
    gets: int
    size_bytes: int
    usd: float
    transformed: bool
    prices_as_of: str = PRICES_AS_OF

    @property
    def seconds(self) -> float:
        """All of it, one after the other."""
        return self.copy_s + self.transform_s

    @property
    def basis(self) -> str:
        """What the figures rest on, in words."""
        copied = f"copying at {COPY_ROWS_PER_S:,} rows/s" if self.copy_s else "nothing to copy"
        made = (
            f"transforming at {TRANSFORM_ROWS_PER_S:,} rows/s"
            if self.transformed
            else "no pipeline makes tables of the feed"
        )
        return (
            f"{copied}, {made}: benchmarks on 2 cores without other load; live batches go first, so it may take longer."
            f" Dollars are S3 GETs at {USD_PER_1000_GETS} USD per 1,000 (us-east-1, looked up {self.prices_as_of}),"
            " not the database or machines"
        )


def estimate(plan: Plan, *, transformed: bool) -> Estimate:
    """Estimate a plan; `transformed` says whether any pipeline makes tables of the feed."""
    gets = plan.objects * _GETS_PER_OBJECT + -(-plan.size_bytes // _BYTES_PER_GET)
    return Estimate(
        copy_s=plan.rows_from("lake") / COPY_ROWS_PER_S,
        transform_s=plan.rows / TRANSFORM_ROWS_PER_S if transformed else 0.0,
        gets=gets,
        size_bytes=plan.size_bytes,
        usd=round(gets / 1000 * USD_PER_1000_GETS, 6),
        transformed=transformed,
    )
