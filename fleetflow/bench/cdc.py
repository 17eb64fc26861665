"""Changes a second from the order database's log into the mirrors, beside a bare peek of the same changes.

The work: committed changes of shipments (half inserts, four tenths updates, one tenth deletes, in transactions of 500)
wait in the slot; one pull, in a process of its own, decodes and applies them, with history, ledger and position. The
limit, in the same run: the same slot peeked to its end (values as text), every message fetched and thrown away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import psycopg

from fleetflow.bench.landing import peak_mib
from fleetflow.bench.scratch import scratch_warehouse, with_database
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from ingestion import cdc
from ingestion.cdc import slot

_PER_TRANSACTION = 500
_INSERT = """
insert into shipments (shipment_id, tenant_id, order_ref, customer_id, carrier_id, service_level, mode, origin_site_id,
    destination_site_id, pieces, weight_kg, declared_value_minor, currency, status, created_at, promised_at,
    cancelled_at, updated_at)
select 'SHP' || lpad(i::text, 10, '0'), 'acme', 'ORD' || i, 'CUS' || i %% 1000, 'CAR' || i %% 20, 'express', 'road',
    'S1', 'S1', 1 + i %% 5, 10.5 + i %% 100, i, 'EUR', 'created', now(), now() + interval '2 days', null, now()
from generate_series(%s::bigint, %s::bigint) as i
"""
_UPDATE = (
    "update shipments set status = 'assigned', updated_at = now() where shipment_id in"
    " (select 'SHP' || lpad(i::text, 10, '0') from generate_series(%s::bigint, %s::bigint) as i)"
)
_DELETE = (
    "delete from shipments where shipment_id in"
    " (select 'SHP' || lpad(i::text, 10, '0') from generate_series(%s::bigint, %s::bigint) as i)"
)
_PEEK = (
    "select data from pg_logical_slot_peek_binary_changes(%s, null, null, 'proto_version', '1',"
    " 'publication_names', %s)"
)
_FETCH = 16_384
_SITE = (
    "insert into sites values ('S1', 'acme', 'Site 1', 'depot', 'north', 'DE', 'Kiel', 54.3, 10.1, 'Europe/Berlin')"
    " on conflict do nothing"
)


def make_changes(orders: Connection, first: int, changes: int) -> None:
    """Commit so many changes: each group of ten is five inserts, four updates and a delete."""
    inserts = changes // 2
    for start in range(first, first + inserts, _PER_TRANSACTION):
        end = min(start + _PER_TRANSACTION, first + inserts) - 1
        orders.execute(_INSERT, (start, end))
        share = (end - start + 1) * 4 // 5
        orders.execute(_UPDATE, (start, start + share - 1))
        orders.execute(_DELETE, (start, start + (end - start + 1) // 5 - 1))


def pull_once(source_dsn: str, warehouse_dsn: str) -> dict[str, Any]:
    """Pull once in this process; return changes, seconds and the peak of its memory in MiB."""
    with psycopg.connect(source_dsn, autocommit=True) as source, connect(warehouse_dsn) as warehouse:
        cpu, started = time.process_time(), time.perf_counter()
        report = cdc.pull(source, warehouse)
        seconds = time.perf_counter() - started
    return {
        "changes": report.total, "seconds": seconds, "rounds": report.rounds, "peak_mib": peak_mib(),
        "cpu_seconds": time.process_time() - cpu,
    }  # fmt: skip


def peek_once(source_dsn: str) -> dict[str, float]:
    """Fetch every message of the slot and drop it; the slot stays where it is."""
    with psycopg.connect(source_dsn, autocommit=True) as source:
        started, messages = time.perf_counter(), 0
        with source.transaction(), psycopg.ServerCursor(source, "peek") as cursor:
            cursor.execute(_PEEK, (cdc.SLOT, cdc.PUBLICATION), binary=True)
            while rows := cursor.fetchmany(_FETCH):
                messages += len(rows)
        return {"messages": messages, "seconds": time.perf_counter() - started}


def run_bench(settings: Settings, changes: int = 500_000, growth: int = 2) -> dict[str, Any]:
    """Pull `changes`, then `growth` times as many; return changes a second, memory of both, and the limit."""
    runs = []
    source_dsn = settings.orders_cdc_dsn.reveal()
    with scratch_warehouse(settings.dsn("owner")) as name:
        loader = with_database(settings.dsn("loader"), name)
        with connect(settings.orders_dsn.reveal(), autocommit=True) as orders:
            cdc.prepare(orders, "orders_cdc")
            orders.execute(_SITE)
            with connect(loader) as warehouse:
                cdc.snapshot(source_dsn, warehouse, re_create=True)
            first = 0
            for count in (changes, changes * growth):
                make_changes(orders, first, count)
                first += count
                peeked = peek_once(source_dsn)
                runs.append(_figures(_in_a_process(source_dsn, loader), peeked))
        with psycopg.connect(source_dsn, autocommit=True) as source:
            slot.drop(source, cdc.SLOT)
    return {
        "benchmark": "cdc",
        "changes": changes,
        "changes_per_s": runs[0]["changes_per_s"],
        "limit_peek_per_s": runs[0]["limit_peek_per_s"],
        "share_of_limit": round(runs[0]["changes_per_s"] / runs[0]["limit_peek_per_s"], 3),
        "peak_mib": max(run["peak_mib"] for run in runs),
        "cores": os.cpu_count(),
        "runs": runs,
    }


def _figures(pulled: dict[str, Any], peeked: dict[str, float]) -> dict[str, Any]:
    return {
        "changes": pulled["changes"],
        "seconds": round(pulled["seconds"], 2),
        "changes_per_s": round(pulled["changes"] / pulled["seconds"]),
        "limit_peek_per_s": round(pulled["changes"] / peeked["seconds"]),
        "cpu_us_per_change": round(pulled["cpu_seconds"] / pulled["changes"] * 1e6, 2),
        "rounds": pulled["rounds"],
        "peak_mib": round(pulled["peak_mib"]),
    }


def _in_a_process(source_dsn: str, warehouse_dsn: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "fleetflow.bench.cdc"],
        input=json.dumps([source_dsn, warehouse_dsn]), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the measured process failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    sys.stdout.write(json.dumps(pull_once(*json.load(sys.stdin))) + "\n")
