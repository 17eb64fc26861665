"""The landing of one parsed file: raw objects, then everything about it in one transaction, or nothing.

The steps, and what a crash between them leaves:
1. objects: one Parquet object a part. Crash: the retry writes the same objects under the same keys.
2. transaction: COPY rows, extras, ledger, rejects, the schema's version, the file as `loaded`. Crash before the
   commit: nothing; after: all. The update of the file expects it `whole`: of two, one rolls back.
The objects of a part are encoded and put while its rows stream into Postgres; the commit waits for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from domain.contracts.model import Feed
from ingestion.landing.ledger import Ledger, append_batches, append_rejects, new_batch_ids
from ingestion.partners.ledger import PartnerFile
from ingestion.partners.parts import (
    Part,
    Punctuality,
    count_parts,
    encode_part,
    landing_rows,
    object_key,
    read_parts,
)
from ingestion.partners.rows.parse import Parsed
from ingestion.partners.schemas import SchemaVersion
from ingestion.partners.states import IllegalTransitionError, State, require
from ingestion.partners.supersede import Comparison

KEPT_REJECTS = 10_000
_COPY_ROWS = 8192
PutObject = Callable[[str, bytes], None]
Step = Callable[[str], None]


@dataclass(frozen=True)
class _Object:
    """A raw object that is written, and what the ledger says of its rows."""

    key: str
    size: int
    part: int
    rows: int
    first_line: int
    last_line: int
    min_event_time: datetime
    max_event_time: datetime


class Landing:
    """Lands one file; may be tried again after any fault, with the same result."""

    def __init__(
        self,
        feed: Feed,
        file: PartnerFile,
        parsed: Parsed,
        comparison: Comparison,
        schema: SchemaVersion,
        *,
        ledger: Ledger,
        put_object: PutObject,
        background: Executor,
        worker: str,
        step: Step,
    ) -> None:
        self._feed = feed
        self._file = file
        self._parsed = parsed
        self._comparison = comparison
        self._schema = schema
        self._ledger = ledger
        self._put = put_object
        self._background = background
        self._worker = worker
        self._step = step

    def land(self, punctuality: Punctuality, facts: Mapping[str, Any]) -> None:
        """Land the rows and enter the file as loaded, with `facts` as further columns of its row.

        Raises:
            IllegalTransitionError: the file is not `whole` any more; nothing was written to the warehouse.
        """
        require(self._file.state, State.LOADED)
        parts = count_parts(self._comparison)
        writing: list[Future[_Object]] = []
        try:
            with self._ledger.transaction() as cursor:
                self._step("transaction")
                ids = new_batch_ids(cursor, max(parts, 1 if self._parsed.rejected else 0))
                for part in self._parts():
                    if len(writing) >= 2:
                        writing[-2].result()  # no more than two parts are in memory
                    writing.append(self._background.submit(self._write_object, part))
                    punctuality.see(part)
                    self._copy(cursor, part, ids[part.number])
                objects = [task.result() for task in writing]
                self._step("objects")
                self._write_ledger(cursor, ids, objects)
                self._write_schema(cursor)
                self._enter_loaded(cursor, {**facts, "observations": punctuality.found()})
                self._step("before commit")
        finally:
            for task in writing:
                with suppress(Exception):
                    task.exception()  # nothing of this try may still be writing when it is tried again
        self._step("after commit")

    def _parts(self) -> Iterator[Part]:
        """Give the parts, each read while the one before streams into Postgres."""
        parts = read_parts(self._parsed.rows_path, self._feed, self._file, self._comparison)
        with closing(parts), ThreadPoolExecutor(1, "parts") as ahead:
            reading = ahead.submit(next, parts, None)
            while (part := reading.result()) is not None:
                reading = ahead.submit(next, parts, None)
                yield part

    def _write_object(self, part: Part) -> _Object:
        body = encode_part(part, self._feed, self._file)
        key = object_key(self._file, part)
        self._put(key, body)
        self._step("object")
        times = part.event_times(self._feed)
        return _Object(
            key, len(body), part.number, part.rows.num_rows, part.first_line, part.last_line, *times
        )

    def _copy(self, cursor: Any, part: Part, batch_id: int) -> None:
        table = landing_rows(part, batch_id, self._file.arrived_at)
        # A batch is encoded as a whole before it is sent: in small ones Postgres writes meanwhile.
        rows = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=_COPY_ROWS))
        cursor.adbc_ingest(self._feed.name, rows, mode="append", db_schema_name="landing")
        if part.extras.null_count < len(part.extras):
            self._copy_extras(cursor, table, part.extras)

    def _copy_extras(self, cursor: Any, rows: pa.Table, extras: pa.ChunkedArray) -> None:
        """JSON goes by way of a table of texts: ADBC cannot append to jsonb."""
        table = rows.select(["batch_id", "line", "event_id"]).append_column("extras", extras)
        cursor.adbc_ingest(
            "partner_extra_text", table.filter(extras.is_valid()), mode="create", temporary=True
        )
        cursor.execute(
            "insert into ops.partner_extra (batch_id, line, feed, event_id, extras)"
            " select batch_id, line, $1, event_id, extras::jsonb from pg_temp.partner_extra_text",
            (self._feed.name,),
        )
        cursor.execute("drop table pg_temp.partner_extra_text")

    def _write_ledger(self, cursor: Any, ids: list[int], objects: list[_Object]) -> None:
        """One batch a part; the first one also counts the rejects. Rejects alone make a batch without rows."""
        landed = {found.part: found for found in objects}
        rows = [
            self._batch_row(batch_id, landed.get(number), self._parsed.rejected if number == 0 else 0)
            for number, batch_id in enumerate(ids)
        ]
        if rows:
            append_batches(cursor, rows)
        if self._parsed.rejected:
            for rows in self._reject_rows(ids[0]):
                append_rejects(cursor, rows)

    def _batch_row(self, batch_id: int, found: _Object | None, rejected: int) -> dict[str, Any]:
        accepted = found.rows if found else 0
        arrived = self._file.arrived_at
        row = {
            "batch_id": batch_id,
            "source": "partner",
            "feed": self._feed.name,
            "records": accepted + rejected,
            "events_read": accepted + rejected,
            "accepted": accepted,
            "rejected": rejected,
            "first_arrived_at": arrived,
            "last_arrived_at": arrived,
            "worker": self._worker,
            "partner_file_id": self._file.file_id,
        }
        if found is None:
            return row
        return row | {
            "first_sequence": str(found.first_line),
            "last_sequence": str(found.last_line),
            "object_key": found.key,
            "object_bytes": found.size,
            "min_event_time": found.min_event_time,
            "max_event_time": found.max_event_time,
        }

    def _reject_rows(self, batch_id: int) -> Iterator[list[dict[str, Any]]]:
        """The first rejects of the file; their count is exact in the ledger, their lines are in the archive.

        In runs: each holds up to 64 KiB of its line.
        """
        with pq.ParquetFile(self._parsed.refusals_path) as parquet:
            left = KEPT_REJECTS
            for batch in parquet.iter_batches(batch_size=1000):
                yield [self._reject_row(batch_id, one) for one in batch.slice(0, left).to_pylist()]
                left -= min(left, batch.num_rows)
                if not left:
                    return

    def _reject_row(self, batch_id: int, refused: dict[str, Any]) -> dict[str, Any]:
        return {
            "batch_id": batch_id,
            "feed": self._feed.name,
            "rule": refused["rule"],
            "detail": refused["detail"][:500].replace("\0", "\\0"),
            "raw": refused["raw"],
            "sequence_number": str(refused["line"]),
            "sub_sequence": 0,
            "arrived_at": self._file.arrived_at,
        }

    def _write_schema(self, cursor: Any) -> None:
        if not self._schema.is_new:
            return
        schema = self._schema
        values = (
            self._file.partner, schema.version, schema.schema.fingerprint, json.dumps(schema.columns_json),
            json.dumps(schema.diff_json), schema.state, self._file.file_id,
        )  # fmt: skip
        cursor.execute(
            "insert into ops.partner_schema (partner, version, fingerprint, columns, diff, state, first_file_id)"
            " values ($1, $2, $3, $4::text::jsonb, $5::text::jsonb, $6, $7)",
            values,
        )

    def _enter_loaded(self, cursor: Any, facts: Mapping[str, Any]) -> None:
        """Everything travels as one JSON text: ADBC binds no typed nulls."""
        compared, parsed = self._comparison, self._parsed
        values = {
            **facts,
            "lines": parsed.lines,
            "accepted": compared.rows - compared.unchanged,
            "rejected": parsed.rejected,
            "unchanged": compared.unchanged,
            "superseded": compared.superseded,
            "absent": compared.absent,
            "schema_version": self._schema.version,
        }
        if parsed.lines != compared.rows + parsed.rejected:
            raise AssertionError(
                f"{self._file.name}: {parsed.lines} lines, but {compared.rows} rows and {parsed.rejected} rejects"
            )
        cursor.execute(
            "update ops.partner_file as f set state = 'loaded', reason = v.reason, lines = v.lines,"
            " accepted = v.accepted, rejected = v.rejected, unchanged = v.unchanged, superseded = v.superseded,"
            " absent = v.absent, supersedes = v.supersedes, schema_version = v.schema_version,"
            " archive_key = v.archive_key, cause = null, observations = v.observations, attempts = 0,"
            " ended_at = clock_timestamp()"
            " from jsonb_to_record($1::text::jsonb) as v (reason text, lines bigint, accepted bigint,"
            " rejected bigint, unchanged bigint, superseded bigint, absent bigint, supersedes bigint,"
            " schema_version integer, archive_key text, observations jsonb)"
            " where f.file_id = $2 and f.state = 'whole' returning 1",
            (json.dumps(values), self._file.file_id),
        )
        if cursor.fetchone() is None:
            raise IllegalTransitionError(f"file {self._file.file_id} ({self._file.name}) is no longer whole")
