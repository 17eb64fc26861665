"""Serves what a look finds to Prometheus: one gauge a signal, and what the look itself was like.

A scrape takes a look of its own, unless the last one is younger than `FRESH_S`: many scrapers cost one look.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from fleetflow.monitoring.judge import find_faults, summary
from fleetflow.monitoring.measure import take_look
from fleetflow.monitoring.model import Look
from fleetflow.monitoring.signals import SIGNALS
from fleetflow.settings import Settings

FRESH_S = 5.0
LOOK_METRICS = {
    "fleetflow_look_seconds": "How long the last look at the platform took",
    "fleetflow_looked_at_seconds": "When the last look was taken, Unix time",
    "fleetflow_signal_unwatched": "1 for each signal whose part is not in use here",
    "fleetflow_signal_left_out_rows": "Readings of a signal beyond the 200 worst, not exported",
    "fleetflow_faults_standing": "Faults that stand, by severity",
}

log = logging.getLogger("fleetflow.monitoring")


class PlatformCollector(Collector):
    """Turns looks into metric families."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._last: Look | None = None
        self._taken = 0.0

    def look(self) -> Look:
        """Return a look that is at most `FRESH_S` old."""
        with self._lock:
            if self._last is None or time.monotonic() - self._taken > FRESH_S:
                self._last, self._taken = take_look(self._settings), time.monotonic()
            return self._last

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one gauge a signal, and those of the look."""
        look = self.look()
        for name, signal in SIGNALS.items():
            family = GaugeMetricFamily(signal.metric, signal.measures, labels=signal.labels)
            for reading in look.measured[name].readings:
                family.add_metric(reading.labels, reading.value)
            yield family
        yield from _of_look(look)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the families without a look, for the registry."""
        for signal in SIGNALS.values():
            yield GaugeMetricFamily(signal.metric, signal.measures, labels=signal.labels)
        for name, words in LOOK_METRICS.items():
            yield GaugeMetricFamily(name, words)


def _of_look(look: Look) -> Iterator[GaugeMetricFamily]:
    def family(name: str, labels: tuple[str, ...] = ()) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, LOOK_METRICS[name], labels=labels)

    seconds, at = family("fleetflow_look_seconds"), family("fleetflow_looked_at_seconds")
    seconds.add_metric((), look.seconds)
    at.add_metric((), look.at.timestamp())
    unwatched = family("fleetflow_signal_unwatched", ("signal",))
    left_out = family("fleetflow_signal_left_out_rows", ("signal",))
    for name, measured in look.measured.items():
        unwatched.add_metric((name,), float(measured.unwatched is not None))
        left_out.add_metric((name,), measured.left_out)
    standing = family("fleetflow_faults_standing", ("severity",))
    for severity, count in summary(find_faults(look)).items():
        standing.add_metric((severity,), count)
    yield from (seconds, at, unwatched, left_out, standing)


class Exporter:
    """The process behind `fleetflow metrics`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._collector = PlatformCollector(settings)
        self.registry = CollectorRegistry()
        self.registry.register(self._collector)
        self.stopping = threading.Event()

    def render(self) -> str:
        """Return the metrics as text."""
        return generate_latest(self.registry).decode()

    def serve(self, port: int, address: str) -> int:
        """Serve /metrics; port 0 takes a free one. Return the port."""
        server, _ = start_http_server(port, addr=address, registry=self.registry)
        return int(server.server_port)

    def watch(self, notify_every_s: float | None) -> None:
        """Stay until stopped; raise and resolve alerts meanwhile, if asked to."""
        from fleetflow.monitoring.alerts import look_and_tell

        checker = f"metrics@{socket.gethostname()}"
        while not self.stopping.wait(notify_every_s or 3600):
            if notify_every_s is not None:
                told = look_and_tell(self._settings, checker, self._collector.look())
                log.info("looked at the platform", extra={"facts": vars(told)})
