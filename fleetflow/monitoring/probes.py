"""Measurements that are not a query on the warehouse: each in a thread of its own, none may hold up the others.

A probe answers for the signals that name it. What lies outside (a server, AWS, Airflow) and does not answer is a
reading of the signal that says so, never an exception.
"""

from __future__ import annotations

import importlib
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

import botocore.exceptions
import psycopg

from fleetflow.monitoring import airflow_probe
from fleetflow.monitoring.answers import Answer, Answers, NotMeasured, NotWatched, in_words
from fleetflow.monitoring.model import Reading
from fleetflow.runtime import client, connect
from fleetflow.settings import Settings, SettingsError
from ingestion.streams.spool import oldest_waiting

TIMEOUT_S = 2.0
_SFTP_URL = re.compile(r"FLEETFLOW_SFTP_(\w+_)?URL")
_SLOT_FAULTS = {
    "lost": "was invalidated: the log it needs is dropped, a new snapshot has to compare",
    "unreserved": "is about to lose the log it needs",
}


def load(settings: Settings) -> None:
    """Import what the probes need, and read the services' models: on a busy machine that alone takes seconds.

    Done before the clock starts, or our own slowness would count as somebody's silence. Once a process.
    """
    with suppress(botocore.exceptions.BotoCoreError, ValueError):  # the probe meets it again, and says so
        for service in ("kinesis", "s3", "sns"):
            client(settings, service, max_attempts=1)
    if "orders_cdc" in settings.orders:
        importlib.import_module("ingestion.cdc.pull")


def probe_disk(settings: Settings) -> Answers:
    """Measure the disk under the home."""
    home = settings.home
    while not home.exists():
        home = home.parent
    usage = shutil.disk_usage(home)
    if not usage.total:
        return {"disk_used": NotMeasured(f"the file system of {home} tells no size")}
    share = 1 - usage.free / usage.total
    return {"disk_used": (Reading((str(home),), share, detail=f"{usage.free / 1e9:.1f} GB free"),)}


def probe_spool(settings: Settings) -> Answers:
    """Find what producers on this machine have taken in and no stream has taken out."""
    root = settings.home / "spool"
    if not root.is_dir():
        return {"spool_waiting": NotWatched(f"no producer has a spool in {root}")}
    now, found = time.time(), []
    for lock in sorted(root.glob("*/*/owner.lock")):
        waiting = oldest_waiting(lock.parent)
        if waiting is not None:
            since, lanes = waiting
            found.append(
                Reading(
                    (lock.parent.parent.name, lock.parent.name),
                    max(0.0, now - since),
                    datetime.fromtimestamp(since, UTC),
                    f"{lanes} lanes",
                )
            )
    return {"spool_waiting": tuple(found)}


def probe_orders(settings: Settings) -> Answers:
    """Look at the slot in the order database."""
    from ingestion.cdc.pull import SLOT  # brings numpy, which nobody needs who has no order database
    from ingestion.cdc.slot import read_state

    names = ("slot_lag", "slot_retained_wal", "slot_lost")
    try:
        address = settings.orders_cdc_dsn.reveal()
    except SettingsError:
        nothing = NotWatched("FLEETFLOW_ORDERS_CDC_DSN is not set")
        return dict.fromkeys(("orders_unreachable", *names), nothing)
    try:
        with connect(address, autocommit=True, timeout_s=TIMEOUT_S) as source:
            state = read_state(source, SLOT)
    except psycopg.Error as fault:
        gone: Answer = NotMeasured(in_words(fault), because="orders_unreachable")
        return {"orders_unreachable": (Reading((), 1, detail=in_words(fault)),), **dict.fromkeys(names, gone)}
    if state is None:
        return {
            "orders_unreachable": (Reading((), 0),),
            **dict.fromkeys(names, ()),
            "slot_lost": _slot_gone(settings, SLOT),
        }
    ailing = _SLOT_FAULTS.get(state.wal_status)
    return {
        "orders_unreachable": (Reading((), 0),),
        "slot_lag": (Reading((SLOT,), state.lag_bytes),),
        "slot_retained_wal": (Reading((SLOT,), state.retained_bytes),),
        "slot_lost": (Reading((SLOT,), float(ailing is not None), detail=ailing or ""),),
    }


def _slot_gone(settings: Settings, slot: str) -> Answer:
    """Say whether the warehouse stood on the slot that is not there; one that was never made cannot be lost."""
    query = "select from ops.cdc_source where slot = %s and applied_lsn is not null"
    try:
        with connect(settings.dsn("ops"), autocommit=True, timeout_s=TIMEOUT_S) as conn:
            mirrored = conn.execute(query, (slot,)).fetchone() is not None
    except psycopg.Error as fault:
        return NotMeasured(in_words(fault), because="warehouse_unreachable")
    return (Reading((slot,), 1, detail="is gone"),) if mirrored else ()


def probe_sftp(settings: Settings) -> Answers:
    """Say hello to each SFTP server, the common one and partners' own; it names its protocol before anybody logs in."""
    named = (value for name, value in settings.environment.items() if _SFTP_URL.fullmatch(name))
    addresses = sorted({address for address in (settings.sftp_url, *named) if address})
    if not addresses:
        return {"sftp_unreachable": NotWatched("FLEETFLOW_SFTP_URL is not set")}
    found = []
    for address in addresses:
        place = urlsplit(address)
        fault = _greeted(place.hostname or "", place.port or 22)
        found.append(
            Reading((place.netloc.rpartition("@")[2],), float(fault is not None), detail=fault or "")
        )
    return {"sftp_unreachable": tuple(found)}


def _greeted(host: str, port: int) -> str | None:
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as link:
            link.settimeout(TIMEOUT_S)
            greeting = link.recv(64)
    except OSError as fault:
        return in_words(fault)
    return None if greeting.startswith(b"SSH-") else "it speaks no SSH"


def probe_aws(settings: Settings) -> Answers:
    """Ask for every stream, bucket and topic of the settings."""
    return {"aws_unreachable": tuple(_ask_aws(settings))}


def _ask_aws(settings: Settings) -> Iterator[Reading]:
    asked: list[tuple[str, Callable[[], object]]] = []
    kinesis, s3 = client(settings, "kinesis", max_attempts=1), client(settings, "s3", max_attempts=1)
    for stream in settings.streams:
        asked.append((f"kinesis/{stream}", _call(kinesis.describe_stream_summary, StreamName=stream)))
    for bucket in (settings.raw_bucket, settings.report_bucket):
        asked.append((f"s3/{bucket}", _call(s3.head_bucket, Bucket=bucket)))
    if topic := settings.alert_topic_arn:
        sns = client(settings, "sns", max_attempts=1)
        asked.append((f"sns/{topic.rpartition(':')[2]}", _call(sns.get_topic_attributes, TopicArn=topic)))
    silent: dict[str, str] = {}
    for service, ask in asked:
        kind = service.partition("/")[0]
        fault = silent.get(kind)
        try:
            fault or ask()
        except botocore.exceptions.ClientError as refusal:
            fault = in_words(refusal)
        except botocore.exceptions.BotoCoreError as silence:
            # One silence is enough: the rest of a service that does not answer would take as long again.
            fault = silent[kind] = in_words(silence)
        yield Reading((service,), float(fault is not None), detail=fault or "")


def _call(method: Callable[..., object], **arguments: str) -> Callable[[], object]:
    return lambda: method(**arguments)


PROBES: dict[str, Callable[[Settings], Answers]] = {
    "disk": probe_disk,
    "spool": probe_spool,
    "orders": probe_orders,
    "sftp": probe_sftp,
    "aws": probe_aws,
    "airflow": airflow_probe.probe_health,
    "dags": airflow_probe.probe_dags,
}

# What a probe's silence means where it is itself the finding; else the signal counts as not measured.
SILENCE = {"aws": "aws_unreachable"}
