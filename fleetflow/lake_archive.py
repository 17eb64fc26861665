"""The lake as a backfill sees it: counts, rows and weight of a range of event time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from domain.contracts.model import Feed
from fleetflow.settings import Settings
from ingestion.backfill.model import Span

if TYPE_CHECKING:
    import pyarrow as pa

    from ingestion.lake.tables import Lake


@dataclass
class LakeArchive:
    """The lake as a source of rows; that of the settings is opened when it is first asked."""

    settings: Settings
    feed: Feed
    lake: Lake | None = None

    @cached_property
    def _lake(self) -> Lake:
        if self.lake is not None:
            return self.lake
        from fleetflow.lake import open_lake

        return open_lake(self.settings)

    def count(self, span: Span) -> int:
        """Count the rows of a range."""
        from ingestion.lake.read import count_rows

        return count_rows(self._lake, self.feed.name, span.from_at, span.to_at)

    def scan(self, span: Span, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Give the rows of a range, file by file."""
        from ingestion.lake.read import scan_rows

        return scan_rows(self._lake, self.feed.name, span.from_at, span.to_at, columns=columns)

    def weigh(self, span: Span) -> tuple[int, int]:
        """Return how many files, and bytes in them, hold rows of a range."""
        from ingestion.lake.read import data_files

        table = self._lake.find(self.feed.name)
        files = [] if table is None else data_files(table, self.feed.event_time, span.from_at, span.to_at)
        return len(files), sum(file.file_size_in_bytes for file in files)
