"""How fast a partner's file loads, with every guarantee on, beside what the machine can do at all.

The work: a CSV of fuel purchases (13 columns, 0.5 % of the lines impossible) lies on the stack's SFTP server; one load
in a process of its own fetches, archives, parses and lands it: raw objects and archive (to disk), COPY, ledger,
rejects, the end of the file. The limit, in the same run: a bare COPY of the rows, as the load had parsed them, encoded
beforehand.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
from botocore.exceptions import ClientError

from fleetflow.bench.scratch import scratch_warehouse, with_database
from fleetflow.settings import Settings, load_settings

PARTNER = "bench"
_ROWS_AT_ONCE = 100_000
_BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
_NAMES = (
    "transaction", "vehicle", "driver", "bought at", "product", "litres", "amount", "currency", "station", "country",
    "latitude", "longitude", "odometer",
)  # fmt: skip
_DECLARATION = """
tenant_id: acme
feed: fuel_purchase
account: bench
directory: /out
pattern: "*.csv"
format: {kind: csv}
line_key: [transaction_id]
columns:
  transaction_id: {source: transaction}
  vehicle_id: {source: vehicle}
  driver_id: {source: driver}
  purchased_at: {source: bought at, layouts: ["%Y-%m-%d %H:%M:%S"], zone: UTC}
  fuel: {source: product, values: {Diesel: diesel, HVO100: hvo, AdBlue: adblue}}
  volume_l: {source: litres}
  amount_minor: {source: amount, money: true}
  currency: {source: currency}
  station_id: {source: station}
  country: {source: country}
  lat: {source: latitude}
  lon: {source: longitude}
  odometer_km: {source: odometer}
"""


@dataclass(frozen=True)
class Job:
    """What the measured process is told on its standard input."""

    home: str
    loader_dsn: str
    bucket: str
    large: str


def write_declaration(directory: Path) -> None:
    """Write the declaration of the benchmark's partner."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{PARTNER}.yaml").write_text(_DECLARATION)


def write_csv(path: Path, rows: int) -> None:
    """Write purchases; one in two hundred has an impossible latitude."""
    with path.open("w") as file:
        file.write(",".join(_NAMES) + "\n")
        for start in range(0, rows, _ROWS_AT_ONCE):
            file.write("".join(map(_line, range(start, min(start + _ROWS_AT_ONCE, rows)))))


def _line(n: int) -> str:
    at = _BEGIN + timedelta(seconds=n % 2_500_000)
    lat = 190.0 if n % 200 == 0 else 45 + n % 1000 / 100
    lon = 8 + n % 700 / 100
    product = ("Diesel", "HVO100", "AdBlue")[n % 3]
    return (
        f"TX{n:010},VEH-{n % 20_000:05},DRV-{n % 20_000:05},{at:%Y-%m-%d %H:%M:%S},{product},{20 + n % 4000 / 10:.1f},"
        f"{30 + n % 50_000 / 100:.2f},EUR,ST{n % 900:04},DE,{lat:.5f},{lon:.5f},{100_000 + n % 300_000}.0\n"
    )


class DiskS3:
    """Objects as files, so that the machine's own work is measured and not a stand-in's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, key: str, body: bytes) -> None:
        """Write one object."""
        self._place(key).write_bytes(body)

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, int]:  # noqa: N803
        """Return an object's size, or S3's answer for none."""
        path = self._directory / Key
        if not path.exists():
            raise ClientError({"Error": {"Code": "404"}}, "HeadObject")
        return {"ContentLength": path.stat().st_size}

    def upload_file(self, path: str, bucket: str, key: str, **_: Any) -> None:
        """Store a file."""
        shutil.copyfile(path, self._place(key))

    def download_file(self, bucket: str, key: str, path: str, **_: Any) -> None:
        """Bring a file back."""
        shutil.copyfile(self._directory / key, path)

    def _place(self, key: str) -> Path:
        path = self._directory / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def load_once(job: Job) -> dict[str, Any]:
    """Load a small file, so that libraries are read in, then the large one; return what that took.

    The large file is moved into the partner's directory between the two. Seconds by step, counts, memory's peak in MiB.
    """
    from fleetflow.partners import open_remote, read_partner
    from fleetflow.runtime import connect
    from ingestion.landing.ledger import Ledger
    from ingestion.partners.archive import Archive
    from ingestion.partners.load import FileOutcome, LoadTools, load_partner

    settings, bucket = load_settings(Path(job.home), {}), DiskS3(Path(job.bucket))
    declaration = read_partner(settings, PARTNER)
    place = _place(settings.home)

    def load() -> FileOutcome:
        remote = open_remote(settings, declaration)
        with connect(job.loader_dsn, autocommit=True) as conn, closing(Ledger(job.loader_dsn)) as ledger:
            tools = LoadTools(
                connect=lambda: remote, ledger=ledger, conn=conn, put_object=bucket.put,
                archive=Archive(bucket, "bench"), scratch=Path(job.bucket) / "scratch", worker="bench",
                clock=lambda: datetime.now(UTC),
            )  # fmt: skip
            [outcome] = load_partner(declaration, tools)
        if outcome.state != "loaded":
            raise RuntimeError(f"the file is {outcome.state}: {outcome.fault or outcome.file.reason}")
        return outcome

    write_csv(place / "small.csv", 1000)
    load()
    (place / "small.csv").unlink()
    Path(job.large).rename(place / "large.csv")
    start, cpu = time.perf_counter(), time.process_time()
    outcome = load()
    seconds = time.perf_counter() - start
    (place / "large.csv").rename(job.large)
    return {
        "seconds": seconds,
        "cpu_seconds": time.process_time() - cpu,
        "lines": outcome.file.lines,
        "accepted": outcome.file.accepted,
        "rejected": outcome.file.rejected,
        "steps": outcome.seconds,
        "peak_mib": _peak_mib(),
    }


def _place(home: Path) -> Path:
    return home / "sftp" / "roots" / PARTNER / "out"


def _peak_mib() -> float:
    """Return this process's own peak; getrusage would count the parent's at the time of the fork."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure_limit(owner_dsn: str) -> dict[str, float]:
    """Measure a bare COPY (binary, made by Postgres itself) of the rows that the load landed."""
    columns = "copy landing.fuel_purchase from stdin (format binary)"
    with psycopg.connect(owner_dsn) as conn:
        with conn.cursor().copy(
            "copy (select * from landing.fuel_purchase) to stdout (format binary)"
        ) as copy:
            encoded = b"".join(copy)
        conn.execute("truncate landing.fuel_purchase")
        conn.commit()
        start = time.perf_counter()
        cursor = conn.cursor()
        with cursor.copy(columns) as copy:
            for at in range(0, len(encoded), 1 << 20):
                copy.write(encoded[at : at + (1 << 20)])
        conn.commit()
        return {"rows": cursor.rowcount, "copy_s": time.perf_counter() - start}


def run_bench(settings: Settings, rows: int, runs: int) -> dict[str, Any]:
    """Load a file of so many rows `runs` times, the limit beside each; return medians and every run."""
    large = _place(settings.home).parent / "large.csv"
    write_csv(large, rows)
    results = []
    for run in range(runs):
        bucket = settings.home / f"bucket-{run}"
        with scratch_warehouse(settings.dsn("owner")) as database:
            loader, owner = (with_database(settings.dsn(role), database) for role in ("loader", "owner"))
            loaded = _in_a_process(Job(str(settings.home), loader, str(bucket), str(large)))
            objects = sum(pq.read_metadata(path).num_rows for path in (bucket / "raw").rglob("*.parquet"))
            if objects <= loaded["accepted"]:
                raise RuntimeError(
                    f"raw objects hold {objects} rows, {loaded['accepted']} and a few were accepted"
                )
            results.append(_figures(loaded, measure_limit(owner)))
        shutil.rmtree(bucket)
    keys = [key for key, value in results[0].items() if isinstance(value, int | float)]
    median = {key: statistics.median(run[key] for run in results) for key in keys}
    return {
        "benchmark": "partner",
        "rows": rows,
        "file_bytes": large.stat().st_size,
        "median": median,
        "runs": results,
    }


def _figures(loaded: dict[str, Any], limit: dict[str, float]) -> dict[str, Any]:
    per_s, limit_per_s = loaded["lines"] / loaded["seconds"], limit["rows"] / limit["copy_s"]
    return {
        "rows_per_s": round(per_s),
        "limit_per_s": round(limit_per_s),
        "share_of_limit": round(per_s / limit_per_s, 3),
        "cpu_us_per_row": round(loaded["cpu_seconds"] / loaded["lines"] * 1e6, 2),
        "peak_mib": round(loaded["peak_mib"]),
        "rejected": loaded["rejected"],
        "seconds": round(loaded["seconds"], 3),
        "steps": loaded["steps"],
    }


def _in_a_process(job: Job) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "fleetflow.bench.partner"],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the measured load failed: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


if __name__ == "__main__":
    print(json.dumps(load_once(Job(**json.load(sys.stdin)))))
