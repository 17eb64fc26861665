"""Partners as the front door sees them: what is declared, when their files are expected, where they lie.

The readers here are light and forgiving, since the DAG processor and `fleetflow up` call them: they take name,
place and schedule of each declaration and judge nothing. `ingestion.partners.declare.declaration` reads the whole
and names every fault.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import yaml

from fleetflow.settings import Settings, SettingsError

if TYPE_CHECKING:
    from ingestion.partners.declare.declaration import Declaration
    from ingestion.partners.fetch.place import Address
    from ingestion.partners.fetch.remote import Remote

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_SPAN = re.compile(r"(\d+)\s*(s|min|h|d)")
_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_USUAL_GRACE = timedelta(hours=1)


@dataclass(frozen=True)
class Schedule:
    """When a partner's files are expected, as cron expressions in a zone; none where nothing is expected."""

    partner: str
    crons: tuple[str, ...] = ()
    zone: str = "UTC"
    grace: timedelta = _USUAL_GRACE


def read_schedules(directory: Path) -> list[Schedule]:
    """Return the schedule of every declaration, by partner; one that cannot be read has none."""
    return [_schedule(name, values) for name, values in _read_all(directory)]


def read_accounts(directory: Path) -> dict[str, tuple[str, ...]]:
    """Return the SFTP accounts that the declarations name, with the directories that they use there."""
    accounts: dict[str, tuple[str, ...]] = {}
    for name, values in _read_all(directory):
        account = str(values.get("account") or name)
        folders = {*accounts.get(account, ()), str(values.get("directory") or "")}
        accounts[account] = tuple(sorted(folders))
    return accounts


def read_pgp_names(directory: Path) -> list[str]:
    """Return the names of our OpenPGP keys that the declarations name."""
    sections = (values.get("pgp") for _, values in _read_all(directory))
    return sorted({str(pgp["key"]) for pgp in sections if isinstance(pgp, dict) and pgp.get("key")})


def read_partner(settings: Settings, name: str) -> Declaration:
    """Read one partner's declaration.

    Raises:
        SettingsError: there is no such partner.
        DeclarationError: the declaration has faults; all of them are named.
    """
    from ingestion.partners.declare.declaration import read_declaration

    path = settings.partners_dir / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not path.is_file():
        known = ", ".join(sorted(found.stem for found in settings.partners_dir.glob("*.yaml"))) or "none"
        raise SettingsError(f"{name!r} is no declared partner (in {settings.partners_dir}: {known})")
    return read_declaration(path)


def address_of(settings: Settings, declaration: Declaration) -> Address:
    """Return where a partner's files are: by its own settings (FLEETFLOW_SFTP_<PARTNER>_URL, ...), else by all's.

    A key that is a directory holds one key file per account.

    Raises:
        SettingsError: address, key or host keys are not set, or the address is none.
    """
    from ingestion.partners.fetch.place import INLINE_KEY, Address

    partner = declaration.name
    url = _own_or_shared(settings, partner, "URL", settings.sftp_url)
    key = _own_or_shared(settings, partner, "KEY", settings.sftp_key and settings.sftp_key.reveal())
    hosts = _own_or_shared(settings, partner, "KNOWN_HOSTS", settings.sftp_known_hosts)
    try:
        place = urlsplit(url)
        port = place.port or 22
    except ValueError as fault:
        raise SettingsError(f"the SFTP address {url!r} of {partner} cannot be used: {fault}") from fault
    if place.scheme != "sftp" or not place.hostname:
        raise SettingsError(f"the SFTP address {url!r} of {partner} is not like sftp://host:22")
    account = place.username or declaration.account
    if not key.startswith(INLINE_KEY) and Path(key).is_dir():
        key = str(Path(key) / account)
    return Address(place.hostname, port, account, key, hosts)


def open_remote(settings: Settings, declaration: Declaration) -> Remote:
    """Return the partner's directory, not connected yet: it is a context manager.

    Raises:
        SettingsError: the settings do not say where it is.
    """
    from ingestion.partners.fetch.remote import Remote

    return Remote(address_of(settings, declaration), declaration.directory)


def _own_or_shared(settings: Settings, partner: str, what: str, shared: str | None) -> str:
    own = f"FLEETFLOW_SFTP_{partner.upper()}_{what}"
    if found := settings.environment.get(own) or shared:
        return found
    raise SettingsError(
        f"neither {own} nor FLEETFLOW_SFTP_{what} is set (looked in the environment and"
        f" {settings.home / 'stack.env'}; `fleetflow up` starts a local SFTP server and writes that file)"
    )


def _read_all(directory: Path) -> list[tuple[str, Mapping[str, Any]]]:
    found = []
    for path in sorted(directory.glob("*.yaml")):
        if _NAME.fullmatch(path.stem):
            found.append((path.stem, _read(path)))
    return found


def _read(path: Path) -> Mapping[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return values if isinstance(values, dict) else {}


def _schedule(name: str, values: Mapping[str, Any]) -> Schedule:
    arrival = values.get("arrival")
    if not isinstance(arrival, dict):
        return Schedule(name)
    days = [str(day) for day in _list(arrival.get("weekdays")) if day in _WEEKDAYS]
    month_days = [str(day) for day in _list(arrival.get("month_days")) if day in range(1, 32)]
    # Cron takes a day that fits either list, an arrival one that fits both: the run looks again (`expected_at`).
    on_day = f"{','.join(month_days)} * *" if month_days else f"* * {','.join(days) or '*'}"
    times = [_TIME.match(str(at)) for at in _list(arrival.get("times"))]
    crons = tuple(sorted({f"{int(at[2])} {int(at[1])} {on_day}" for at in times if at}))
    span = _SPAN.fullmatch(str(arrival.get("grace", "")).strip())
    grace = timedelta(seconds=int(span[1]) * _SECONDS[span[2]]) if span else _USUAL_GRACE
    zone = str(arrival.get("zone") or "UTC")
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):  # not a zone, or not a name of one
        return Schedule(name)
    return Schedule(name, crons, zone, grace)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
