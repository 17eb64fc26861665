"""From a listing to whole files: who is there, what is fetched, what is a repeat, what may not even be fetched.

The steps of one file, and what a crash between them leaves: it is a row `seen`; fetched to scratch (a crash: nothing);
its companions agree; its bytes are in the archive under a key that a retry finds again; it is `whole`, with its hash.
From there on nothing is read from the partner's server again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from ingestion.partners.archive import Archive, archive_key
from ingestion.partners.declare.model import Declaration
from ingestion.partners.faults import Cause, FileFault
from ingestion.partners.fetch.arrival import Arrived, Sighting, Stage, judge
from ingestion.partners.fetch.place import FileChanged, FileGone, FileTooLarge, RemoteFile
from ingestion.partners.fetch.schedule import Watch, enter
from ingestion.partners.fetch.verify import verify_companions
from ingestion.partners.ledger import (
    Connection,
    PartnerFile,
    become_whole,
    find_content,
    find_files,
    find_successor,
    move,
    note,
)
from ingestion.partners.states import State

COMPANION_BYTES = 16 << 20
GONE = "gone"
_COMPANION_CAUSES = {Cause.CHECKSUM, Cause.MANIFEST}
Step = Callable[[str], None]


class Place(Protocol):
    """What is wanted of a partner's directory; `ingestion.partners.fetch.remote.Remote` is one."""

    def list(self, pattern: str = "*") -> list[RemoteFile]:
        """Return the files whose names match."""

    def fetch(self, name: str, to: Path, limit_bytes: int) -> str:
        """Copy a file, return its SHA-256."""

    def read_small(self, name: str, limit: int) -> bytes:
        """Return a small file's bytes."""

    def move(self, name: str, to: str) -> str:
        """Move a file below the directory."""

    def remove(self, name: str) -> None:
        """Remove a file."""


@dataclass
class Look:
    """What one look at a partner's directory comes to.

    `whole` may be fetched; `waiting` are not whole yet; `ended` were refused without being fetched, or are gone;
    `standing` are files of which the server still holds what is known to us, with their companions. `shared` are
    companions of more than one file.
    """

    whole: list[tuple[PartnerFile, Arrived]] = field(default_factory=list)
    waiting: list[tuple[PartnerFile, str]] = field(default_factory=list)
    ended: list[PartnerFile] = field(default_factory=list)
    standing: list[tuple[PartnerFile, Arrived]] = field(default_factory=list)
    shared: set[str] = field(default_factory=set)


def look_around(
    conn: Connection, declaration: Declaration, listing: Sequence[RemoteFile], watch: Watch, now: datetime
) -> Look:
    """Enter what is listed into the ledger; say what is new, what is known, and what is gone."""
    known = _by_name(find_files(conn, declaration.name))
    seen_before = {name: files[0] for name, files in known.items() if files[0].state is State.SEEN}
    looks = {
        name: (file.size_bytes, file.modified_at)
        for name, file in seen_before.items()
        if file.size_bytes is not None and file.modified_at is not None
    }
    found, listed = Look(), set()
    users: Counter[str] = Counter()
    for sighting in judge(listing, declaration, looks):
        listed.add(sighting.file.name)
        users.update(one.name for one in sighting.companions)
        standing = _standing(known.get(sighting.file.name, ()), sighting.file)
        if standing is not None:
            found.standing.append((standing, Arrived(sighting.file, sighting.companions)))
            continue
        _enter(
            conn,
            declaration,
            sighting,
            enter(conn, declaration, sighting.file, known, watch, now),
            found,
            now,
        )
    found.shared = {name for name, files in users.items() if files > 1}
    for name in seen_before.keys() - listed:
        words = "the partner removed it before it was whole; if it was wanted, ask for it again"
        found.ended.append(move(conn, seen_before[name], State.REFUSED, reason=words, cause=GONE))
    return found


def _by_name(files: Sequence[PartnerFile]) -> Mapping[str, list[PartnerFile]]:
    """Group the files that came by name, what is not read yet first, then the newest."""
    grouped: dict[str, list[PartnerFile]] = {}
    for file in sorted(files, key=lambda file: file.state is not State.SEEN):
        if file.state is not State.MISSING:
            grouped.setdefault(file.name, []).append(file)
    return grouped


def _standing(files: Sequence[PartnerFile], listed: RemoteFile) -> PartnerFile | None:
    """Return the known file that the server still holds, if that is certain."""
    for file in files:
        never_read = file.state is State.REFUSED and file.sha256 is None and file.cause != GONE
        same = (file.size_bytes, file.modified_at) == (listed.size, listed.modified_at)
        if file.is_current(listed) or (never_read and same):
            return file
    return None


def _enter(
    conn: Connection,
    declaration: Declaration,
    sighting: Sighting,
    file: PartnerFile,
    found: Look,
    now: datetime,
) -> None:
    listed, limit = sighting.file, declaration.limits.max_bytes
    if sighting.stage is Stage.UNSAFE:
        words = f"{sighting.words}; ask {declaration.name} to send it under a plain name"
        found.ended.append(move(conn, file, State.REFUSED, reason=words, cause=Cause.BAD_NAME))
    elif listed.size > limit:
        found.ended.append(_too_large(conn, file, f"it holds {listed.size:,} bytes"))
    elif sighting.stage is Stage.WAITING:
        found.waiting.append((note(conn, file, reason=sighting.words), sighting.words))
    else:
        found.whole.append((file, Arrived(listed, sighting.companions)))


def _too_large(conn: Connection, file: PartnerFile, words: str) -> PartnerFile:
    reason = f"{words}, more than limits.max_bytes of its declaration; it was not fetched and is where it was"
    return move(conn, file, State.REFUSED, reason=reason, cause=Cause.TOO_LARGE)


@dataclass(frozen=True)
class Taken:
    """What became of a fetched file: `path` where its bytes are, None where it need not be read again."""

    file: PartnerFile
    path: Path | None
    repeated: bool = False


def take(
    conn: Connection,
    declaration: Declaration,
    place: Place,
    archive: Archive,
    seen: PartnerFile,
    arrived: Arrived,
    scratch: Path,
    now: Callable[[], datetime],
    step: Step,
) -> Taken:
    """Fetch a file that may be fetched, until its bytes are safe and it is whole, or refused.

    Raises:
        RemoteFault: the server failed; the file stays `seen`.
    """
    path = scratch / f"fetched-{seen.file_id}"
    looked = now()
    try:
        sha256 = place.fetch(seen.name, path, declaration.limits.max_bytes)
    except FileTooLarge as large:
        return Taken(_too_large(conn, seen, str(large)), None)
    except (FileGone, FileChanged) as gone:
        return Taken(note(conn, seen, reason=f"{gone}; it is looked at again"), None)
    step("fetched")
    known = find_content(conn, seen.partner, seen.name, sha256)
    promised, fault = _verify(declaration, place, arrived, path, sha256)
    step("verified")
    if known is not None:
        again = become_whole(conn, seen, sha256, looked)
        if fault is None and again.state is State.REFUSED and again.cause in _COMPANION_CAUSES:
            return Taken(
                move(conn, again, State.WHOLE, reason=None, cause=None, promised_lines=promised), path
            )
        later = find_successor(conn, again) if again.state is State.LOADED else None
        if later is not None:
            words = (
                f"its content came again after file {later.file_id} had corrected it: not taken again;"
                " if it is meant to stand, it must be sent under another name"
            )
            again = note(conn, again, reason=words)
        return Taken(again, path if again.state is State.WHOLE else None, repeated=True)
    archive.keep(archive_key(PartnerFile(**{**vars(seen), "sha256": sha256})), path)
    step("archived")
    with conn.transaction():  # a file that its companions speak against is never whole for anybody else
        whole = become_whole(conn, seen, sha256, looked)
        whole = note(conn, whole, archive_key=archive_key(whole), promised_lines=promised)
        if fault is not None:
            whole = move(conn, whole, State.REFUSED, reason=fault.words, cause=fault.cause)
    step("whole")
    if fault is not None:
        return Taken(whole, None)
    return Taken(whole, path)


def _verify(
    declaration: Declaration, place: Place, arrived: Arrived, path: Path, sha256: str
) -> tuple[int | None, FileFault | None]:
    """Return the lines that a manifest promises, and what a companion holds against the file."""
    try:
        texts = {one.name: place.read_small(one.name, COMPANION_BYTES) for one in arrived.companions}
        return verify_companions(path, arrived.file.name, sha256, declaration, texts), None
    except FileFault as fault:
        return None, fault


def clear(
    place: Place, declaration: Declaration, file: PartnerFile, arrived: Arrived, shared: Collection[str]
) -> bool:
    """Do with a loaded file what its declaration says: keep, delete or move it; say whether it went.

    Only if the server still holds what was loaded: what came in its place meanwhile stays. Companions go first, so
    that a crash leaves the file to find them by; those in `shared` belong to other files, too, and stay.
    """
    if declaration.after_load == "keep" or file.state is not State.LOADED:
        return False
    there = {one.name: one for one in place.list("*")}
    now = there.get(file.name)
    if now is None or (now.size, now.modified_at) != (arrived.file.size, arrived.file.modified_at):
        return False
    for name in [*(one.name for one in arrived.companions if one.name not in shared), file.name]:
        if declaration.after_load == "delete":
            place.remove(name)
        else:
            place.move(name, f"{declaration.move_to}/{name}")
    return True
