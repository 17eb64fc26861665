"""Puts a report on disk and into S3. A reader sees the old file or the new one, never half of one.

Writes morning_sla.html and, as CSV, what its tables are of (morning_sla, at_risk, utilization, driver_hours, fuel,
maintenance) to `<directory>/<date>/<tenant>/` and to the same keys in the bucket. The page goes last, since it
points to the others. The same day overwrites; a failure in between is mended by a repeat.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from serving.report.model import MorningReport
from serving.report.render import render_html
from serving.report.sheets import risk_sheet, sla_sheet
from serving.report.vehicles.sheets import vehicle_sheets

PAGE = "morning_sla.html"
SLA_SHEET = "morning_sla.csv"
RISK_SHEET = "at_risk.csv"

_TYPES = {".html": "text/html; charset=utf-8", ".csv": "text/csv; charset=utf-8"}


class ObjectStore(Protocol):
    """The one call of boto3's S3 client that publishing needs."""

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, ContentType: str, CacheControl: str) -> Any:  # noqa: N803
        """Store one object, whole or not at all."""


@dataclass(frozen=True)
class Published:
    """Where a report is; `uri` is None when it went to disk only."""

    path: Path
    uri: str | None
    files: tuple[Path, ...]


def publish(report: MorningReport, directory: Path, s3: ObjectStore | None, bucket: str) -> Published:
    """Write the page and its CSV files to disk and, given a client, to the bucket.

    Raises:
        OSError: the directory cannot be written.
        botocore.exceptions.ClientError: the bucket refuses; the files on disk are complete.
    """
    place = f"{report.report_date.isoformat()}/{safe_name(report.tenant)}"
    contents = {
        SLA_SHEET: sla_sheet(report),
        RISK_SHEET: risk_sheet(report),
        **vehicle_sheets(report),
        PAGE: render_html(report).encode(),
    }
    folder = directory / place
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in contents.items():
        _replace(folder / name, body)
    if s3 is not None:
        for name, body in contents.items():
            s3.put_object(
                Bucket=bucket,
                Key=f"{place}/{name}",
                Body=body,
                ContentType=_TYPES[Path(name).suffix],
                CacheControl="no-cache",
            )
    uri = None if s3 is None else f"s3://{bucket}/{place}/{PAGE}"
    return Published(folder / PAGE, uri, tuple(folder / name for name in contents))


def safe_name(tenant: str) -> str:
    """Return a tenant's id as one path element that cannot leave its folder; different ids stay different."""
    return quote(tenant, safe="").replace(".", "%2E")


def _replace(path: Path, body: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
