"""OpenPGP: files decrypted to disk with the key that is handed in, signatures held against the partner's keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pysequoia import Cert, Tsk, decrypt_file

from ingestion.partners.faults import Cause, FileFault
from ingestion.partners.model import Declaration

_ARMOUR = b"-----BEGIN PGP MESSAGE-----"
_SUFFIXES = (".pgp", ".gpg", ".asc")


@dataclass(frozen=True)
class PgpKeys:
    """Our secret key and the public keys of those who sign, armoured or binary; never printed."""

    secret: bytes = field(repr=False)
    password: str | None = field(default=None, repr=False)
    signers: tuple[bytes, ...] = field(default=(), repr=False)


def is_encrypted(path: Path) -> bool:
    """Tell whether a file is an OpenPGP message, by its name or its first bytes."""
    if path.suffix.lower() in _SUFFIXES:
        return True
    with path.open("rb") as file:
        return file.read(len(_ARMOUR)) == _ARMOUR


def decrypt(path: Path, to: Path, keys: PgpKeys | None, declaration: Declaration) -> None:
    """Decrypt a file to another; verify its signature where the declaration wants one.

    Raises:
        FileFault: no key, another key, damaged, not signed, or signed by somebody else.
    """
    pgp = declaration.pgp
    if keys is None:
        raise FileFault(
            Cause.WRONG_KEY, f"the file is encrypted, and no key is given (pgp.key: {pgp and pgp.key!r})"
        )
    try:
        secret = Tsk.from_bytes(keys.secret)
        decryptor = secret.decryptor(keys.password) if keys.password else secret.decryptor()
        certs = [Cert.from_bytes(signer) for signer in keys.signers]
    except Exception as fault:
        raise FileFault(Cause.WRONG_KEY, f"the key that was given cannot be read: {fault}") from None
    signed = pgp is not None and pgp.signed
    try:
        found = decrypt_file(
            str(path), str(to), decryptor=decryptor, store=(lambda ids: certs) if signed else None
        )
    except Exception as fault:
        to.unlink(missing_ok=True)
        raise _fault(str(fault), secret) from None
    if signed and not found.valid_sigs:
        to.unlink(missing_ok=True)
        raise FileFault(
            Cause.BAD_SIGNATURE,
            "no signature of the partner's is on the file (pgp.signed); it may be somebody else's",
        )


def _fault(words: str, secret: Tsk) -> FileFault:
    return FileFault(Cause.WRONG_KEY, words)
