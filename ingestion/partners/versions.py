"""What a parsed file changes against the earlier versions of its name, as their raw objects hold them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from ingestion.partners.archive import Archive, NotArchivedError
from ingestion.partners.ledger import Connection, PartnerFile, find_objects
from ingestion.partners.supersede import Comparison, Open, all_new, compare


def compare_versions(
    conn: Connection, rows: Path, versions: Sequence[PartnerFile], archive: Archive, scratch: Path
) -> Comparison:
    """Compare by the raw objects of the versions, oldest first, brought to scratch for the time of it.

    A version whose objects are past their keeping counts as one that held nothing: its lines land again, as new ones.
    """
    if not versions:
        return all_new(pq.read_metadata(rows).num_rows)
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
        opened: list[list[Open]] = [[partial(pq.ParquetFile, path) for path in paths] for paths in brought]
        return compare(partial(pq.ParquetFile, rows), opened)
    finally:
        for path in (path for paths in brought for path in paths):
            path.unlink(missing_ok=True)
