"""The stand-in's S3 keeps what it acknowledged over a kill, through boto3 against its real process."""

from __future__ import annotations

import io
import os
import signal
import time
from pathlib import Path

import botocore.exceptions
import pytest

from fleetflow.local import aws
from fleetflow.local.process import Proc, memory_mb, pick_port, stop
from fleetflow.settings import PROJECT_ROOT

ENV = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}


def kill_and_restart(home: Path, port: int, proc: Proc) -> Proc:
    os.kill(proc.pid, signal.SIGKILL)
    return aws.start(home, port, ENV)


def test_objects_survive_a_kill(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    port = pick_port(None, None, "-")
    proc = aws.start(tmp_path, port, ENV)
    try:
        s3 = aws.client(port, "s3")
        s3.create_bucket(Bucket="raw")
        s3.create_bucket(Bucket="dropped")
        s3.delete_bucket(Bucket="dropped")
        big = os.urandom(12 << 20)
        s3.put_object(Bucket="raw", Key="a/b.parquet", Body=b"old", Metadata={"rows": "1"})
        s3.put_object(Bucket="raw", Key="a/b.parquet", Body=b"new", Metadata={"rows": "2"}, ContentType="x/y")
        s3.put_object(Bucket="raw", Key="a", Body=b"a key that is also another's folder")
        s3.put_object(Bucket="raw", Key="../../escape/ü " + "n" * 800, Body=b"odd name")
        s3.put_object(Bucket="raw", Key="empty", Body=b"")
        s3.put_object(Bucket="raw", Key="gone", Body=b"1")
        s3.delete_object(Bucket="raw", Key="gone")
        s3.put_object(Bucket="raw", Key="gone too", Body=b"1")
        s3.delete_objects(Bucket="raw", Delete={"Objects": [{"Key": "gone too"}]})
        s3.copy_object(Bucket="raw", Key="copy", CopySource="raw/a/b.parquet")
        s3.upload_fileobj(io.BytesIO(big), "raw", "big")
        before = {o["Key"]: (o["ETag"], o["Size"]) for o in s3.list_objects_v2(Bucket="raw")["Contents"]}

        proc = kill_and_restart(tmp_path, port, proc)
        s3 = aws.client(port, "s3")
        after = {o["Key"]: (o["ETag"], o["Size"]) for o in s3.list_objects_v2(Bucket="raw")["Contents"]}
        assert after == before
        assert set(after) == {"a", "a/b.parquet", "copy", "big", "empty", "../../escape/ü " + "n" * 800}
        assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["raw"]
        read = s3.get_object(Bucket="raw", Key="a/b.parquet")
        assert (read["Body"].read(), read["Metadata"], read["ContentType"]) == (b"new", {"rows": "2"}, "x/y")
        assert s3.get_object(Bucket="raw", Key="copy")["Body"].read() == b"new"
        assert s3.get_object(Bucket="raw", Key="big")["Body"].read() == big
        part = s3.get_object(Bucket="raw", Key="big", Range="bytes=7000000-7000009")
        assert part["Body"].read() == big[7_000_000:7_000_010]
        with pytest.raises(botocore.exceptions.ClientError, match="NoSuchKey"):
            s3.get_object(Bucket="raw", Key="gone")
        assert not list(tmp_path.parent.glob("escape*"))
    finally:
        stop(proc, 10)


def test_objects_leave_memory_once_they_are_on_disk(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    port = pick_port(None, None, "-")
    proc = aws.start(tmp_path, port, ENV)
    try:
        s3 = aws.client(port, "s3")
        s3.create_bucket(Bucket="raw")
        body = os.urandom(4 << 20)
        s3.put_object(Bucket="raw", Key="warm-up", Body=body)
        before = memory_mb(proc)
        for number in range(30):
            s3.put_object(Bucket="raw", Key=f"k{number}", Body=body)
        time.sleep(0.2)
        assert memory_mb(proc) - before < 60, "30 objects of 4 MiB were written"
    finally:
        stop(proc, 10)


def test_a_second_process_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    port = pick_port(None, None, "-")
    proc = aws.start(tmp_path, port, ENV)
    try:
        with pytest.raises(aws.StackError, match="another AWS stand-in already uses"):
            aws.start(tmp_path, pick_port(None, None, "-"), ENV)
    finally:
        stop(proc, 10)
