"""OpenPGP: files decrypted to disk with the key that is handed in, signatures held against the partner's keys."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ingestion.partners.declare.model import Declaration, Pgp
from ingestion.partners.faults import Cause, FileFault

_ARMOUR = b"-----BEGIN PGP MESSAGE-----"
_SUFFIXES = (".pgp", ".gpg", ".asc")


@dataclass(frozen=True)
class PgpKeys:
    """Our secret key and the public keys of those who sign, armoured or binary; never printed."""

    secret: bytes = field(repr=False)
    password: str | None = field(default=None, repr=False)
    signers: tuple[bytes, ...] = field(default=(), repr=False)


def is_encrypted(path: Path, name: str) -> bool:
    """Tell whether a file is an OpenPGP message, by the name that its partner gave it or by its first bytes."""
    if name.lower().endswith(_SUFFIXES):
        return True
    with path.open("rb") as file:
        return file.read(len(_ARMOUR)) == _ARMOUR


def decrypt(path: Path, to: Path, keys: PgpKeys | None, declaration: Declaration) -> None:
    """Decrypt a file to another; hold its signature against the partner's keys where the declaration wants one.

    Raises:
        FileFault: no key, another key, damaged, a bomb, not signed, or signed by somebody else.
    """
    pgp, limit = declaration.pgp or Pgp(encrypted=False), declaration.limits.max_unpacked_bytes
    if keys is None:
        raise FileFault(Cause.WRONG_KEY, f"the file is encrypted, and no key is given (pgp.key: {pgp.key!r})")
    job = {
        "source": str(path),
        "target": str(to),
        "limit": limit,
        "secret": base64.b64encode(keys.secret).decode(),
        "password": keys.password,
        "signed": pgp.signed,
        "signers": [base64.b64encode(signer).decode() for signer in keys.signers],
    }
    done = subprocess.run(
        [sys.executable, "-P", str(Path(__file__).with_name("pgp_worker.py"))],
        input=json.dumps(job).encode(),
        capture_output=True,
        check=False,
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        answer = {"fault": words[-1] if words else f"ended with {done.returncode}"}
    if "fault" in answer:
        size = to.stat().st_size if to.exists() else 0
        to.unlink(missing_ok=True)
        raise _fault(answer["fault"], pgp.key, size, limit)


def _fault(words: str, key: str, size: int, limit: int) -> FileFault:
    if size >= limit or "File too large" in words:
        return FileFault(
            Cause.BOMB, f"the file decrypts to more than {limit} bytes (limits.max_unpacked_bytes)"
        )
    if words.startswith("key:"):
        return FileFault(Cause.WRONG_KEY, f"the key that is kept as {key!r} cannot be used:{words[4:]}")
    if "No key to decrypt" in words:
        return FileFault(
            Cause.WRONG_KEY,
            f"the file is encrypted to another key than the one that is kept as {key!r}; give the partner our public"
            " key again",
        )
    if "ignature" in words:
        return FileFault(
            Cause.BAD_SIGNATURE,
            f"no valid signature of the partner's is on the file (pgp.signers): {words}; it may be somebody else's",
        )
    return FileFault(Cause.DAMAGED, f"no whole OpenPGP message: {words}")
