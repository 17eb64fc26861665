"""The lake's tables: one Iceberg table a feed, by whatever catalog is handed in.

Plain Iceberg, format version 2: Athena, Spark and any other reader use the same tables. A commit asserts the snapshot
that it was made for (compare and swap in the catalog); nothing here retries a commit blindly, since what it adds was
held against one snapshot: see `commit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError, TableAlreadyExistsError
from pyiceberg.table import Table

from domain.contracts import FEEDS
from domain.contracts.model import Feed
from ingestion.lake.schema import day_partition, evolve, iceberg_schema, sort_order

NAMESPACE = "fleetflow"
TARGET_FILE_BYTES = 256 << 20
ROW_GROUP_ROWS = 1 << 18

PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    "write.parquet.compression-level": "3",
    "write.parquet.row-group-limit": str(ROW_GROUP_ROWS),
    "write.target-file-size-bytes": str(TARGET_FILE_BYTES),
    "write.metadata.delete-after-commit.enabled": "true",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "32",
    # Who commits compares with the snapshot that it read; a blind retry would not.
    "commit.retry.num-retries": "0",
}


@dataclass(frozen=True)
class Lake:
    """Where the tables are: the catalog, the place of new tables (`s3://...` or `file://...`), and its files."""

    catalog: Catalog
    location: str
    files: Any
    """The Arrow filesystem of `location`."""
    feeds: Mapping[str, Feed]

    def table(self, feed: str) -> Table:
        """Return the newest state of a feed's table; it is made, or follows its contract, where it must.

        Raises:
            LakeSchemaError: the contract has changed in a way that no table can follow.
        """
        contract = self.feeds[feed]
        found = self.find(feed)
        if found is None:
            found = self._create(contract)
        if evolve(found, contract):
            found = self.catalog.load_table((NAMESPACE, feed))
        return found

    def find(self, feed: str) -> Table | None:
        """Return the newest state of a feed's table, None where nothing was ever compacted. Changes nothing."""
        try:
            return self.catalog.load_table((NAMESPACE, feed))
        except NoSuchTableError:
            return None

    def path(self, location: str) -> str:
        """Return the path of a file of the lake in `files`."""
        parts = urlsplit(location)
        return f"{parts.netloc}{parts.path}" if parts.scheme.startswith("s3") else parts.path

    def _create(self, feed: Feed) -> Table:
        self.catalog.create_namespace_if_not_exists(NAMESPACE)
        schema = iceberg_schema(feed)
        try:
            return self.catalog.create_table(
                (NAMESPACE, feed.name),
                schema,
                location=f"{self.location}/{feed.name}",
                partition_spec=day_partition(feed, schema),
                sort_order=sort_order(feed, schema),
                properties=PROPERTIES | {"comment": feed.doc},
            )
        except TableAlreadyExistsError:
            return self.catalog.load_table((NAMESPACE, feed.name))


def make_lake(catalog: Catalog, location: str, files: Any, feeds: Mapping[str, Feed] = FEEDS) -> Lake:
    """Return the lake of a catalog; nothing is made yet."""
    return Lake(catalog, location.rstrip("/"), files, feeds)
