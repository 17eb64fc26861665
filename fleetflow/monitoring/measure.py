"""Takes one look at the platform: every signal of the list is measured, or says why it is not.

Probes run beside the queries, each with the same deadline; whoever does not answer by then counts as silent.
Nothing here raises for what lies outside.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from fleetflow.monitoring.answers import Answer, Answers, NotMeasured, NotWatched, in_words
from fleetflow.monitoring.model import Look, Measured, Reading, Signal
from fleetflow.monitoring.probes import PROBES, SILENCE, TIMEOUT_S, load
from fleetflow.monitoring.signals import SIGNALS
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings, SettingsError

DEADLINE_S = 2.5
STRAYS_COUNTED = 10_000
MOST_READINGS = 200  # of one signal: the worst, so that a broken list does not drown a person or Prometheus

log = logging.getLogger("fleetflow.monitoring")


def take_look(settings: Settings, *, deadline_s: float = DEADLINE_S) -> Look:
    """Measure every signal once; seconds at most the deadline and a little, after what the first look loads."""
    load(settings)
    started, at = time.monotonic(), datetime.now(UTC)
    probing = _Probing(settings)
    answers: dict[str, Answer] = {}
    try:
        with connect(settings.dsn("ops"), autocommit=True, timeout_s=TIMEOUT_S) as conn:
            conn.execute("select set_config('statement_timeout', %s, false)", (f"{TIMEOUT_S * 1000:.0f}",))
            at = _clock(conn)
            answers |= _ask_warehouse(conn)
        answers["warehouse_unreachable"] = (Reading((), 0),)
    except (psycopg.Error, SettingsError) as fault:
        gone = NotMeasured("the warehouse does not answer", because="warehouse_unreachable")
        answers = {**dict.fromkeys(_warehouse_names(), gone), **answers}
        answers["warehouse_unreachable"] = (Reading((), 1, detail=in_words(fault)),)
    answers |= probing.collect(max(0.1, deadline_s - (time.monotonic() - started)))
    measured = {name: _measured(signal, answers, at) for name, signal in SIGNALS.items()}
    measured["signal_unmeasured"] = _unmeasured(measured.values())
    return Look(at, time.monotonic() - started, measured)


class _Probing:
    """The probes under way, each in a thread that nobody has to wait for."""

    def __init__(self, settings: Settings) -> None:
        self._answers: dict[str, Answers] = {}
        self._threads = {
            name: threading.Thread(
                target=self._run, args=(name, probe, settings), name=f"probe-{name}", daemon=True
            )
            for name, probe in PROBES.items()
        }
        for thread in self._threads.values():
            thread.start()

    def _run(self, name: str, probe: Callable[[Settings], Answers], settings: Settings) -> None:
        try:
            self._answers[name] = probe(settings)
        except Exception as fault:  # a probe that is broken is a signal that is not measured
            log.warning("probe %s failed", name, exc_info=True)
            broken = NotMeasured(f"{type(fault).__name__}: {in_words(fault)}")
            self._answers[name] = {s.name: broken for s in SIGNALS.values() if s.probe == name}

    def collect(self, seconds: float) -> dict[str, Answer]:
        """Return what was answered in time."""
        until = time.monotonic() + seconds
        answers: dict[str, Answer] = {}
        for name, thread in self._threads.items():
            thread.join(max(0.0, until - time.monotonic()))
            answers |= self._answers.get(name) or _silence(name)
        return answers


def _silence(probe: str) -> Answers:
    said = f"no answer within {TIMEOUT_S:.0f} s"
    if name := SILENCE.get(probe):
        return {name: (Reading((probe,), 1, detail=said),)}
    return {s.name: NotMeasured(said) for s in SIGNALS.values() if s.probe == probe}


def _warehouse_names() -> list[str]:
    return [s.name for s in SIGNALS.values() if s.query or s.probe in ("checks", "strays")]


def _clock(conn: Connection) -> datetime:
    row = conn.execute("select clock_timestamp()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def _ask_warehouse(conn: Connection) -> dict[str, Answer]:
    answers: dict[str, Answer] = {}
    own = {"check_failed": _failed_checks, "landing_default_partition": _strays}
    for name in _warehouse_names():
        ask = own.get(name)
        try:
            answers[name] = ask(conn) if ask else _query(conn, SIGNALS[name])
        except psycopg.OperationalError:
            if conn.broken:
                raise
            answers[name] = NotMeasured(f"the query took longer than {TIMEOUT_S:.0f} s")
        except psycopg.Error as fault:
            answers[name] = NotMeasured(f"{type(fault).__name__}: {in_words(fault)}")
    return answers


def _query(conn: Connection, signal: Signal) -> tuple[Reading, ...]:
    assert signal.query is not None
    cursor = conn.execute(signal.query.encode())
    names = [column.name for column in cursor.description or ()]
    now = _clock(conn) if "value" not in names else None
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return tuple(_reading(signal, row, now) for row in rows)


def _reading(signal: Signal, row: Mapping[str, Any], now: datetime | None) -> Reading:
    since = row.get("since")
    value = float(row["value"]) if now is None or since is None else (now - since).total_seconds()
    labels = tuple(str(row[label]) for label in signal.labels)
    return Reading(labels, value, since, str(row.get("detail") or ""))


def _failed_checks(conn: Connection) -> tuple[Reading, ...]:
    from quality.results import read_open_errors

    return tuple(
        Reading((r.suite, r.subject, r.check_name), 1, r.checked_at, r.detail) for r in read_open_errors(conn)
    )


def _strays(conn: Connection) -> tuple[Reading, ...]:
    tables = conn.execute(
        "select parent.relname, child.relname from pg_inherits as i"
        " join pg_class as child on child.oid = i.inhrelid join pg_class as parent on parent.oid = i.inhparent"
        " where parent.relnamespace = 'landing'::regnamespace and child.relname = parent.relname || '_default'"
    ).fetchall()
    count = sql.SQL("select count(*) from (select from landing.{} limit {}) as strays")
    found = []
    for feed, table in tables:
        query = count.format(sql.Identifier(table), sql.Literal(STRAYS_COUNTED))
        found.append(Reading((feed,), float(conn.execute(query).fetchall()[0][0])))
    return tuple(found)


def _measured(signal: Signal, answers: Answers, at: datetime) -> Measured:
    answer = answers.get(signal.name, NotMeasured("nothing measures it"))
    match answer:
        case NotMeasured(fault, because):
            return Measured(signal, fault=fault, because=because)
        case NotWatched(why):
            return Measured(signal, unwatched=why)
        case readings:
            worst = sorted(readings, key=lambda r: -r.value)
            return Measured(signal, tuple(worst[:MOST_READINGS]), left_out=len(worst[MOST_READINGS:]))


def _unmeasured(measured: Iterable[Measured]) -> Measured:
    signal = SIGNALS["signal_unmeasured"]
    readings = [
        Reading((m.signal.name,), float(m.fault is not None and m.because is None), detail=m.fault or "")
        for m in measured
        if m.signal is not signal
    ]
    return Measured(signal, tuple(readings))
