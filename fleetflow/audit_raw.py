"""Holds entries of the audit against the very lines of the raw objects that they cite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from fleetflow.audit import Finding, Row, Scope
from fleetflow.runtime import Connection

COMPARED = (
    "tenant_id", "shipment_id", "event_id", "status", "occurred_at", "recorded_at", "sequence", "reason_code",
    "vehicle_id", "lat", "lon", "origin",
)  # fmt: skip

_CITED = sql.SQL("""
select a.tenant_id, a.shipment_id, a.entry, a.event_id, a.status, a.occurred_at, a.recorded_at, a.sequence,
    a.reason_code, a.vehicle_id, a.lat, a.lon, a.origin, a.object_key, a.line,
    b.batch_id is null or b.object_expired_at is not null as is_expired
from (
    select l.* from audit.shipment_status as l {pages}
    where l.object_key is not null
        and (%(tenant)s::text is null or l.tenant_id = %(tenant)s)
        and (%(shipment)s::text is null or l.shipment_id = %(shipment)s)
        and (%(since)s::date is null or l.believed_from >= %(since)s::date::timestamp at time zone 'UTC')
    order by case when %(shipment)s::text is null then random() end, l.entry
    limit case when %(shipment)s::text is null then %(sample)s::bigint end
) as a
left join ops.batch as b on a.batch_id = b.batch_id
""")
_PAGES = sql.SQL("tablesample system (%(percent)s)")
_PAGES_IN_ALL = """
select pg_relation_size('audit.shipment_status') / current_setting('block_size')::bigint
"""
_WIDEN = 10
"""A page holds few entries of one tenant: where too few were met, so many times the pages are read."""


@dataclass
class Compared:
    """How many entries were held against their lines, how many objects have expired, and what differs."""

    lines: int = 0
    expired: int = 0
    findings: list[Finding] = field(default_factory=list)


def compare_raw(conn: Connection, filesystem: Any, bucket: str, scope: Scope, sample: int) -> Compared:
    """Compare every entry of one shipment, else a random sample, with the lines they came from.

    Args:
        conn: as operations.
        filesystem: the S3 of the raw bucket, as Arrow has it.
        bucket: the raw bucket.
        scope: what to look at.
        sample: how many entries, where no shipment is named.
    """
    found = Compared()
    entries = sorted(_cited(conn, scope, sample), key=lambda row: str(row["object_key"]))
    for key, cited in groupby(entries, key=lambda row: str(row["object_key"])):
        rows = list(cited)
        if rows[0]["is_expired"]:
            found.expired += len(rows)
            continue
        found.lines += len(rows)
        found.findings += _differences(filesystem, f"{bucket}/{key}", rows)
    return found


def _cited(conn: Connection, scope: Scope, sample: int) -> list[Row]:
    """Return the entries to compare: of a shipment or of days all are looked at, which their indexes find.

    Of everything, as many random pages as entries are wanted, then more if they hold too few: a sample of a hundred
    does not read three years.
    """
    values = {**scope.values(), "sample": sample}
    with conn.cursor(row_factory=dict_row) as cursor:
        if scope.shipment is None and scope.since is None:
            ((pages,),) = conn.execute(_PAGES_IN_ALL).fetchall()
            wanted = sample
            while wanted < pages:
                query = _CITED.format(pages=_PAGES)
                rows = cursor.execute(query, {**values, "percent": 100 * wanted / pages}).fetchall()
                if len(rows) == sample:
                    return list(rows)
                wanted *= _WIDEN
        return list(cursor.execute(_CITED.format(pages=sql.SQL("")), values).fetchall())


def _differences(filesystem: Any, path: str, rows: Sequence[Row]) -> Iterator[Finding]:
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, filesystem=filesystem, columns=list(COMPARED))
    except OSError as fault:
        for row in rows:
            yield _finding(row, f"{path} cannot be read: {fault}")
        return
    for row in rows:
        if row["line"] >= table.num_rows:
            yield _finding(row, f"{path} has {table.num_rows} lines, not line {row['line']}")
            continue
        line = table.slice(row["line"], 1).to_pylist()[0]
        others = [
            f"{name} {line[name]!r}, here {row[name]!r}" for name in COMPARED if line[name] != row[name]
        ]
        if others:
            yield _finding(row, f"{path} line {row['line']} says {'; '.join(others)}")


def _finding(row: Row, detail: str) -> Finding:
    return Finding("status", row["tenant_id"], row["shipment_id"], row["entry"], "raw", detail)
