"""Makes moto's S3 durable: every bucket and object is a file, written before the request is answered.

moto keeps objects in memory and forgets them with its process. Here its backend notes which objects a
request touched; when the request is done, and before its answer leaves, `flush` brings the files in line.
An object is one file (a length, its metadata as JSON, its bytes), written beside and renamed, and its bytes
then leave memory.

Not kept over a restart: object versions, tags, ACLs, bucket policies, uploads in parts that were not
completed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import os
import shutil
import struct
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

from moto.s3.models import FakeBucket, FakeKey, S3Backend, s3_backends

ACCOUNT = "123456789012"
_LENGTH = struct.Struct("<I")
_KEEP_REPLACED_S = 60.0

Name = tuple[str, str]
"""A bucket and a key in it."""


class StoredBody(io.RawIOBase):
    """An object's bytes in its file, read on demand; stands where moto has its buffer."""

    def __init__(self, path: Path, offset: int) -> None:
        """Refer to the bytes of `path` from `offset` on."""
        self.path = path
        self._start = offset
        self._at = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the position; moto only seeks from the start."""
        self._at = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        """Return the bytes from the position on."""
        with self.path.open("rb") as file:
            file.seek(self._start + self._at)
            data = file.read(size if size >= 0 else -1)
        self._at += len(data)
        return data

    def close(self) -> None:
        """Do nothing: a reader may still be on its way while the object is replaced."""


class Touched(threading.local):
    """What the request of this thread changed so far."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.keys: set[Name] = set()
        self.buckets: set[str] = set()


class DurableS3(S3Backend):  # type: ignore[misc]  # moto is skipped by mypy
    """moto's S3, noting what each request touches."""

    touched: ClassVar[Touched] = Touched()

    def create_bucket(self, bucket_name: str, *args: Any, **kwargs: Any) -> Any:
        """Create a bucket."""
        bucket = super().create_bucket(bucket_name, *args, **kwargs)
        self.touched.buckets.add(bucket_name)
        return bucket

    def delete_bucket(self, bucket_name: str) -> Any:
        """Delete an empty bucket."""
        bucket = super().delete_bucket(bucket_name)
        self.touched.buckets.add(bucket_name)
        return bucket

    def put_object(self, bucket_name: str, key_name: str, *args: Any, **kwargs: Any) -> Any:
        """Store an object; copies and completed uploads in parts come through here too."""
        key = super().put_object(bucket_name, key_name, *args, **kwargs)
        self.touched.keys.add((bucket_name, key_name))
        return key

    def delete_object(self, bucket_name: str, key_name: str, *args: Any, **kwargs: Any) -> Any:
        """Delete an object."""
        result = super().delete_object(bucket_name, key_name, *args, **kwargs)
        self.touched.keys.add((bucket_name, key_name))
        return result


class S3Store:
    """The files of all buckets below one directory."""

    def __init__(self, root: Path) -> None:
        """Take over moto's S3 and load what the directory holds."""
        self._root = root
        self._lock = threading.Lock()
        self._files: dict[Name, Path] = {}
        self._replaced: list[tuple[float, Path]] = []
        root.mkdir(parents=True, exist_ok=True)
        s3_backends.backend = DurableS3
        self._s3: S3Backend = s3_backends[ACCOUNT]["aws"]
        for path in sorted(root.glob("*/bucket.json")):
            self._load_bucket(path)

    def flush(self) -> None:
        """Bring the files in line with what this thread's request touched.

        Raises:
            OSError: the disk refused; the request must not be answered as done.
        """
        touched = DurableS3.touched
        buckets, touched.buckets = touched.buckets, set()
        keys, touched.keys = touched.keys, set()
        with self._lock:
            for bucket in buckets:
                self._sync_bucket(bucket)
            for name in keys:
                self._sync_key(name)

    def purge(self) -> None:
        """Remove the files of objects that were replaced or deleted a minute ago or longer."""
        limit = time.monotonic() - _KEEP_REPLACED_S
        with self._lock:
            for at, path in self._replaced:
                if at <= limit:
                    path.unlink(missing_ok=True)
            self._replaced = [(at, path) for at, path in self._replaced if at > limit]

    def _sync_bucket(self, name: str) -> None:
        bucket = self._s3.buckets.get(name)
        if bucket is None:
            shutil.rmtree(self._root / name, ignore_errors=True)
            return
        (self._root / name).mkdir(exist_ok=True)
        saved = {"name": name, "region": bucket.region_name, "created": bucket.creation_date.isoformat()}
        _replace(self._root / name / "bucket.json", json.dumps(saved).encode())

    def _sync_key(self, name: Name) -> None:
        bucket = self._s3.buckets.get(name[0])
        key = bucket.keys.get(name[1]) if bucket else None
        if not isinstance(key, FakeKey):
            self._retire(self._files.pop(name, None))
        elif not isinstance(key._value_buffer, StoredBody):
            self._write(name, key)

    def _write(self, name: Name, key: FakeKey) -> None:
        head = json.dumps(_describe(key)).encode()
        path = self._root / name[0] / _file_name(name[1])
        path.parent.mkdir(exist_ok=True)
        _replace(path, _LENGTH.pack(len(head)) + head + key.value)
        buffer, key._value_buffer = key._value_buffer, StoredBody(path, _LENGTH.size + len(head))
        buffer.close()
        if key.multipart:
            key.multipart.dispose()
            key.multipart = None
        self._retire(self._files.get(name))
        self._files[name] = path

    def _retire(self, path: Path | None) -> None:
        # A reader may hold the replaced object still: its file stays a while, under a name that loading
        # passes over.
        if path is not None:
            path.replace(path.with_suffix(".old"))
            self._replaced.append((time.monotonic(), path.with_suffix(".old")))

    def _load_bucket(self, path: Path) -> None:
        saved = json.loads(path.read_text())
        bucket = FakeBucket(name=saved["name"], account_id=ACCOUNT, region_name=saved["region"])
        bucket.creation_date = dt.datetime.fromisoformat(saved["created"])
        self._s3.buckets[bucket.name] = bucket
        for leftover in (*path.parent.glob("*/*.old"), *path.parent.glob("*/*.new")):
            leftover.unlink()
        for file in sorted(path.parent.glob("*/*.obj"), key=lambda file: file.stem.partition("-")[2]):
            self._load_key(bucket, file)

    def _load_key(self, bucket: FakeBucket, path: Path) -> None:
        with path.open("rb") as file:
            length = _LENGTH.unpack(file.read(_LENGTH.size))[0]
            saved = json.loads(file.read(length))
        key = _revive(bucket, saved)
        key._value_buffer.close()
        key._value_buffer = StoredBody(path, _LENGTH.size + length)
        key.contentsize = path.stat().st_size - _LENGTH.size - length
        bucket.keys.setlist(key.name, [key])
        name = (bucket.name, key.name)
        if older := self._files.get(
            name
        ):  # a crash fell between the writing of the new and the end of the old
            older.unlink()
        self._files[name] = path


def _file_name(key: str) -> str:
    digest = hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:2]}/{digest}-{time.time_ns():020d}.obj"


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_suffix(".new")
    try:
        fresh.write_bytes(data)
        os.replace(fresh, path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _describe(key: FakeKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "etag": key.etag.strip('"'),
        "modified": key.last_modified.isoformat(),
        "metadata": dict(key.metadata),
        "storage": key.storage_class,
        "encryption": key.encryption,
        "checksum_algorithm": key.checksum_algorithm,
        "checksum_value": key.checksum_value,
        "checksum_type": key.checksum_type,
        "checksum_parts": key.checksum_parts,
    }


def _revive(bucket: FakeBucket, saved: dict[str, Any]) -> FakeKey:
    key = FakeKey(
        name=saved["name"],
        value=b"",
        account_id=ACCOUNT,
        region_name="aws",
        storage=saved["storage"],
        etag=saved["etag"],
        version_id="null",
        bucket_name=bucket.name,
        encryption=saved["encryption"],
        checksum_value=saved["checksum_value"],
        checksum_type=saved["checksum_type"],
        checksum_parts=saved["checksum_parts"],
    )
    key.checksum_algorithm = saved["checksum_algorithm"]
    key.last_modified = dt.datetime.fromisoformat(saved["modified"])
    key.set_metadata(saved["metadata"])
    return key
