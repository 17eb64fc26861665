"""Fills a column that was added with a computed default.

Such an ALTER TABLE (gen_random_uuid(), an identity) rewrites the table without a word in the stream. So the column
is read again from the order database, for the rows that no change has touched since. What is read may be newer than
the position applied; the stream brings every later change of those rows anyway, and with it the same end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg import sql

from ingestion.cdc.lsn import format_lsn
from ingestion.cdc.mirror import MirrorTable, identifiers, with_parameters
from ingestion.cdc.publication import SCHEMA
from ingestion.cdc.slot import plain_output

Connection = psycopg.Connection[tuple[Any, ...]]

# Sequence numbers below zero: the next transaction may commit at this very position and count from one.
_FILL = """
with filled as (
    update {current} as held set {take}, _lsn = %(at)s::text::pg_lsn, _committed_at = now(), batch_id = %(batch)s
    from {stage} as s
    where {same_key} and not held._deleted and held._lsn < %(since)s::text::pg_lsn
    returning held.*
)
insert into {history} ({every}, _op, _lsn, _seq, _committed_at, batch_id)
select {every}, 's', _lsn, -row_number() over (), _committed_at, batch_id from filled
"""


def backfill(
    source: Connection,
    warehouse: Connection,
    table: MirrorTable,
    added: Mapping[str, int],
    at: int,
    batch_id: int,
) -> int:
    """Read columns again, each for the rows whose version is older than the column; return how many were filled.

    `added` tells since which position the stream carries each column. The rows become versions of position `at`,
    within the running warehouse transaction.
    """
    stage = sql.Identifier("pg_temp", f"cdc_fill_{table.entity}")
    _read_again(source, warehouse, table, added, stage)
    same_key = [
        sql.SQL("held.{0} = s.{0}").format(sql.Identifier(name)) for name in with_parameters(table.key)
    ]
    take = [
        sql.SQL("{0} = case when held._lsn < {1}::pg_lsn then s.{0} else held.{0} end").format(
            sql.Identifier(name), format_lsn(since)
        )
        for name, since in zip(with_parameters(list(added)), added.values(), strict=True)
    ]
    statement = sql.SQL(_FILL).format(
        current=table.current,
        history=table.history,
        stage=stage,
        take=sql.SQL(", ").join(take),
        same_key=sql.SQL(" and ").join(same_key),
        every=identifiers(with_parameters(list(table.types))),
    )
    values = {"at": format_lsn(at), "since": format_lsn(max(added.values())), "batch": batch_id}
    return warehouse.execute(statement, values).rowcount


def _read_again(
    source: Connection,
    warehouse: Connection,
    table: MirrorTable,
    names: Iterable[str],
    stage: sql.Identifier,
) -> None:
    columns = identifiers([*table.key, *names])
    warehouse.execute(sql.SQL("drop table if exists {}").format(stage))
    warehouse.execute(
        sql.SQL("create temporary table {} on commit drop as select {} from {} with no data").format(
            stage, columns, table.current
        )
    )
    out = sql.SQL("copy (select {} from {}) to stdout").format(columns, sql.Identifier(SCHEMA, table.entity))
    into = sql.SQL("copy {} from stdin").format(stage)
    with source.transaction():
        plain_output(source)
        with (
            source.cursor().copy(out) as rows,
            warehouse.cursor() as cursor,
            cursor.copy(into) as copy,
        ):
            for block in rows:
                copy.write(block)
