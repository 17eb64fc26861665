"""Settings: read once at the edge, handed down as one frozen object.

Read from the environment, and beneath it from `<home>/stack.env`, which the embedded stack writes.
On AWS there is no such file: the task's environment (filled from Secrets Manager) is the only source.
Secrets never print: `Secret` shows `***`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

PROJECT_ROOT = Path(__file__).resolve().parent.parent

ROLES = ("owner", "loader", "transformer", "ops", "analyst")


class SettingsError(ValueError):
    """A setting is missing or has a value that cannot be used; the message names every one."""


class Secret(str):
    """A string that does not print itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Hide the value."""
        return "'***'"

    def reveal(self) -> str:
        """Return the plain value, for the library that needs it."""
        return str.__str__(self)


CHANNELS = ("sns", "email", "webhook")


@dataclass(frozen=True)
class AlertSettings:
    """Where alerts go besides the SNS topic, which severity to which channels, and how soon one is repeated.

    `mail_url` is `smtp://` (STARTTLS), `smtps://`, `smtp+plain://` (this machine only) or `ses://`.
    """

    webhook_url: str | None = None
    webhook_secret: Secret = field(default_factory=lambda: Secret(""))
    mail_url: Secret | None = None
    mail_from: str = ""
    mail_to: tuple[str, ...] = ()
    error: tuple[str, ...] = CHANNELS
    warn: tuple[str, ...] = CHANNELS
    repeat_hours: float = 4.0


@dataclass(frozen=True)
class Settings:
    """Everything that differs between one machine and AWS; times in seconds, sizes in bytes."""

    home: Path
    warehouse: Mapping[str, Secret]
    orders: Mapping[str, Secret]
    aws_region: str
    aws_endpoint_url: str | None
    gps_stream: str
    status_stream: str
    telemetry_stream: str
    raw_bucket: str
    report_bucket: str
    alert_topic_arn: str | None
    pseudonym_key: Secret
    flush_rows: int
    flush_bytes: int
    flush_seconds: float
    lease_seconds: float
    lake_bucket: str = "fleetflow-lake"
    lake_catalog: str = "sql"
    lake_snapshot_days: float = 7.0
    airflow_metadata_uri: Secret | None = None
    sftp_url: str | None = None
    sftp_key: Secret | None = None
    sftp_known_hosts: str | None = None
    partners_dir: Path = PROJECT_ROOT / "ingestion" / "partners" / "declared"
    decoder_manifest: Path = PROJECT_ROOT / "ingestion" / "telemetry" / "decoders" / "fleet.yaml"
    environment: Mapping[str, str] = field(repr=False, default_factory=dict)
    alerts: AlertSettings = field(default_factory=AlertSettings)

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that a landing worker reads."""
        return (self.gps_stream, self.status_stream, self.telemetry_stream)

    @property
    def sent_dir(self) -> Path:
        """Where senders leave their truth files."""
        return self.home / "sent"

    def dsn(self, role: str) -> str:
        """Return the warehouse URI of one role.

        Raises:
            SettingsError: the role has no address in this environment.
        """
        return self._known(self.warehouse, role).reveal()

    @property
    def orders_dsn(self) -> Secret:
        """The order database, as its owner.

        Raises:
            SettingsError: it has no address in this environment.
        """
        return self._known(self.orders, "orders")

    @property
    def orders_cdc_dsn(self) -> Secret:
        """The order database, as the role that replicates.

        Raises:
            SettingsError: it has no address in this environment.
        """
        return self._known(self.orders, "orders_cdc")

    def _known(self, addresses: Mapping[str, Secret], name: str) -> Secret:
        if name not in addresses:
            raise SettingsError(
                f"FLEETFLOW_{name.upper()}_DSN is not set (looked in the environment and {self.home / 'stack.env'};"
                " `fleetflow up` starts a local stack and writes that file)"
            )
        return addresses[name]


def default_home(env: Mapping[str, str] = os.environ) -> Path:
    """Return the state directory: FLEETFLOW_HOME, else `.fleetflow` in the project."""
    return Path(env.get("FLEETFLOW_HOME") or PROJECT_ROOT / ".fleetflow").expanduser().resolve()


def read_env_file(path: Path) -> dict[str, str]:
    """Read KEY=VALUE lines; blank lines and `#` comments are skipped; a missing file is empty."""
    if not path.exists():
        return {}
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def load_settings(home: Path | None = None, env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; the environment wins over `<home>/stack.env`.

    Raises:
        SettingsError: one line that names every setting that is missing or unusable.
    """
    env = os.environ if env is None else env
    home = home or default_home(env)
    values = {**read_env_file(home / "stack.env"), **env}
    reader = _Reader(values)
    settings = Settings(
        home=home,
        warehouse=reader.addresses(ROLES),
        orders=reader.addresses(("orders", "orders_cdc")),
        aws_region=values.get("AWS_REGION") or values.get("AWS_DEFAULT_REGION") or "us-east-1",
        aws_endpoint_url=values.get("AWS_ENDPOINT_URL") or None,
        gps_stream=reader.text("GPS_STREAM", "fleetflow-gps"),
        status_stream=reader.text("STATUS_STREAM", "fleetflow-status"),
        telemetry_stream=reader.text("TELEMETRY_STREAM", "fleetflow-telemetry"),
        raw_bucket=reader.text("RAW_BUCKET", "fleetflow-raw"),
        report_bucket=reader.text("REPORT_BUCKET", "fleetflow-reports"),
        alert_topic_arn=values.get("FLEETFLOW_ALERT_TOPIC_ARN") or None,
        pseudonym_key=Secret(reader.text("PSEUDONYM_KEY", "")),
        airflow_metadata_uri=Secret(uri) if (uri := reader.text("AIRFLOW_METADATA_URI", "")) else None,
        flush_rows=int(reader.number("FLUSH_ROWS", 25_000, low=1)),
        flush_bytes=int(reader.number("FLUSH_BYTES", 32 << 20, low=1)),
        flush_seconds=reader.number("FLUSH_SECONDS", 3.0, low=0.05),
        lease_seconds=reader.number("LEASE_SECONDS", 15.0, low=1.0),
        lake_bucket=reader.text("LAKE_BUCKET", "fleetflow-lake"),
        lake_catalog=reader.choice("LAKE_CATALOG", ("sql", "glue")),
        lake_snapshot_days=reader.number("LAKE_SNAPSHOT_DAYS", 7.0, low=1.0),
        sftp_url=values.get("FLEETFLOW_SFTP_URL") or None,
        sftp_key=Secret(values["FLEETFLOW_SFTP_KEY"]) if values.get("FLEETFLOW_SFTP_KEY") else None,
        sftp_known_hosts=values.get("FLEETFLOW_SFTP_KNOWN_HOSTS") or None,
        partners_dir=Path(reader.text("PARTNERS_DIR", str(Settings.partners_dir))).expanduser(),
        decoder_manifest=Path(reader.text("DECODER_MANIFEST", str(Settings.decoder_manifest))).expanduser(),
        environment=values,
        alerts=_alerts(reader),
    )
    reader.finish(home)
    return settings


def _alerts(reader: _Reader) -> AlertSettings:
    mail = reader.address("ALERT_MAIL_URL", ("smtp", "smtps", "smtp+plain", "ses"), plain="smtp+plain")
    mail_to, mail_from = reader.words("ALERT_MAIL_TO"), reader.text("ALERT_MAIL_FROM", "")
    if mail and not (mail_to and mail_from):
        reader.faults.append(
            "FLEETFLOW_ALERT_MAIL_URL needs FLEETFLOW_ALERT_MAIL_TO and FLEETFLOW_ALERT_MAIL_FROM"
        )
    return AlertSettings(
        webhook_url=reader.address("ALERT_WEBHOOK_URL", ("https", "http"), plain="http"),
        webhook_secret=Secret(reader.text("ALERT_WEBHOOK_SECRET", "")),
        mail_url=Secret(mail) if mail else None,
        mail_from=mail_from,
        mail_to=mail_to,
        error=reader.words("ALERT_ERROR_CHANNELS", CHANNELS),
        warn=reader.words("ALERT_WARN_CHANNELS", CHANNELS),
        repeat_hours=reader.number("ALERT_REPEAT_HOURS", 4.0, low=0.1),
    )


class _Reader:
    """Collects every fault, so that one message names them all."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.faults: list[str] = []

    def text(self, name: str, default: str) -> str:
        return self.values.get(f"FLEETFLOW_{name}") or default

    def choice(self, name: str, values: tuple[str, ...]) -> str:
        """Return one of the values; the first where nothing is set."""
        raw = self.text(name, values[0])
        if raw not in values:
            self.faults.append(f"FLEETFLOW_{name}={raw!r} is not one of {', '.join(values)}")
        return raw

    def addresses(self, names: Iterable[str]) -> dict[str, Secret]:
        """Return those that are set: each command needs only some, and says so when it comes to it."""
        variables = {name: f"FLEETFLOW_{name.upper()}_DSN" for name in names}
        found = {
            name: self.values[variable] for name, variable in variables.items() if self.values.get(variable)
        }
        for name, value in found.items():
            if urlsplit(value).scheme not in {"postgresql", "postgres"}:
                self.faults.append(f"{variables[name]} is not a postgresql:// address")
        return {name: Secret(value) for name, value in found.items()}

    def number(self, name: str, default: float, *, low: float) -> float:
        raw = self.values.get(f"FLEETFLOW_{name}")
        if raw is None:
            return default
        try:
            value = float(raw)
        except ValueError:
            self.faults.append(f"FLEETFLOW_{name}={raw!r} is not a number")
            return default
        if not value >= low:
            self.faults.append(f"FLEETFLOW_{name}={raw!r} is not at least {low}")
            return default
        return value

    def words(self, name: str, allowed: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return a list split at commas; `allowed`, if given, is the default and all that may be in it."""
        raw = self.values.get(f"FLEETFLOW_{name}")
        if raw is None:
            return allowed
        found = tuple(word.strip() for word in raw.split(",") if word.strip())
        if allowed and (unknown := [word for word in found if word not in allowed]):
            self.faults.append(f"FLEETFLOW_{name} names {', '.join(unknown)}; there are {', '.join(allowed)}")
        return found

    def address(self, name: str, schemes: tuple[str, ...], *, plain: str) -> str | None:
        """Return an address of one of the schemes; that of the `plain` one may lead to this machine only."""
        raw = self.values.get(f"FLEETFLOW_{name}")
        if not raw:
            return None
        place = urlsplit(raw)
        if place.scheme not in schemes:
            self.faults.append(
                f"FLEETFLOW_{name} must begin with one of {', '.join(f'{s}://' for s in schemes)}"
            )
        elif place.scheme == plain and place.hostname not in {"127.0.0.1", "localhost", "::1"}:
            self.faults.append(
                f"FLEETFLOW_{name}: {plain}:// is not encrypted and may lead to this machine only"
            )
        return raw

    def finish(self, home: Path) -> None:
        if self.faults:
            raise SettingsError(
                "; ".join(self.faults) + f" (looked in the environment and {home / 'stack.env'})"
            )
