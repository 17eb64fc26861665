"""Takes out of the store what no sender ever sent, and has the shipments folded again; one transaction.

No run may be at work meanwhile, for it could put back what it has read before. So the transaction opens a run of its
own, which the ledger allows only one of, and ends it: whoever claims waits for the commit, or was there first.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from domain.contracts.model import Feed
from ingestion.backfill.land import requeue
from ingestion.backfill.model import Backfill, Chunk, Connection
from ingestion.backfill.verify import STORES


def mend_store(
    conn: Connection,
    backfill: Backfill,
    chunk: Chunk,
    feed: Feed,
    wrong: Sequence[tuple[str, ...]],
    batches: Sequence[int],
) -> bool:
    """Delete wrong rows of the store and queue the chunk's batches again; False while another run is at work."""
    with conn.transaction():
        opened = conn.execute(
            "insert into ops.transform_run (pipeline, claimed_by) select p.pipeline, %s from ops.pipeline_feed as p"
            " where p.feed = %s and p.pipeline <> 'lake'"
            " on conflict (pipeline) where state = 'claimed' do nothing returning run_id",
            (f"backfill {backfill.backfill_id}", feed.name),
        ).fetchall()
        if not opened:
            return False
        conn.execute(
            sql.SQL(
                "delete from {} as s using unnest(%s::text[], %s::text[], %s::text[])"
                " as w (tenant_id, shipment_id, event_id) where s.tenant_id = w.tenant_id"
                " and s.shipment_id = w.shipment_id and s.event_id = w.event_id"
            ).format(sql.Identifier(*STORES[feed.name].table.split("."))),
            [[row[i] for row in wrong] for i in range(3)],
        )
        requeue(conn, feed.name, batches)
        conn.execute(
            "update ops.backfill_chunk set state = 'landed', repairs = repairs + 1, heartbeat_at = clock_timestamp()"
            " where backfill_id = %s and chunk = %s",
            (backfill.backfill_id, chunk.number),
        )
        conn.execute(
            "update ops.transform_run set state = 'done', finished_at = clock_timestamp() where run_id = any(%s)",
            ([run_id for (run_id,) in opened],),
        )
    return True
