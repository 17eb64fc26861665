"""What files come wrapped in: gzip, zip, OpenPGP; whole, damaged, locked, or made to burst."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest
from pysequoia import Tsk, encrypt

from ingestion.partners.declare.model import Limits, Pgp
from ingestion.partners.faults import HELD, Cause
from ingestion.partners.rows.parse import FileFault, PgpKeys
from tests.unit.partners.partner_files import DECLARATION, line, read, rows, text, varied

PLAIN = text([line(n) for n in range(30)])
OURS, THEIRS, STRANGER = (Tsk.generate(name) for name in ("us <us@x>", "them <them@x>", "who <who@x>"))
KEYS = PgpKeys(str(OURS).encode(), signers=(bytes(THEIRS.extract_certificate()),))
LOCKED = varied(pgp=Pgp(encrypted=True, signed=True, key="cards", signers=("them",)))


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def locked(data: bytes, to: Tsk = OURS, by: Tsk | None = THEIRS, *, armor: bool = True) -> bytes:
    return encrypt(
        data, recipients=[to.extract_certificate()], signer=by.signer() if by else None, armor=armor
    )


def fault(data: bytes | Path, tmp_path: Path, **more: object) -> FileFault:
    with pytest.raises(FileFault) as caught:
        read(data, tmp_path, **more)  # type: ignore[arg-type]
    assert not list(tmp_path.glob("*.parquet")), "no spool is left"
    assert not list(tmp_path.glob("*.plain")), "nothing decrypted is left"
    assert "\n" not in caught.value.words
    return caught.value


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(PLAIN),
        gzip.compress(PLAIN[:500]) + gzip.compress(PLAIN[500:]),
        zipped(a=PLAIN),
        gzip.compress(gzip.compress(PLAIN)),
    ],
    ids=["gzip", "two gzip members", "zip", "gzip in gzip"],
)
def test_wrapped_file_is_the_same_rows(data: bytes, tmp_path: Path) -> None:
    assert rows(read(data, tmp_path)) == rows(read(PLAIN, tmp_path))


@pytest.mark.parametrize("armor", [True, False])
def test_encrypted_and_signed_file_is_read(armor: bool, tmp_path: Path) -> None:
    path = tmp_path / "f.csv.pgp"
    path.write_bytes(locked(gzip.compress(PLAIN), armor=armor))
    assert rows(read(path, tmp_path, LOCKED, keys=KEYS)) == rows(read(PLAIN, tmp_path))
    assert not list(tmp_path.glob("*.plain"))


@pytest.mark.parametrize(
    ("data", "keys", "cause", "says"),
    [
        (locked(PLAIN), None, Cause.WRONG_KEY, "no key is given"),
        (
            locked(PLAIN, to=STRANGER),
            KEYS,
            Cause.WRONG_KEY,
            "another key than the one that is kept as 'cards'",
        ),
        (locked(PLAIN), PgpKeys(b"no key"), Cause.WRONG_KEY, "cannot be used"),
        (locked(PLAIN, by=STRANGER), KEYS, Cause.BAD_SIGNATURE, "pgp.signers"),
        (locked(PLAIN, by=None), KEYS, Cause.BAD_SIGNATURE, "pgp.signers"),
        (locked(PLAIN)[:400], KEYS, Cause.DAMAGED, "no whole OpenPGP message"),
        (PLAIN, KEYS, Cause.DAMAGED, "no whole OpenPGP message"),
    ],
)
def test_what_cannot_be_decrypted_is_refused(
    data: bytes, keys: PgpKeys | None, cause: Cause, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "f.csv.pgp"
    path.write_bytes(data)
    found = fault(path, tmp_path, declaration=LOCKED, keys=keys)
    assert (found.cause, found.kind) == (cause, "refused")
    assert says in found.words


def test_changed_ciphertext_is_refused(tmp_path: Path) -> None:
    data = bytearray(locked(PLAIN, armor=False))
    data[-60] ^= 1
    (tmp_path / "f.gpg").write_bytes(bytes(data))
    assert fault(tmp_path / "f.gpg", tmp_path, declaration=LOCKED, keys=KEYS).kind == "refused"


def test_encrypted_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "f.pgp").write_bytes(locked(b"0" * (3 << 20)))
    small = varied(pgp=LOCKED.pgp, limits=Limits(max_unpacked_bytes=1 << 20))
    assert fault(tmp_path / "f.pgp", tmp_path, declaration=small, keys=KEYS).cause is Cause.BOMB


def test_file_in_the_clear_is_held_where_encryption_was_agreed(tmp_path: Path) -> None:
    found = fault(PLAIN, tmp_path, declaration=LOCKED, keys=KEYS)
    assert (found.cause, found.kind, found.approvable) == (Cause.NOT_ENCRYPTED, "held", True)
    assert read(PLAIN, tmp_path, LOCKED, keys=KEYS, approved=True).accepted == 30


def test_keys_never_print() -> None:
    assert "PGP" not in repr(KEYS)
    assert "secret" not in repr(KEYS)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", Cause.EMPTY),
        (b"\n\n", Cause.EMPTY),
        (gzip.compress(PLAIN)[:-20], Cause.TRUNCATED),
        (gzip.compress(PLAIN)[:60] + b"junk" * 20, Cause.DAMAGED),
        (gzip.compress(PLAIN) + b"junk", Cause.DAMAGED),
        (zipped(a=PLAIN)[:200], Cause.DAMAGED),
        (zipped(a=PLAIN, b=PLAIN), Cause.BAD_MEMBERS),
        (gzip.compress(b"\0" * (60 << 20)), Cause.BOMB),
        (zipped(a=b"a" * (60 << 20)), Cause.BOMB),
        (gzip.compress(zipped(a=PLAIN)), Cause.BAD_MEMBERS),
    ],
    ids=[
        "empty",
        "blank",
        "cut gzip",
        "broken gzip",
        "gzip and more",
        "cut zip",
        "two files",
        "gzip bomb",
        "zip bomb",
        "zip in gzip",
    ],
)
def test_damage_is_named(data: bytes, cause: Cause, tmp_path: Path) -> None:
    wide = varied(limits=Limits(max_line_bytes=4 << 20))
    found = fault(data, tmp_path, declaration=wide)
    assert found.cause in (cause, Cause.ENCODING if cause is Cause.BOMB and data[:1] == b"\x1f" else cause)


def test_bomb_of_good_lines_stops_at_the_ratio_and_at_the_limit(tmp_path: Path) -> None:
    data = gzip.compress(text([line(1)] * 400_000))
    tight = varied(limits=Limits(max_ratio=20))
    assert fault(data, tmp_path, declaration=tight).cause is Cause.BOMB
    assert (
        fault(data, tmp_path, declaration=varied(limits=Limits(max_unpacked_bytes=5 << 20))).cause
        is Cause.BOMB
    )


def test_zip_that_lies_about_its_size_gives_no_more_than_it_says(tmp_path: Path) -> None:
    data = bytearray(zipped(a=PLAIN * 50))
    real = (len(PLAIN) * 50).to_bytes(4, "little")
    assert data.count(real) == 2
    lying = bytes(data).replace(real, (100).to_bytes(4, "little"))
    assert fault(lying, tmp_path).kind == "refused"


def test_line_of_two_gigabytes_is_refused_without_being_read(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "long.csv"
    with path.open("wb") as file:
        file.write(text([line(1)]) + b"T2,V-1,")
        file.truncate(2 << 30)
    with path.open("r+b") as file:  # the first megabytes are text, the rest a hole
        file.seek(len(text([line(1)])) + 7)
        file.write(b"x" * (9 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = fault(path, tmp_path)
    assert (found.cause, found.kind) == (Cause.LONG_LINE, "refused")
    assert "line 3" in found.words
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_file_over_its_size_limit_is_refused(tmp_path: Path) -> None:
    assert fault(PLAIN, tmp_path, declaration=varied(limits=Limits(max_bytes=100))).cause is Cause.TOO_LARGE


def test_every_cause_is_held_or_refused_and_only_held_ones_can_be_approved() -> None:
    for cause in Cause:
        found = FileFault(cause, "words")
        assert found.kind == ("held" if cause in HELD else "refused")
        assert not (found.approvable and found.kind == "refused")
    assert DECLARATION.limits == Limits()
