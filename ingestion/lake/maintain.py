"""Keeps the tables fit for reading: merges the files of closed days, expires snapshots, removes what no snapshot names.

Every step is one commit, or the removal of files that nothing refers to, and may be repeated: a kill leaves either the
state before or the one after, and files that a later run removes. Rows are never changed: a merged day is committed
only if it has as many rows as its files had, and only if all of these are still there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from pyarrow.fs import FileSelector, FileType
from pyiceberg.exceptions import ValidationException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from ingestion.lake.commit import ACTION, RUN, commit, snapshot_of
from ingestion.lake.merge import merge_files
from ingestion.lake.patience import persist
from ingestion.lake.read import DayFiles, data_files, day_of, event_time
from ingestion.lake.tables import TARGET_FILE_BYTES, Lake

CLOSED_AFTER = timedelta(hours=2)
ORPHAN_AFTER = timedelta(days=1)
"""Longer than any run takes from writing a file to committing it."""

STEPS = ("merged", "rewritten", "expired", "orphans_removed")
Step = Callable[[str], None]

log = logging.getLogger("ingestion.lake")


@dataclass
class Maintained:
    """What was done to one table."""

    feed: str
    merged: list[date] = field(default_factory=list)
    files_before: int = 0
    files_after: int = 0
    snapshots_expired: int = 0
    orphans_removed: int = 0


def maintain(
    lake: Lake,
    feed: str,
    now: datetime,
    keep_snapshots: timedelta,
    scratch: Path,
    step: Step = lambda _: None,
) -> Maintained:
    """Merge the small files of closed days, expire old snapshots, remove orphans; nothing where there is no table."""
    done = Maintained(feed)
    table = lake.find(feed)
    if table is None:
        return done
    for day, files in mergeable_days(lake, feed, table, now).items():
        after = merge_day(lake, feed, day, files, scratch, step)
        if after is not None:
            done.merged.append(day)
            done.files_before += len(files)
            done.files_after += after
    done.snapshots_expired = expire_snapshots(lake, feed, now - keep_snapshots)
    step("expired")
    done.orphans_removed = remove_orphans(lake, feed, now - ORPHAN_AFTER)
    step("orphans_removed")
    return done


def mergeable_days(lake: Lake, feed: str, table: Table, now: datetime) -> dict[date, list[DataFile]]:
    """Return the closed days that lie in more small files than they need, oldest first."""
    found: dict[date, list[DataFile]] = {}
    for file in data_files(table, event_time(lake, feed)):
        found.setdefault(day_of(file), []).append(file)
    closed = (now - CLOSED_AFTER).date()
    return {day: files for day, files in sorted(found.items()) if day < closed and _too_many(files)}


def _too_many(files: Sequence[DataFile]) -> bool:
    return sum(file.file_size_in_bytes < TARGET_FILE_BYTES // 2 for file in files) > 1


def merge_day(
    lake: Lake, feed: str, day: date, files: Sequence[DataFile], scratch: Path, step: Step = lambda _: None
) -> int | None:
    """Write the rows of a day's files sorted into as few files as they need; return how many.

    Rows that came to the day meanwhile stay in files of their own. None if another maintenance was faster.
    """
    table = lake.table(feed)
    merged = merge_files(lake, table, feed, files, scratch)
    step("merged")
    before, after = (sum(file.record_count for file in some) for some in (files, merged))
    if before != after:
        raise RuntimeError(f"{feed} {day}: {before} rows became {after} in merging; nothing was committed")
    try:
        _swap(lake, feed, files, merged, "rewrite")
    except ValidationException as overtaken:
        log.info("%s %s: not merged: %s", feed, day, overtaken)
        return None
    step("rewritten")
    return len(merged)


def drop_days(lake: Lake, feed: str, before: date, dry_run: bool = False) -> list[DayFiles]:
    """Take every day before a date out of the newest snapshot, in one commit; return what they held, oldest first.

    The files themselves go when the snapshots that still name them have expired.
    """
    return _drop(lake, feed, lambda day: day < before, dry_run)


def drop_day(lake: Lake, feed: str, day: date, dry_run: bool = False) -> list[DayFiles]:
    """Take one day out of the newest snapshot, as `drop_days` does; return what it held."""
    return _drop(lake, feed, lambda other: other == day, dry_run)


def replace_day(lake: Lake, feed: str, day: date, files: Sequence[DataFile]) -> None:
    """Put files in the place of all that a day has, in one commit; where they are the same rows, nothing is seen of it.

    Raises:
        ValidationException: another writer replaced the day meanwhile; nothing was committed.
    """
    table = lake.table(feed)
    old = [file for file in data_files(table, event_time(lake, feed)) if day_of(file) == day]
    if old or files:
        _swap(lake, feed, old, files, "replace")


def _drop(lake: Lake, feed: str, wanted: Callable[[date], bool], dry_run: bool) -> list[DayFiles]:
    table = lake.find(feed)
    found = (
        [file for file in data_files(table, event_time(lake, feed)) if wanted(day_of(file))] if table else []
    )
    if found and not dry_run:
        _swap(lake, feed, found, [], "drop")
    by_day: dict[date, list[DataFile]] = {}
    for file in found:
        by_day.setdefault(day_of(file), []).append(file)
    return [
        DayFiles(
            day, len(files), sum(f.record_count for f in files), sum(f.file_size_in_bytes for f in files)
        )
        for day, files in sorted(by_day.items())
    ]


def _swap(lake: Lake, feed: str, old: Sequence[DataFile], new: Sequence[DataFile], action: str) -> None:
    """Replace files by others in one commit.

    Raises:
        ValidationException: some of the old ones are gone.
    """
    mark = uuid4()

    def attempt(table: Table) -> None:
        transaction = table.transaction()
        with transaction.update_snapshot({RUN: str(mark), ACTION: action}).overwrite() as producer:
            for file in old:
                producer.delete_data_file(file)
            for file in new:
                producer.append_data_file(file)
        transaction.commit_transaction()

    def done(table: Table) -> int | None:
        snapshot = snapshot_of(table, mark)
        return None if snapshot is None else snapshot.snapshot_id

    commit(lake, feed, attempt, done)


def expire_snapshots(lake: Lake, feed: str, before: datetime) -> int:
    """Forget the snapshots made before an instant, all but the newest; return how many."""
    counted = 0

    def attempt(table: Table) -> None:
        nonlocal counted
        counted = len(_old(table, before))
        table.maintenance.expire_snapshots().older_than(before).commit()

    def done(table: Table) -> int | None:
        return None if _old(table, before) else 0

    commit(lake, feed, attempt, done)
    return counted


def _old(table: Table, before: datetime) -> list[int]:
    limit, kept = int(before.timestamp() * 1000), {ref.snapshot_id for ref in table.metadata.refs.values()}
    snapshots = (s for s in table.metadata.snapshots if s.snapshot_id not in kept)
    return [snapshot.snapshot_id for snapshot in snapshots if snapshot.timestamp_ms < limit]


def remove_orphans(lake: Lake, feed: str, before: datetime) -> int:
    """Remove the table's files that were written before an instant and that no snapshot names; return how many.

    What there is, is listed before what is named: a file that a commit names meanwhile is among the named.
    """
    first = lake.table(feed)
    root = lake.path(first.location())
    listed = persist(
        lambda: lake.files.get_file_info(FileSelector(root, recursive=True, allow_not_found=True)),
        f"listing {root}",
    )
    old = [info.path for info in listed if info.type == FileType.File and info.mtime < before]
    if not old:
        return 0
    named = named_files(lake, lake.table(feed))
    orphans = [path for path in old if path not in named]
    for path in orphans:
        persist(lambda path=path: _delete(lake, path), f"removing {path}")  # type: ignore[misc]
    return len(orphans)


def named_files(lake: Lake, table: Table) -> set[str]:
    """Return the path of every file that the table's metadata names: data, manifests, their lists, metadata."""
    named = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    seen: set[str] = set()
    for snapshot in table.metadata.snapshots:
        named.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path not in seen:
                seen.add(manifest.manifest_path)
                entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
                named.update(entry.data_file.file_path for entry in entries)
    return {lake.path(location) for location in named | seen}


def _delete(lake: Lake, path: str) -> None:
    try:
        lake.files.delete_file(path)
    except FileNotFoundError:
        log.info("%s was removed by another", path)
