"""Compaction and maintenance are killed at every step; run again, the lake and its ledger are as if undisturbed."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from pyarrow.fs import FileSelector

from fleetflow.lake import maintain_lake, open_lake
from fleetflow.local.stack import running
from fleetflow.runtime import connect
from fleetflow.settings import Settings
from fleetflow.transform import RunLostError, claim
from ingestion.lake import compact, maintain
from ingestion.lake.commit import OvertakenError, append
from ingestion.lake.ledger import claimed_batches
from ingestion.lake.read import days
from tests.integration.lake_stack import (
    Row,
    compact_all,
    contents,
    expire_claims,
    gps,
    kill_at,
    lake_of_its_own,
    lake_rows,
    land,
    ledger,
    some_positions,
    sql,
    status,
)

GPS, STATUS = "gps_location", "shipment_event"
MUCH_LATER = timedelta(days=20)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("lake-kill")) as settings:
        yield settings


@pytest.fixture(scope="module")
def lake(stack: Settings) -> Iterator[Settings]:
    with lake_of_its_own(stack) as settings:
        yield settings


@dataclass
class Landed:
    """Everything that was ever landed."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {GPS: [], STATUS: []})


@pytest.fixture(scope="module")
def landed() -> Landed:
    return Landed()


def land_some(lake: Settings, landed: Landed, seed: int) -> None:
    """Land two batches of positions, some of them landed before, and one of events."""
    rows = some_positions(200, seed=seed)
    again = landed.rows[GPS][-30:]
    for part in (rows[:120], rows[120:] + again):
        land(lake, GPS, part)
        landed.rows[GPS] += part
    events = [status(f"s{seed}-{i}", i, f"p{i}") for i in range(20)]
    land(lake, STATUS, events + events[:3])
    landed.rows[STATUS] += events + events[:3]


def as_if_undisturbed(lake: Settings, landed: Landed) -> None:
    """Hold the lake and the ledger against what was landed."""
    expected = []
    for feed, rows in landed.rows.items():
        distinct = Counter(set(contents(feed, rows)))
        assert lake_rows(lake, feed) == distinct
        expected.append((feed, len(rows), len(distinct), len(rows) - len(distinct)))
    assert ledger(lake) == expected
    assert sql(lake, "select count(*) from ops.pending_batch where pipeline = 'lake'") == [(0,)]
    assert sql(lake, "select count(*) from ops.lake_announcement") == [(0,)]
    assert sql(
        lake,
        "select count(*) from ops.batch as b where not exists (select from ops.transformed_batch as t"
        " where t.pipeline = 'lake' and t.batch_id = b.batch_id)",
    ) == [(0,)]


@pytest.mark.parametrize("step", compact.STEPS)
def test_compaction_killed_at_any_step(lake: Settings, landed: Landed, step: str) -> None:
    land_some(lake, landed, seed=compact.STEPS.index(step) + 100)
    assert kill_at(compact_all, lake, step) == -signal.SIGKILL
    expire_claims(lake)
    compact_all(lake)
    as_if_undisturbed(lake, landed)


def test_a_run_that_froze_and_lost_its_claim_commits_nothing(lake: Settings, landed: Landed) -> None:
    land_some(lake, landed, seed=200)

    def freeze(name: str) -> None:
        if name == "announced":
            expire_claims(lake)
            compact_all(lake)

    with pytest.raises(RunLostError):
        compact_all(lake, step=freeze)
    as_if_undisturbed(lake, landed)


def test_a_commit_made_for_an_older_snapshot_fails(lake: Settings, landed: Landed) -> None:
    """The same freeze with nobody asking for the claim: the snapshot itself is the fence."""
    land_some(lake, landed, seed=201)
    at = open_lake(lake)
    stale = at.table(GPS)
    compact_all(lake)
    with connect(lake.dsn("loader"), autocommit=True) as conn:
        run = claim(conn, "lake", even_if_empty=True)
        assert run is not None
        assert claimed_batches(conn, run.run_id) == []
        with pytest.raises(OvertakenError):
            append(at, stale, [], run.run_id, lambda: None)
    expire_claims(lake)
    land_some(lake, landed, seed=202)
    compact_all(lake)
    as_if_undisturbed(lake, landed)


@pytest.mark.parametrize("step", maintain.STEPS)
def test_maintenance_killed_at_any_step(lake: Settings, landed: Landed, step: str) -> None:
    for part in (300, 350):
        land_some(lake, landed, seed=maintain.STEPS.index(step) + part)
        compact_all(lake)
    later = datetime.now(UTC) + MUCH_LATER
    assert kill_at(partial(maintain_all, later), lake, step) == -signal.SIGKILL
    as_if_undisturbed(lake, landed)
    maintain_all(later, lake)
    as_if_undisturbed(lake, landed)
    at = open_lake(lake)
    for feed in (GPS, STATUS):
        table = at.find(feed)
        assert table is not None
        assert {day.files for day in days(at, feed)} == {1}
        assert len(table.metadata.snapshots) == 1
        found = at.files.get_file_info(FileSelector(at.path(table.location()), recursive=True))
        young = {info.path for info in found if info.is_file} - maintain.named_files(at, table)
        assert young == set(), "files that no snapshot names"


def maintain_all(now: datetime, settings: Settings, **options: Any) -> None:
    list(maintain_lake(settings, now, **options))


def test_rows_that_come_while_a_day_is_merged_stay(lake: Settings, landed: Landed) -> None:
    land_some(lake, landed, seed=400)
    compact_all(lake)

    def meanwhile(name: str) -> None:
        if name == "merged" and not seen:
            seen.append(name)
            land_some(lake, landed, seed=401)
            compact_all(lake)

    seen: list[str] = []
    maintain_all(datetime.now(UTC), lake, step=meanwhile)
    assert seen
    as_if_undisturbed(lake, landed)


def test_days_past_keeping_are_dropped_whole(lake: Settings, landed: Landed) -> None:
    at = open_lake(lake)
    before = days(at, GPS)
    assert len(before) == 3
    limit = before[1].day
    would = maintain.drop_days(at, GPS, limit, dry_run=True)
    assert would == before[:1]
    assert days(at, GPS) == before
    assert maintain.drop_days(at, GPS, limit) == would
    assert days(at, GPS) == before[1:]
    assert maintain.drop_days(at, GPS, limit) == []
    assert maintain.drop_day(at, GPS, date(2026, 3, 12)) == before[2:]
    assert days(at, GPS) == before[1:2]
    land(lake, GPS, [gps("again", 0)])
    compact_all(lake)
    assert days(at, GPS)[0].rows == 1, "a late row opens its day again"
