"""Opens what the settings name: Postgres connections and AWS clients. Nothing else in the house does."""

from __future__ import annotations

from typing import Any

import psycopg

from fleetflow.settings import Settings

Connection = psycopg.Connection[tuple[Any, ...]]


def connect(dsn: str, *, autocommit: bool = False, timeout_s: float = 10) -> Connection:
    """Open a Postgres connection in UTC; the server is given `timeout_s` (whole seconds, 2 at least) to answer.

    Raises:
        psycopg.OperationalError: the server cannot be reached or refuses the login.
    """
    return psycopg.connect(
        dsn, autocommit=autocommit, options="-c timezone=UTC", connect_timeout=round(timeout_s)
    )


def client(settings: Settings, service: str, *, max_attempts: int = 5) -> Any:
    """Return a boto3 client for the place that the settings name: the stand-in or AWS."""
    import boto3  # what needs no AWS starts a second earlier
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "max_attempts": max_attempts},
        connect_timeout=5,
        read_timeout=30,
        max_pool_connections=64,
    )
    credentials = {
        name: value
        for name, variable in (
            ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
            ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        )
        if settings.aws_endpoint_url and (value := settings.environment.get(variable))
    }
    return boto3.client(
        service,
        region_name=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
        config=config,
        **credentials,
    )


def raw_filesystem(settings: Settings) -> Any:
    """Return the S3 of the settings as an Arrow filesystem, for reading Parquet where it lies."""
    from pyarrow import fs

    if not settings.aws_endpoint_url:
        return fs.S3FileSystem(region=settings.aws_region)
    scheme, _, address = settings.aws_endpoint_url.partition("://")
    return fs.S3FileSystem(
        region=settings.aws_region,
        endpoint_override=address,
        scheme=scheme,
        access_key=settings.environment.get("AWS_ACCESS_KEY_ID"),
        secret_key=settings.environment.get("AWS_SECRET_ACCESS_KEY"),
        force_virtual_addressing=False,
    )
