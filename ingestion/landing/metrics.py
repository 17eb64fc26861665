"""What a landing worker says of itself: Prometheus counters and gauges on an HTTP endpoint of its own."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from ingestion.landing.leases import Lease
from ingestion.landing.ledger import BatchEntry

_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one worker."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of = self.registry
        self._events = Counter(
            "fleetflow_events_total", "Events by outcome", ["feed", "outcome"], registry=of
        )
        self._bytes = Counter("fleetflow_read_bytes_total", "Record bytes landed", ["stream"], registry=of)
        self._object_bytes = Counter(
            "fleetflow_object_bytes_total", "Parquet bytes written", ["feed"], registry=of
        )
        self._cuts = Counter("fleetflow_cuts_total", "Cuts landed", ["stream"], registry=of)
        self._faults = Counter("fleetflow_faults_total", "Faults that were retried", ["kind"], registry=of)
        self._leases = Gauge("fleetflow_leases", "Shards held", registry=of)
        self._lag = Gauge(
            "fleetflow_shard_lag_seconds", "Behind the shard's tip", ["stream", "shard"], registry=of
        )
        self._steps = Histogram(
            "fleetflow_step_seconds", "Seconds per step of a cut", ["step"], buckets=_SECONDS, registry=of
        )

    def serve(self, port: int, address: str = "127.0.0.1") -> int:
        """Serve /metrics; port 0 takes a free one. Return the port."""
        server, _ = start_http_server(port, addr=address, registry=self.registry)
        return int(server.server_port)

    def landed(self, lease: Lease, entries: Sequence[BatchEntry], size: int) -> None:
        """Count one cut."""
        self._cuts.labels(lease.stream).inc()
        self._bytes.labels(lease.stream).inc(size)
        for entry in entries:
            self._events.labels(entry.feed, "accepted").inc(entry.accepted)
            self._events.labels(entry.feed, "rejected").inc(len(entry.refusals))
            self._object_bytes.labels(entry.feed).inc(entry.object_bytes or 0)

    def step(self, name: str, seconds: float) -> None:
        """Record the duration of one step."""
        self._steps.labels(name).observe(seconds)

    def behind(self, lease: Lease, behind_ms: int) -> None:
        """Set how far a shard is behind its tip."""
        self._lag.labels(lease.stream, lease.shard).set(behind_ms / 1000)

    def let_go(self, lease: Lease) -> None:
        """Forget a shard that another worker reads now."""
        self._lag.labels(lease.stream, lease.shard)  # a shard that was never read has no gauge to remove
        self._lag.remove(lease.stream, lease.shard)

    def holding(self, leases: int) -> None:
        """Set how many shards are held."""
        self._leases.set(leases)

    def fault(self, kind: str) -> None:
        """Count a fault that will be retried."""
        self._faults.labels(kind).inc()
