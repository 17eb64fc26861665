"""What a parsed file changes against the earlier versions of its name, as their raw objects hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.partners.archive import Archive, NotArchivedError
from ingestion.partners.ledger import Connection, PartnerFile, find_objects
from ingestion.partners.rows.fingerprints import HASHES, line_hashes
from ingestion.partners.rows.parse import Parsed
from ingestion.partners.rows.spool import read_rows
from ingestion.partners.supersede import Comparison, Int64s, all_new, compare

_READ_ROWS = 250_000
_REBUILT = b"fleetflow.rebuilt_from"


@dataclass(frozen=True)
class _SpooledLines:
    """The lines of a parsed file."""

    path: Path
    rows: int

    def hashes(self) -> Iterator[tuple[Int64s, Int64s]]:
        """Give the hashes of keys and contents, run by run."""
        for batch in read_rows(self.path, HASHES):
            yield _hashes(batch)


@dataclass(frozen=True)
class _LandedLines:
    """The lines of a raw object.

    One that was made from landing lacks the hashes. An event id tells its line key; what the line said is not known,
    so that each of its lines counts as changed by a later version, and the later one stands.
    """

    path: Path

    @property
    def rows(self) -> int:
        """How many lines there are."""
        return int(pq.read_metadata(self.path).num_rows)

    def hashes(self) -> Iterator[tuple[Int64s, Int64s]]:
        """Give the hashes of keys and contents, run by run."""
        with pq.ParquetFile(self.path) as parquet:
            rebuilt = (parquet.schema_arrow.metadata or {}).get(_REBUILT) == b"landing"
            columns = ["event_id"] if rebuilt else HASHES
            for batch in parquet.iter_batches(batch_size=_READ_ROWS, columns=columns):
                if rebuilt:
                    keys = line_hashes(batch.column("event_id"))
                    yield keys, np.zeros_like(keys)
                else:
                    yield _hashes(batch)


def _hashes(batch: pa.RecordBatch) -> tuple[Int64s, Int64s]:
    lines, contents = (batch.column(name).to_numpy(zero_copy_only=False) for name in HASHES)
    return lines, contents


def compare_versions(
    conn: Connection, parsed: Parsed, versions: Sequence[PartnerFile], archive: Archive, scratch: Path
) -> Comparison:
    """Compare by the raw objects of the versions, oldest first, brought to scratch for the time of it.

    A version whose objects are past their keeping counts as one that held nothing: its lines land again, as new ones.
    """
    if not versions:
        return all_new(parsed.accepted)
    brought: list[list[Path]] = []
    try:
        for version in versions:
            brought.append([])
            for number, key in enumerate(find_objects(conn, version.file_id)):
                path = scratch / f"version-{version.file_id}-{number}"
                try:
                    archive.fetch(key, path)
                except NotArchivedError:
                    continue
                brought[-1].append(path)
        landed = [[_LandedLines(path) for path in paths] for paths in brought]
        return compare(_SpooledLines(parsed.rows_path, parsed.accepted), landed)
    finally:
        for path in (path for paths in brought for path in paths):
            path.unlink(missing_ok=True)
