"""The load of one partner: every file that is there or was left half done, each to its end or to a clear state.

One loader a partner at a time, by an advisory lock. Every step may be repeated: after a kill at any of `STEPS` a
further load ends in what an undisturbed one would have ended in: ledger, landing, raw objects, archive, the server.
A file that is damaged, or even ends the process that reads it, does not keep the others waiting: files on which a
load began before and never came to an end come last, and are held after `MAX_ATTEMPTS`.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from adbc_driver_manager import Error as AdbcError
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from ingestion.landing.ledger import Ledger
from ingestion.partners import intake
from ingestion.partners.archive import Archive, NotArchivedError, archive_key
from ingestion.partners.declare.model import Declaration
from ingestion.partners.faults import FileFault
from ingestion.partners.fetch.arrival import Arrived
from ingestion.partners.fetch.place import RemoteFault
from ingestion.partners.fetch.schedule import look, note_missing
from ingestion.partners.intake import Look, Place, Step
from ingestion.partners.land import Landing, PutObject
from ingestion.partners.ledger import (
    Connection,
    PartnerFile,
    find_files,
    find_successor,
    find_versions,
    move,
    note,
    read_file,
    try_lock,
    unlock,
)
from ingestion.partners.parts import Punctuality
from ingestion.partners.rows.parse import FileFacts, Parsed, PgpKeys, parse_file
from ingestion.partners.schemas import hold_schema, read_schemas, version_of
from ingestion.partners.states import State
from ingestion.partners.versions import compare_versions

STEPS = (
    "listed", "fetched", "verified", "archived", "whole", "parsed", "transaction", "object", "objects",
    "before commit", "after commit", "cleared",
)  # fmt: skip
"""The steps of a load at which it may be killed, in order; `object` comes once a raw object."""
MAX_ATTEMPTS = 5
Clock = Callable[[], datetime]
Connect = Callable[[], AbstractContextManager[Place]]
# The surroundings failed, not the file: such a try is not counted against it.
_SURROUNDINGS = (psycopg.Error, AdbcError, ClientError, BotoCoreError, Boto3Error, RemoteFault, OSError)

log = logging.getLogger("fleetflow.partners")


class PartnerBusyError(RuntimeError):
    """Another loader is at work on the partner's files."""


@dataclass(frozen=True)
class FileOutcome:
    """What a load came to for one file: its row as it is now, seconds by step, and why it could not be finished.

    `repeated`: the partner sent content that was taken before. `fault`: the load will try again.
    """

    file: PartnerFile
    seconds: dict[str, float] = field(default_factory=dict)
    repeated: bool = False
    fault: str | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.file.name

    @property
    def state(self) -> State:
        """Where the file stands now."""
        return self.file.state


@dataclass(frozen=True)
class LoadTools:
    """What a load works with. `connect` opens the partner's directory, `conn` commits by itself, `clock` gives UTC."""

    connect: Connect
    ledger: Ledger
    conn: Connection
    put_object: PutObject
    archive: Archive
    scratch: Path
    worker: str
    clock: Clock
    keys: PgpKeys | None = None
    step: Step = lambda _: None


def load_partner(declaration: Declaration, tools: LoadTools) -> list[FileOutcome]:
    """Load what is there; return an outcome for every file that this load saw, waited for or missed.

    Raises:
        PartnerBusyError: another loader has the partner.
        RemoteFault: the server cannot be reached or listed. What was fetched before is loaded nevertheless.
    """
    if not try_lock(tools.conn, declaration.name):
        raise PartnerBusyError(f"another load of {declaration.name} is at work; wait for its end")
    try:
        with _scratch(tools.scratch, declaration.name) as scratch:
            return _Load(declaration, tools, scratch).run()
    finally:
        if not tools.conn.broken:
            unlock(tools.conn, declaration.name)


@contextmanager
def _scratch(root: Path, partner: str) -> Iterator[Path]:
    """Give an empty directory; what a killed load left in it goes first."""
    place = root / f"partner-{partner}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


class _Load:
    """One load of one partner."""

    def __init__(self, declaration: Declaration, tools: LoadTools, scratch: Path) -> None:
        self._declaration = declaration
        self._tools = tools
        self._conn = tools.conn
        self._scratch = scratch
        self._outcomes: dict[int, FileOutcome] = {}

    def run(self) -> list[FileOutcome]:
        """Finish what was begun, then take what is there, then try again what never came to an end."""
        begun = sorted(find_files(self._conn, self._declaration.name, state=State.WHOLE), key=_order)
        tried = deque(file for file in begun if file.attempts)
        for file in begun:
            if not file.attempts:
                self._finish(file, None)
        try:
            with self._tools.connect() as place:
                self._take_all(place, tried)
        finally:
            self._finish_all(tried)
        return [self._outcomes[file_id] for file_id in sorted(self._outcomes)]

    def _take_all(self, place: Place, tried: deque[PartnerFile]) -> None:
        found = self._look(place)
        for seen, arrived in found.whole:
            self._take(place, seen, arrived, found)
        self._finish_all(tried)
        for file, arrived in found.standing:
            self._clear(place, file, arrived, found)

    def _finish_all(self, files: deque[PartnerFile]) -> None:
        while files:
            self._finish(files.popleft(), None)

    def _look(self, place: Place) -> Look:
        now = self._tools.clock()
        listing = place.list("*")
        watch = look(self._conn, self._declaration, now)
        found = intake.look_around(self._conn, self._declaration, listing, watch, now)
        missing = note_missing(self._conn, self._declaration, watch, now)
        for file in [*missing, *found.ended, *(file for file, _ in found.waiting)]:
            self._tell(FileOutcome(file))
        self._tools.step("listed")
        return found

    def _take(self, place: Place, seen: PartnerFile, arrived: Arrived, found: Look) -> None:
        tools = self._tools
        with self._guarded(seen):
            begun = time.perf_counter()
            taken = intake.take(
                self._conn, self._declaration, place, tools.archive, seen, arrived, self._scratch,
                tools.clock, tools.step,
            )  # fmt: skip
            seconds = {"fetch": time.perf_counter() - begun}
            if taken.path is None:
                self._tell(FileOutcome(taken.file, seconds, taken.repeated))
                file = taken.file
            else:
                file = self._finish(taken.file, taken.path, seconds)
            self._clear(place, file, arrived, found)

    def _clear(self, place: Place, file: PartnerFile, arrived: Arrived, found: Look) -> None:
        with self._guarded(file):
            now = read_file(self._conn, file.file_id) or file
            if intake.clear(place, self._declaration, now, arrived, found.shared):
                self._tools.step("cleared")

    def _finish(
        self, file: PartnerFile, path: Path | None, seconds: dict[str, float] | None = None
    ) -> PartnerFile:
        """Bring a whole file to its end; `path` where its bytes are at hand, else they come from the archive."""
        seconds = {} if seconds is None else seconds
        with self._guarded(file):
            file = note(self._conn, file, attempts=file.attempts + 1)
            file = self._end(file, path, seconds)
            self._tell(FileOutcome(file, {step: round(s, 4) for step, s in seconds.items()}))
        return file

    def _end(self, file: PartnerFile, path: Path | None, seconds: dict[str, float]) -> PartnerFile:
        later = find_successor(self._conn, file)
        if later is not None:
            words = (
                f"file {later.file_id} of the same name was sent later and is loaded: it stands in its place"
            )
            return move(self._conn, file, State.REFUSED, reason=words, cause="superseded")
        if file.attempts > MAX_ATTEMPTS:
            words = (
                f"{file.attempts - 1} loads began on it and none came to an end; the last said: {file.reason}"
            )
            return move(self._conn, file, State.HELD, reason=words, cause="attempts", attempts=0)
        try:
            path = path or self._bring_back(file)
            with _timed(seconds, "parse"):
                parsed = self._parse(file, path)
        except FileFault as fault:
            return self._end_with_fault(file, fault)
        except NotArchivedError:
            words = "neither the archive nor the partner has it any more; ask for it again"
            return move(self._conn, file, State.REFUSED, reason=words, cause=intake.GONE)
        finally:
            if path is not None:
                path.unlink(missing_ok=True)
        self._tools.step("parsed")
        return self._land(file, parsed, seconds)

    def _bring_back(self, file: PartnerFile) -> Path:
        path = self._scratch / f"archived-{file.file_id}"
        self._tools.archive.fetch(archive_key(file), path)
        return path

    def _parse(self, file: PartnerFile, path: Path) -> Parsed:
        assert file.sha256 is not None
        assert file.sent_at is not None
        facts = FileFacts(file.name, file.sha256, file.sent_at, file.whole_at, file.promised_lines)
        known = read_schemas(self._conn, file.partner)
        approved = file.approved_at is not None
        return parse_file(
            path, self._declaration, facts, known, self._scratch, keys=self._tools.keys, approved=approved
        )

    def _end_with_fault(self, file: PartnerFile, fault: FileFault) -> PartnerFile:
        facts: dict[str, Any] = {"reason": fault.words, "cause": str(fault.cause), "attempts": 0}
        facts |= {"lines": fault.lines, "rejected": fault.rejected}
        if fault.kind == "refused":
            return move(self._conn, file, State.REFUSED, **facts)
        with self._conn.transaction():
            if fault.schema is not None:
                version = version_of(
                    read_schemas(self._conn, file.partner), fault.schema, fault.diff, State.HELD
                )
                hold_schema(self._conn, file.partner, version, file.file_id)
                facts["schema_version"] = version.version
            return move(self._conn, file, State.HELD, **facts)

    def _land(self, file: PartnerFile, parsed: Parsed, seconds: dict[str, float]) -> PartnerFile:
        tools, versions = self._tools, find_versions(self._conn, file)
        with _timed(seconds, "compare"):
            comparison = compare_versions(self._conn, parsed, versions, tools.archive, self._scratch)
        state = "approved" if file.approved_at else "accepted"
        schema = version_of(read_schemas(self._conn, file.partner), parsed.schema, parsed.diff, state)
        punctuality = Punctuality(self._declaration.contract, self._declaration.late_after)
        facts = {
            "archive_key": archive_key(file),
            "reason": parsed.diff.words if parsed.diff and schema.version > 1 else None,
            "supersedes": versions[-1].file_id if versions else None,
        }
        with ThreadPoolExecutor(1, "objects") as background, _timed(seconds, "land"):
            Landing(
                self._declaration.contract, file, parsed, comparison, schema, ledger=tools.ledger,
                put_object=tools.put_object, background=background, worker=tools.worker, step=tools.step,
            ).land(punctuality, facts)  # fmt: skip
        parsed.rows_path.unlink(missing_ok=True)
        parsed.refusals_path.unlink(missing_ok=True)
        loaded = read_file(self._conn, file.file_id)
        assert loaded is not None
        return loaded

    @contextmanager
    def _guarded(self, file: PartnerFile) -> Iterator[None]:
        """Let a fault of one file be the outcome of that file; the next load tries again."""
        try:
            yield
        except Exception as fault:
            log.exception("file %s of %s could not be finished", file.file_id, file.partner)
            self._note_fault(file, fault)

    def _note_fault(self, file: PartnerFile, fault: Exception) -> None:
        words = f"{type(fault).__name__}: {fault}"[:1000]
        now = read_file(self._conn, file.file_id) or file
        if now.state in {State.WHOLE, State.SEEN}:
            uncounted = isinstance(fault, _SURROUNDINGS) and now.attempts > 0
            now = note(self._conn, now, reason=words, attempts=now.attempts - int(uncounted))
        self._tell(FileOutcome(now, fault=words))

    def _tell(self, outcome: FileOutcome) -> None:
        file = outcome.file
        self._outcomes[file.file_id] = outcome
        log.info(
            "partner %s file %s (%s): %s", file.partner, file.file_id, file.name, file.state,
            extra={"lines": file.lines, "accepted": file.accepted, "rejected": file.rejected},
        )  # fmt: skip


def _order(file: PartnerFile) -> tuple[int, datetime, int]:
    return file.attempts, file.sent_at or file.seen_at, file.file_id


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    begun = time.perf_counter()
    try:
        yield
    finally:
        seconds[step] = time.perf_counter() - begun
