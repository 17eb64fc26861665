"""The archive: every file that a partner sent, byte for byte, whatever became of it.

Key: `archive/partners/<partner>/<YYYY>/<MM>/<DD>/<sha256>-<safe name>`, by the day on which the file was first seen. A
retry finds the same key; content under one key is always the same. Written before anything is decided about the file,
so that no fault of it, and nothing the partner does afterwards, can lose it.
"""

from __future__ import annotations

import re
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from ingestion.partners.ledger import PartnerFile

_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_LENGTH = 120
_TRANSFER = TransferConfig(multipart_threshold=64 << 20, multipart_chunksize=32 << 20, max_concurrency=2)
_GONE = {"404", "NoSuchKey", "NotFound"}


class NotArchivedError(LookupError):
    """A file is no longer where the partner had put it, and was not archived before."""


def archive_key(file: PartnerFile) -> str:
    """Return the place of a whole file in the archive."""
    assert file.sha256, f"file {file.file_id} has no content yet"
    day = file.seen_at.astimezone(UTC)
    plain = _PLAIN.sub("_", file.name)[-_NAME_LENGTH:]
    return f"archive/partners/{file.partner}/{day:%Y/%m/%d}/{file.sha256}-{plain}"


class Archive:
    """The archive in a bucket."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def keep(self, key: str, path: Path) -> None:
        """Store a file unless it is there already.

        Raises:
            ClientError, S3UploadFailedError: the bucket is missing or refuses.
        """
        if self._size(key) != path.stat().st_size:
            self._s3.upload_file(str(path), self._bucket, key, Config=_TRANSFER)

    def fetch(self, key: str, path: Path) -> None:
        """Bring a file back.

        Raises:
            NotArchivedError: it is not there.
            ClientError: the bucket is missing or refuses.
        """
        if self._size(key) is None:
            raise NotArchivedError(f"{key} is not in the archive ({self._bucket})")
        self._s3.download_file(self._bucket, key, str(path), Config=_TRANSFER)

    def _size(self, key: str) -> int | None:
        try:
            return int(self._s3.head_object(Bucket=self._bucket, Key=key)["ContentLength"])
        except ClientError as fault:
            if fault.response["Error"]["Code"] in _GONE:
                return None
            raise
