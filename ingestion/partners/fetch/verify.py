"""What a partner sends beside a file, held against the file: checksums, and manifests of names, sizes, hashes, rows.

Pure but for reading the fetched file once. A companion that cannot be understood refuses the file, as one that
disagrees does: a check that was agreed and cannot be made is not passed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ingestion.partners.declare.model import Declaration
from ingestion.partners.faults import Cause, FileFault

HEX_DIGITS = {"md5": 32, "sha256": 64}
_BSD = re.compile(r"^(?P<kind>[A-Za-z0-9-]+)\s*\((?P<name>.+)\)\s*=\s*(?P<hash>[0-9A-Fa-f]+)$")
_GNU = re.compile(r"^\\?(?P<hash>[0-9A-Fa-f]+)(?:\s+\*?(?P<name>.+))?$")
_HASH = re.compile(r"^(?:[0-9a-f]{32}|[0-9a-f]{64})$", re.IGNORECASE)
_BLOCK = 1 << 20


@dataclass(frozen=True)
class ManifestEntry:
    """What a manifest says of one file; what it does not say is None. `rows` are data lines."""

    name: str
    size: int | None = None
    digest: str | None = None
    rows: int | None = None


def companion_name(template: str, name: str) -> str:
    """Return the name of the companion that a template such as `{name}.sha256` or `{stem}.ok` gives."""
    return template.replace("{name}", name).replace("{stem}", name.rpartition(".")[0] or name)


def file_digest(path: Path, algorithm: str) -> str:
    """Return a file's MD5 or SHA-256 in hex."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while data := file.read(_BLOCK):
            digest.update(data)
    return digest.hexdigest()


def read_checksum(text: bytes, name: str, algorithm: str) -> str:
    """Return the hash that a checksum file gives for a name: `<hash>`, `<hash>  <name>`, or `SHA256 (<name>) = <hash>`.

    Raises:
        FileFault: it gives none, or one of another length.
    """
    alone: list[str] = []
    others: list[str] = []
    for line in _lines(text):
        match = _BSD.match(line) or _GNU.match(line)
        if match is None:
            continue
        found = match["name"].strip() if match["name"] else None
        if found is None:
            alone.append(match["hash"])
        elif _last(found) == name:
            return _sized(match["hash"], name, algorithm)
        else:
            others.append(_last(found))
    if len(alone) == 1 and not others:
        return _sized(alone[0], name, algorithm)
    names = f"; it names {', '.join(others[:5])}" if others else ""
    raise FileFault(Cause.CHECKSUM, f"the checksum file holds no {algorithm} of {name}{names}")


def _sized(digest: str, name: str, algorithm: str) -> str:
    wanted = HEX_DIGITS[algorithm]
    if len(digest) != wanted:
        raise FileFault(
            Cause.CHECKSUM,
            f"the checksum of {name} has {len(digest)} hex digits, and {algorithm} has {wanted}"
            " (completeness.algorithm)",
        )
    return digest.lower()


def check_digest(name: str, algorithm: str, said: str, found: str) -> None:
    """Compare the hash that the partner gives with the file's own.

    Raises:
        FileFault: they differ.
    """
    if said.lower() != found.lower():
        raise FileFault(
            Cause.CHECKSUM,
            f"the {algorithm} of {name} is {found}, and the partner gives {said}: the file was changed or cut off on"
            " the way, or the checksum is of another version; ask for it again",
        )


def read_manifest(text: bytes) -> list[ManifestEntry]:
    """Return the entries of a manifest: lines of name, size, hash, rows, parted by `,` `;` `|` or tab.

    A header line says which is which (name or file, size or bytes, sha256 or md5 or hash, rows or lines or records).
    Without one the first is the name, what looks like a hash is that, and of the numbers the first is the size and
    the second the rows.

    Raises:
        FileFault: it holds no entry, or a line that is none.
    """
    entries: list[ManifestEntry] = []
    header: dict[str, int] | None = None
    for number, line in enumerate(_lines(text), 1):
        parts = [part.strip().strip('"') for part in re.split(r"[,;|\t]", line)]
        if number == 1 and (found := _header(parts)):
            header = found
            continue
        try:
            entries.append(_by_header(parts, header) if header else _by_looks(parts))
        except (ValueError, IndexError):
            raise FileFault(
                Cause.MANIFEST, f"line {number} of the manifest is no entry: {line[:120]!r}"
            ) from None
    if not entries:
        raise FileFault(Cause.MANIFEST, "the manifest holds no entry")
    return entries


_HEADERS = {
    "name": "name", "file": "name", "filename": "name", "file_name": "name",
    "size": "size", "bytes": "size", "size_bytes": "size",
    "sha256": "digest", "md5": "digest", "hash": "digest", "checksum": "digest",
    "rows": "rows", "lines": "rows", "records": "rows", "count": "rows",
}  # fmt: skip


def _header(parts: list[str]) -> dict[str, int] | None:
    found = {_HEADERS[part.lower()]: place for place, part in enumerate(parts) if part.lower() in _HEADERS}
    return found if "name" in found and len(found) > 1 else None


def _by_header(parts: list[str], header: Mapping[str, int]) -> ManifestEntry:
    def number(key: str) -> int | None:
        return int(parts[header[key]]) if key in header and parts[header[key]] else None

    digest = parts[header["digest"]] if "digest" in header else ""
    return ManifestEntry(_last(parts[header["name"]]), number("size"), digest.lower() or None, number("rows"))


def _by_looks(parts: list[str]) -> ManifestEntry:
    rest = [part for part in parts[1:] if part]
    digests = [part for part in rest if _HASH.match(part)]
    numbers = [int(part) for part in rest if part not in digests]
    if not rest or len(numbers) > 2 or len(digests) > 1:
        raise ValueError(parts)
    return ManifestEntry(
        _last(parts[0]),
        numbers[0] if numbers else None,
        digests[0].lower() if digests else None,
        numbers[1] if len(numbers) > 1 else None,
    )


def check_manifest(entries: list[ManifestEntry], name: str, path: Path, sha256: str) -> ManifestEntry:
    """Hold a file against its entry: size and hash now; the rows are counted when it is read.

    Raises:
        FileFault: the manifest does not list it, lists it twice, or says otherwise.
    """
    mine = [entry for entry in entries if entry.name == name]
    if len(mine) != 1:
        listed = ", ".join(entry.name for entry in entries[:8])
        how = "does not list" if not mine else f"lists {len(mine)} times"
        raise FileFault(Cause.MANIFEST, f"the manifest {how} {name}; it lists {listed}")
    entry, size = mine[0], path.stat().st_size
    if entry.size is not None and entry.size != size:
        raise FileFault(
            Cause.MANIFEST, f"{name} has {size} bytes, and the manifest says {entry.size}: it is not whole"
        )
    if entry.digest is not None:
        algorithm = "md5" if len(entry.digest) == HEX_DIGITS["md5"] else "sha256"
        found = sha256 if algorithm == "sha256" else file_digest(path, algorithm)
        check_digest(name, algorithm, entry.digest, found)
    return entry


def check_rows(said: int | None, lines: int, by: str = "the manifest") -> None:
    """Compare the number of data lines that a manifest or a trailer gives with those that were read.

    Raises:
        FileFault: they differ.
    """
    if said is not None and said != lines:
        cause = Cause.MANIFEST if by == "the manifest" else Cause.TRAILER
        raise FileFault(
            cause,
            f"{by} counts {said} lines, and the file has {lines}: lines were lost or added on the way",
            lines=lines,
        )


def verify_companions(
    path: Path, name: str, sha256: str, declaration: Declaration, companions: Mapping[str, bytes]
) -> int | None:
    """Hold a fetched file against its companions, by their names; return how many data lines a manifest promises.

    Raises:
        FileFault: a companion that was agreed is not there, cannot be understood, or disagrees.
    """
    agreed = declaration.completeness
    if agreed.checksum:
        wanted = companion_name(agreed.checksum, name)
        text = _companion(companions, wanted, Cause.CHECKSUM)
        said = read_checksum(text, name, agreed.algorithm)
        found = sha256 if agreed.algorithm == "sha256" else file_digest(path, agreed.algorithm)
        check_digest(name, agreed.algorithm, said, found)
    if agreed.manifest:
        wanted = companion_name(agreed.manifest, name)
        entries = read_manifest(_companion(companions, wanted, Cause.MANIFEST, name))
        return check_manifest(entries, name, path, sha256).rows
    return None


def _companion(
    companions: Mapping[str, bytes], wanted: str, cause: Cause, listed: str | None = None
) -> bytes:
    """Return a companion by name or pattern; of several manifests, the one that lists the file."""
    found = [text for name, text in sorted(companions.items()) if fnmatchcase(name, wanted)]
    if listed is not None and len(found) > 1:
        found = [text for text in found if listed.encode() in text] or found
    if not found:
        raise FileFault(cause, f"{wanted} was agreed (completeness.{cause}), and is not there")
    return found[-1]


def _lines(text: bytes) -> Iterator[str]:
    for line in text.decode("utf-8-sig", "replace").splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield stripped


def _last(name: str) -> str:
    """Return the last part of a path: a checksum file may hold the partner's own."""
    return name.replace("\\", "/").rpartition("/")[2]
