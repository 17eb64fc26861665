"""What the tests of partner loads share: partners of a test's own, files in their SFTP roots, and what came of them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from fleetflow.local.stack import running
from fleetflow.partner_load import load
from fleetflow.partners import read_partner
from fleetflow.runtime import client
from fleetflow.settings import Settings
from ingestion.partners.load import FileOutcome

BEGIN = datetime(2026, 11, 1, 6, tzinfo=UTC)
HEADER = "Transaction;Card vehicle;Bought;Product;Litres;Amount;Currency"
CARDS = """
tenant_id: acme
feed: fuel_purchase
account: {name}
directory: /out
pattern: "{pattern}"
completeness: {completeness}
format: {{kind: csv, delimiter: ";"}}
line_key: [transaction_id]
max_rejected_share: 0.5
late_after: 14 d
after_load: {after_load}
{more}
columns:
  transaction_id: {{source: Transaction}}
  vehicle_id: {{source: Card vehicle, synonyms: [Vehicle]}}
  purchased_at: {{source: Bought, layouts: ["%Y-%m-%d %H:%M"], zone: UTC}}
  fuel: {{source: Product, values: {{Diesel: diesel, HVO: hvo}}}}
  volume_l: {{source: Litres}}
  amount_minor: {{source: Amount, money: true}}
  currency: {{source: Currency}}
"""
NUMBERS = itertools.count(1)
Row = tuple[Any, ...]


def lines(count: int, start: int = 0, **changes: str) -> list[str]:
    """Lines of a fuel card; `changes` give another number of litres to a transaction."""
    return [
        f"T{n:07};V{n % 50:03};2026-10-{1 + n % 28:02} {n % 24:02}:{n % 60:02};Diesel;"
        f"{changes.get(f'T{n:07}', f'{20 + n % 400 / 10:.1f}')};{50 + n % 90}.25;EUR"
        for n in range(start, start + count)
    ]


def text(rows: Sequence[str], header: str = HEADER) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


class Partner:
    """A partner of a test's own on the stack: a declaration, a directory on the server, its rows in the ledger."""

    def __init__(
        self,
        settings: Settings,
        *,
        name: str | None = None,
        completeness: str = "{}",
        after_load: str = "keep",
        more: str = "",
        declaration: str = CARDS,
        pattern: str = "fuel_*",
    ) -> None:
        self.settings = settings
        self.name = name or f"cards{next(NUMBERS)}"
        self.directory = settings.home / "sftp" / "roots" / self.name / "out"
        self._template, self._values = declaration, {
            "completeness": completeness, "after_load": after_load, "more": more, "pattern": pattern,
        }  # fmt: skip
        self.declare()
        _provision(settings)

    def declare(self, change: tuple[str, str] = ("", ""), **values: str) -> None:
        """Write the declaration, with a piece of its text replaced."""
        self._values |= values
        found = self._template.format(name=self.name, **self._values)
        (self.settings.partners_dir / f"{self.name}.yaml").write_text(found.replace(*change))

    def drop(self, name: str, content: bytes, minutes: float = 0) -> Path:
        """Put a file on the server, with a time of change some minutes after BEGIN."""
        path = self.directory / name
        path.write_bytes(content)
        at = (BEGIN + timedelta(minutes=minutes)).timestamp()
        os.utime(path, (at, at))
        return path

    def load(self, **options: Any) -> dict[str, FileOutcome]:
        """Load in this process; outcomes by name, the newest file of a name."""
        found = load(self.settings, read_partner(self.settings, self.name), **options)
        return {one.name: one for one in found}

    def sql(self, query: str, *parameters: Any) -> list[Row]:
        with psycopg.connect(self.settings.dsn("owner"), autocommit=True) as conn:
            return conn.execute(query.encode(), parameters).fetchall()

    def files(self) -> list[Row]:
        """(name, state, lines, accepted, rejected, unchanged, superseded) in the order in which they came."""
        return self.sql(
            "select name, state, lines, accepted, rejected, unchanged, superseded from ops.partner_file"
            " where partner = %s order by file_id",
            self.name,
        )

    def landed(self) -> list[Row]:
        """(transaction, litres, line) of every row, all versions, in the order of sending."""
        return self.sql(
            "select transaction_id, volume_l, source_line from landing.fuel_purchase where partner = %s"
            " order by recorded_at, transaction_id",
            self.name,
        )

    def objects(self, prefix: str) -> list[str]:
        """Keys of the partner's objects under a prefix."""
        s3 = client(self.settings, "s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.settings.raw_bucket, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return sorted(key for key in keys if f"/{self.name}/" in key or f"partner-{self.name}-" in key)

    def archived(self, name: str) -> bytes:
        """The bytes of a file in the archive."""
        [(key,)] = self.sql(
            "select archive_key from ops.partner_file where partner = %s and name = %s"
            " order by file_id desc limit 1",
            self.name, name,
        )  # fmt: skip
        assert key, f"{name} was never archived"
        s3 = client(self.settings, "s3")
        return bytes(s3.get_object(Bucket=self.settings.raw_bucket, Key=key)["Body"].read())


def _provision(settings: Settings) -> None:
    """Make the accounts of partners that were declared since the server started."""
    from fleetflow.local import sftp
    from fleetflow.local.state import load as read_state
    from fleetflow.partners import read_accounts

    port = read_state(settings.home).ports["sftp"]
    sftp.provision(sftp.base(settings.home), read_accounts(settings.partners_dir), [("127.0.0.1", port)])


@contextmanager
def partner_stack(home: Path) -> Iterator[Settings]:
    """Keep Postgres, AWS and an SFTP server up, with an empty directory of declarations."""
    declared = home / "declared"
    declared.mkdir(parents=True)
    (declared / "nobody.yaml").write_text("account: nobody\ndirectory: /out\n")
    with running(
        home, ("postgres", "aws", "sftp"), env={"FLEETFLOW_PARTNERS_DIR": str(declared)}
    ) as settings:
        yield settings
