"""What the demo shows on a terminal: one line a step while it runs, the summary at its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.status import Status
from rich.table import Table

from fleetflow.demo.batch import FileLine
from fleetflow.demo.job import Outcome, SlaLine
from fleetflow.demo.recall import Score
from fleetflow.freshness import Percentiles


class Progress:
    """Shows the step at hand with a spinner, and each finished step with its seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = Status("", console=console)
        self._step = ""
        self._detail = ""
        self._since = self._started = time.monotonic()
        self._shown = 0.0

    def __enter__(self) -> Progress:
        """Start the spinner."""
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the last step."""
        self._close()
        self._status.stop()

    def tell(self, step: str, detail: str) -> None:
        """Show where the run is."""
        if step != self._step:
            self._close()
            self._step, self._since = step, time.monotonic()
        self._detail = detail
        now = time.monotonic()
        line = f"{now - self._started:5.0f} s  {step:<10} {detail}"
        if self._console.is_terminal:
            self._status.update(line)
        elif now - self._shown > 5:
            self._shown = now
            self._console.print(line, highlight=False, soft_wrap=True)

    def _close(self) -> None:
        if self._step:
            took = time.monotonic() - self._since
            self._console.print(
                f"[green]done[/]  {self._step:<10} {took:6.1f} s  {self._detail}",
                highlight=False,
                soft_wrap=True,
            )


def summarise(outcome: Outcome, console: Console) -> None:
    """Print the summary."""
    console.print()
    console.print(_counts(outcome))
    console.print(_files(outcome.files))
    console.print(_freshness(outcome))
    console.print(_sla(outcome))
    if outcome.recall:
        console.print(recall_table(outcome.recall))
    states = Counter((run.dag_id, run.state) for run in outcome.runs)
    runs = ", ".join(f"{dag} {count} x {state}" for (dag, state), count in sorted(states.items()))
    for name, value in (
        ("DAG runs", runs),
        ("Lake", _lake(outcome)),
        ("Reconciled", _windows(outcome)),
        ("Checks", f"{outcome.checks} results, {outcome.checks_failed} not passed"),
        ("Marts", f"{outcome.marts_rows:,} shipments in marts.fct_shipment"),
        ("Report", f"{outcome.report}\n{'':<12}{outcome.report_uri}"),
        ("Data docs", str(outcome.docs)),
        (
            "Airflow UI",
            "the demo stops it; `make up` keeps a stack with Airflow running and prints its address",
        ),
    ):
        console.print(f"[bold]{name:<12}[/]{value}", highlight=False, soft_wrap=True)
    for fault in outcome.faults:
        console.print(f"[bold red]FAULT[/]       {fault}", highlight=False, soft_wrap=True)
    verdict = (
        "[bold green]Everything adds up.[/]"
        if not outcome.faults
        else "[bold red]Not everything is right.[/]"
    )
    console.print(f"\n{verdict} {outcome.seconds:.0f} s.", highlight=False)


def _counts(outcome: Outcome) -> Table:
    table = Table(title="Events", title_justify="left", pad_edge=False)
    table.add_column("feed")
    for name in ("sent", "read", "landed", "rejected", "duplicate", "in raw objects"):
        table.add_column(name, justify="right")
    table.add_column("")
    for feed in outcome.feeds:
        counts = (feed.sent, feed.read, feed.landed, feed.rejected_kept, feed.duplicates, feed.raw_rows)
        table.add_row(
            feed.feed,
            *("-" if n is None else f"{n:,}" for n in counts),
            "adds up" if feed.adds_up else "DIFFERS",
        )
    return table


def _files(files: Sequence[FileLine]) -> Table:
    table = Table(title="Partners' files", title_justify="left", pad_edge=False)
    for name in ("partner", "file", "state"):
        table.add_column(name)
    for name in ("lines", "landed", "rejected", "corrections", "unchanged"):
        table.add_column(name, justify="right")
    for line in files:
        counts = (line.lines, line.accepted, line.rejected, line.superseded, line.unchanged)
        cells = [f"{n:,}" for n in counts] if line.state == "loaded" else ["-"] * len(counts)
        table.add_row(line.partner, line.name, line.state, *cells)
    reasons = [f"{line.name} is {line.state}: {line.reason}" for line in files if line.state != "loaded"]
    table.caption, table.caption_justify = "\n".join(reasons) or None, "left"
    return table


def _lake(outcome: Outcome) -> str:
    parts = (f"{line.feed} {line.rows_added:,} (+{line.rows_repeated:,} repeats)" for line in outcome.lake)
    return "Iceberg rows: " + ", ".join(parts)


def _windows(outcome: Outcome) -> str:
    verdicts = Counter(line.verdict for line in outcome.windows)
    return f"{len(outcome.windows)} windows: " + ", ".join(f"{n} {v}" for v, n in sorted(verdicts.items()))


def _freshness(outcome: Outcome) -> Table:
    table = Table(title="Freshness, seconds from sending", title_justify="left", pad_edge=False)
    for name in ("to", "events", "p50", "p95", "p99", "worst"):
        table.add_column(name, justify="left" if name == "to" else "right")
    for name, found in (("marts (shipment status)", outcome.marts), ("landing (positions)", outcome.landing)):
        table.add_row(name, f"{found.events:,}", *_seconds(found))
    return table


def _seconds(found: Percentiles) -> list[str]:
    figures = (found.p50_s, found.p95_s, found.p99_s, found.worst_s)
    return ["-" if s is None else f"{s:.1f}" for s in figures]


def _sla(outcome: Outcome) -> Table:
    table = Table(title="SLA, shipments due yesterday", title_justify="left", pad_edge=False)
    table.add_column("")
    table.add_column("")
    for name in ("due", "on time", "late", "open", "on-time share", "target"):
        table.add_column(name, justify="right")
    for line in outcome.sla:
        table.add_row(line.dimension, line.member, *_cells(line))
    return table


def recall_table(scores: Sequence[tuple[str, Score]]) -> Table:
    """Lay out what was found of what was planted, kind by kind."""
    table = Table(title="Planted and found", title_justify="left", pad_edge=False)
    for name in ("subject", "kind"):
        table.add_column(name, no_wrap=True)
    for name in ("found", "wrong", "missed", "precision", "recall"):
        table.add_column(name, justify="right")
    for subject, score in scores:
        table.add_row(subject, score.kind, *_score_cells(score))
    problems = dict.fromkeys(f"{subject}: {score.problem}" for subject, score in scores if score.problem)
    table.caption, table.caption_justify = "\n".join(problems) or None, "left"
    return table


def _score_cells(score: Score) -> list[str]:
    if score.problem:
        return ["not built", *["-"] * 4]
    shares = ["n/a" if s is None else f"{s:.1%}" for s in (score.precision, score.recall)]
    return [f"{n:,}" for n in (score.found, score.wrong, score.missed)] + shares


def _cells(line: SlaLine) -> list[str]:
    shares = ["n/a" if s is None else f"{s:.1%}" for s in (line.on_time_share, line.target_share)]
    return [f"{n:,}" for n in (line.due, line.on_time, line.late, line.still_open)] + shares
