"""Checksum files and manifests as they come, against the file that they stand beside."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ingestion.partners.declare.model import Completeness
from ingestion.partners.faults import Cause
from ingestion.partners.fetch.verify import companion_name, read_checksum, read_manifest, verify_companions
from ingestion.partners.rows.parse import FileFault
from tests.unit.partners.partner_files import line, read, text, varied

DATA = text([line(1), line(2)])
SHA, MD5 = hashlib.sha256(DATA).hexdigest(), hashlib.md5(DATA).hexdigest()
NAME = "fuel_1.csv"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / NAME).write_bytes(DATA)
    return tmp_path / NAME


@pytest.mark.parametrize(
    "said",
    [SHA, SHA.upper() + "\n", f"{SHA}  {NAME}\n", f"{SHA} *{NAME}", f"SHA256 ({NAME}) = {SHA}",
     f"\ufeff{SHA}  ./out/{NAME}\r\n", f"{'0' * 64}  other.csv\n{SHA}  {NAME}\n",
     f"# made by x\n{SHA}\tC:\\out\\{NAME}"],
)  # fmt: skip
def test_checksum_is_found_however_it_is_written(said: str, path: Path) -> None:
    assert read_checksum(said.encode(), NAME, "sha256") == SHA
    declaration = varied(completeness=Completeness(checksum="{name}.sha256"))
    assert verify_companions(path, NAME, SHA, declaration, {f"{NAME}.sha256": said.encode()}) is None


@pytest.mark.parametrize(
    ("said", "says"),
    [("0" * 64, "and the partner gives 000"), (MD5, "32 hex digits"), ("", "holds no sha256"),
     (f"{SHA}  other.csv", "it names other.csv"), ("<html>404</html>", "holds no sha256")],
)  # fmt: skip
def test_checksum_that_does_not_agree_refuses(said: str, says: str, path: Path) -> None:
    declaration = varied(completeness=Completeness(checksum="{name}.sha256"))
    with pytest.raises(FileFault, match=says) as caught:
        verify_companions(path, NAME, SHA, declaration, {f"{NAME}.sha256": said.encode()})
    assert (caught.value.cause, caught.value.kind) == (Cause.CHECKSUM, "refused")


def test_md5_is_taken_of_the_file(path: Path) -> None:
    declaration = varied(completeness=Completeness(checksum="{stem}.md5", algorithm="md5"))
    verify_companions(path, NAME, SHA, declaration, {"fuel_1.md5": MD5.encode()})
    with pytest.raises(FileFault, match="was agreed"):
        verify_companions(path, NAME, SHA, declaration, {})


@pytest.mark.parametrize(
    "said",
    [f"name,size,sha256,rows\n{NAME},{len(DATA)},{SHA},2\n", f"{NAME};{len(DATA)};{SHA};2",
     f"{NAME}|{MD5}|{len(DATA)}|2",
     f'rows\tfile\n2\t"{NAME}"', f"a.csv,1,{'0' * 64},1\n{NAME},{len(DATA)},{SHA},2"],
)  # fmt: skip
def test_manifest_is_read_by_header_or_by_looks(said: str, path: Path) -> None:
    declaration = varied(completeness=Completeness(manifest="MANIFEST_*.txt"))
    texts = {"MANIFEST_0.txt": b"b.csv,1", "MANIFEST_1.txt": said.encode(), f"{NAME}.done": b""}
    assert verify_companions(path, NAME, SHA, declaration, texts) == 2


@pytest.mark.parametrize(
    ("said", "says", "cause"),
    [(f"{NAME},{len(DATA) + 1}", "the manifest says", Cause.MANIFEST), ("other.csv,5", "does not list", Cause.MANIFEST),
     (f"{NAME},1\n{NAME},1", "lists 2 times", Cause.MANIFEST), ("", "no entry", Cause.MANIFEST),
     (f"{NAME},{'0' * 64}", "the partner gives", Cause.CHECKSUM), (f"{NAME},many", "is no entry", Cause.MANIFEST)],
)  # fmt: skip
def test_manifest_that_does_not_agree_refuses(said: str, says: str, cause: Cause, path: Path) -> None:
    declaration = varied(completeness=Completeness(manifest="{name}.manifest"))
    with pytest.raises(FileFault, match=says) as caught:
        verify_companions(path, NAME, SHA, declaration, {f"{NAME}.manifest": said.encode()})
    assert caught.value.cause is cause


def test_rows_of_a_manifest_are_counted_when_the_file_is_read(tmp_path: Path) -> None:
    assert read(DATA, tmp_path, promised_lines=2).lines == 2
    with pytest.raises(FileFault, match="the manifest counts 3 lines, and the file has 2") as caught:
        read(DATA, tmp_path, promised_lines=3)
    assert caught.value.cause is Cause.MANIFEST
    assert not list(tmp_path.glob("*.parquet"))


def test_names_of_companions() -> None:
    assert companion_name("{name}.sha256", "a.csv.gz") == "a.csv.gz.sha256"
    assert companion_name("{stem}.ok", "a.csv") == "a.ok"
    assert [entry.name for entry in read_manifest(b"dir/a.csv,1\n")] == ["a.csv"]
