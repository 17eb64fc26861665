"""`fleetflow send`: put a file of JSON lines on a feed's stream, as a gateway would.

Lines are not judged here: what landing will reject must reach it, with its raw bytes. Only blank lines are
skipped, and a line that no Kinesis record can hold is named and left out. A JSON object without a `feed` of
its own, and a broken line that starts with `{`, get `"feed":"<FEED>"` spliced in behind the brace; every
other line goes as it is. Leaves `<home>/sent/<run>.json`: what was sent, counted with plain JSON parsing,
for reconciliation to hold against.
"""

from __future__ import annotations

import json
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

if TYPE_CHECKING:
    from domain.contracts import Feed
    from fleetflow.settings import Settings
    from ingestion.streams.lines import Prepared
    from ingestion.streams.producer import Producer
    from ingestion.streams.stats import SendFailure

STALLED_S = 30.0
_PACE_S = 0.02
_SHOW_S = 0.2
_ASK_S = 0.5


def register(app: typer.Typer) -> None:
    """Add the command to the program."""

    @app.command("send")
    def send(
        feed: str = typer.Argument(..., metavar="FEED", help="The feed's name, such as gps_location."),
        file: str = typer.Argument(
            ..., metavar="FILE", help="One JSON object a line; - reads standard input."
        ),
        rate: float = typer.Option(
            0.0, "--rate", min=0.0, help="Lines a second at most; 0 is as fast as it goes."
        ),
        as_json: bool = typer.Option(False, "--json", help="Print the summary as JSON."),
    ) -> None:
        """Send a file of events to a feed's stream."""
        from fleetflow.settings import load_settings

        summary = send_file(load_settings(), feed, file, rate=rate)
        typer.echo(json.dumps(summary) if as_json else describe(summary))
        if summary["interrupted"]:
            raise typer.Exit(130)
        if summary["refused_lines"] or summary["left_in_spool"]:
            raise typer.Exit(2)


@dataclass(slots=True)
class Tally:
    """What was sent, by the feed that a reader can see in the line."""

    sent: dict[str, int] = field(default_factory=dict)
    distinct: dict[str, set[bytes]] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)

    def add(self, line: Prepared) -> None:
        """Count a line."""
        self.sent[line.feed] = self.sent.get(line.feed, 0) + 1
        self.distinct.setdefault(line.feed, set()).add(line.identity)

    def feeds(self) -> dict[str, dict[str, int | None]]:
        """Return the truth file's `feeds`; which lines are valid is not for the sender to say."""
        return {
            feed: {
                "sent": sent,
                "distinct": len(self.distinct[feed]),
                "valid_distinct": None,
                "invalid": None,
            }
            for feed, sent in sorted(self.sent.items())
        }


def paced(lines: Iterator[bytes], rate: float) -> Iterator[bytes]:
    """Yield the lines at no more than `rate` a second; 0 means unbounded."""
    if not rate:
        yield from lines
        return
    started = time.monotonic()
    for number, line in enumerate(lines):
        ahead_s = started + number / rate - time.monotonic()
        if ahead_s > _PACE_S or (ahead_s > 0 and rate < 1 / _PACE_S):
            time.sleep(ahead_s)
        yield line


def send_file(settings: Settings, feed_name: str, file: str, *, rate: float = 0.0) -> dict[str, Any]:
    """Send a file and return the summary.

    Raises:
        UserError: unknown feed, unreadable file, or a stream that cannot be used; nothing was sent.
    """
    from domain.contracts import FEEDS
    from fleetflow.faults import UserError
    from ingestion.streams.lines import read_lines

    streamed = {name: feed for name, feed in FEEDS.items() if feed.stream}
    feed = streamed.get(feed_name)
    if feed is None:
        raise UserError(f"unknown feed {feed_name!r}: the feeds are {', '.join(sorted(streamed))}")
    stream = str(getattr(settings, f"{feed.stream}_stream"))
    with _open(file) as source:
        started_at = datetime.now(UTC)
        run = f"send-{started_at:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        producer = _producer(settings, stream)
        tally = Tally()
        try:
            interrupted = _send_lines(producer, paced(read_lines(source), rate), feed, tally)
            _drain(producer)
        finally:
            closed = producer.close(0.0)
    stats = producer.stats()
    summary: dict[str, Any] = {
        "run": run,
        "feed": feed.name,
        "stream": stream,
        "lines": stats.accepted_lines,
        "refused_lines": tally.refused,
        "replayed_lines": stats.replayed_lines,
        "left_in_spool": closed.left_lines,
        "records": stats.acked_records,
        "bytes": stats.acked_bytes,
        "calls": stats.calls,
        "retries": stats.retries,
        "failures": stats.failures,
        "last_error": stats.last_error,
        "seconds": round(stats.elapsed_s, 3),
        "lines_per_s": round(stats.acked_lines_per_s),
        "interrupted": interrupted,
    }
    truth = {"run": run, "started_at": started_at.isoformat(), "finished_at": datetime.now(UTC).isoformat()}
    summary["truth"] = str(write_truth(settings.sent_dir, run, {**truth, "feeds": tally.feeds()}))
    return summary


def _send_lines(producer: Producer, lines: Iterator[bytes], feed: Feed, tally: Tally) -> bool:
    """Send and count the lines; True when the user broke it off (it still reports, and leaves its truth)."""
    from domain.contracts import FEEDS
    from ingestion.streams.errors import LineRefused
    from ingestion.streams.lines import prepare

    known = frozenset(FEEDS)
    with _BreakOff() as broken_off, _progress(producer) as advance:
        for number, line in enumerate(lines, start=1):
            prepared = prepare(line, feed, known)
            try:
                with broken_off.held():
                    accepted = _send_line(producer, prepared, broken_off)
            except LineRefused:
                tally.refused.append(number)
                continue
            if not accepted:
                break
            tally.add(prepared)
            advance()
    return broken_off.asked


def _send_line(producer: Producer, line: Prepared, broken_off: _BreakOff) -> bool:
    """Send a line; False when the user broke it off while there was no room."""
    from ingestion.streams.errors import ProducerFull

    while not broken_off.asked:
        try:
            producer.send(line.key, line.data, timeout_s=_ASK_S)
        except ProducerFull:
            continue
        return True
    return False


class _BreakOff:
    """Turns Ctrl-C into a question that is asked between lines, so that it never cuts through a `send`."""

    def __init__(self) -> None:
        self.asked = False
        self._held = False
        self._before: Any = None

    def __enter__(self) -> _BreakOff:
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        signal.signal(signal.SIGINT, self._before)
        return kind is KeyboardInterrupt and self.asked

    def _interrupt(self, *_: object) -> None:
        self.asked = True
        if not self._held:  # waiting for a line of standard input, or for the rate
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put an interrupt off until the block is left."""
        self._held = True
        try:
            yield
        finally:
            self._held = False


def _drain(producer: Producer) -> None:
    """Wait until the stream has everything, as long as it takes more within `STALLED_S`."""
    progressed_at, acked = time.monotonic(), -1
    while not producer.flush(_ASK_S):
        now = producer.stats().acked_lines
        if now != acked:
            progressed_at, acked = time.monotonic(), now
        elif time.monotonic() - progressed_at > STALLED_S:
            return


@contextmanager
def _open(file: str) -> Iterator[BinaryIO]:
    from fleetflow.faults import UserError

    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        source = Path(file).open("rb")  # noqa: SIM115
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    with source:
        yield source


def _producer(settings: Settings, stream: str) -> Producer:
    """Return a producer for a stream that is there now."""
    from botocore.exceptions import BotoCoreError, ClientError

    from fleetflow.faults import UserError
    from fleetflow.runtime import client
    from ingestion.streams.producer import Producer
    from ingestion.streams.spool import SpoolError

    place = settings.aws_endpoint_url or f"AWS {settings.aws_region}"
    kinesis = client(settings, "kinesis", max_attempts=1)
    try:
        kinesis.describe_stream_summary(StreamName=stream)
        return Producer(kinesis, stream, settings.home / "spool", on_failure=_FailureNotes())
    except kinesis.exceptions.ResourceNotFoundException as error:
        raise UserError(f"stream {stream} does not exist at {place}") from error
    except (ClientError, BotoCoreError) as error:
        raise UserError(f"stream {stream} cannot be used at {place}: {error}") from error
    except SpoolError as error:
        raise UserError(str(error)) from error


class _FailureNotes:
    """Writes the first failure of each kind to standard error; throttling only shows in the summary."""

    def __init__(self) -> None:
        self._seen = {"ProvisionedThroughputExceededException"}

    def __call__(self, failure: SendFailure) -> None:
        if failure.code not in self._seen:
            self._seen.add(failure.code)
            sys.stderr.write(f"fleetflow: {failure.message} (trying again)\n")


@contextmanager
def _progress(producer: Producer) -> Iterator[Callable[[], None]]:
    """Show lines accepted and confirmed on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("sending")
        shown_at = 0.0

        def advance() -> None:
            nonlocal shown_at
            if time.monotonic() - shown_at > _SHOW_S:
                shown_at = time.monotonic()
                stats = producer.stats()
                text = f"accepted {stats.accepted_lines:,}, on the stream {stats.acked_lines:,}"
                progress.update(task, description=f"{text}, sent again {stats.retries:,}")

        yield advance


def write_truth(directory: Path, run: str, truth: dict[str, Any]) -> Path:
    """Write `<run>.json` whole or not at all, and return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{run}.json"
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(truth, indent=1) + "\n")
    partial.rename(path)
    return path


def describe(summary: dict[str, Any]) -> str:
    """Return the summary for people."""
    lines = [
        f"sent {summary['lines']:,} lines to {summary['stream']} in {summary['records']:,} records,"
        f" {summary['bytes']:,} bytes, {summary['seconds']:.1f} s ({summary['lines_per_s']:,} lines/s)",
        f"records sent again: {summary['retries']:,}"
        + "".join(f"; {code} {count:,}" for code, count in sorted(summary["failures"].items())),
        f"truth: {summary['truth']}",
    ]
    if summary["replayed_lines"]:
        lines.append(f"replayed from an earlier run's spool: {summary['replayed_lines']:,} lines")
    if summary["refused_lines"]:
        lines.append(
            f"not sent, too large for a record: line {', '.join(map(str, summary['refused_lines']))}"
        )
    if summary["left_in_spool"]:
        lines.append(
            f"not on the stream yet: {summary['left_in_spool']:,} lines;"
            f" the spool keeps them for the next send ({summary['last_error']})"
        )
    return "\n".join(lines)
