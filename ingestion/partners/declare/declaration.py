"""Declarations of partners: one YAML file each, read whole and checked before anything is fetched.

Reads `<directory>/*.yaml`; a file's name is the partner's name. Every fault of a file is named in one message, so
that a declaration is put right in one go. Nothing of a declaration is ever evaluated: it names and describes only.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import yaml

from domain.contracts import FEEDS
from ingestion.partners.declare.declared_columns import check_columns, read_columns, read_kept
from ingestion.partners.declare.declared_format import read_format, read_numbers
from ingestion.partners.declare.model import (
    WEEKDAYS,
    Arrival,
    ColumnMap,
    Completeness,
    CsvFormat,
    Declaration,
    Excel,
    Field,
    FixedWidth,
    Format,
    JsonLines,
    Limits,
    LocalTimes,
    Numbers,
    Pgp,
    Trailer,
)
from ingestion.section import Section

__all__ = [
    "DECLARED",
    "Arrival",
    "ColumnMap",
    "Completeness",
    "CsvFormat",
    "Declaration",
    "DeclarationError",
    "Excel",
    "Field",
    "FixedWidth",
    "Format",
    "JsonLines",
    "Limits",
    "LocalTimes",
    "Numbers",
    "Pgp",
    "Trailer",
    "read_declaration",
    "read_declarations",
]

DECLARED = Path(__file__).parent.parent / "declared"
"""Where the shipped declarations are."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class DeclarationError(ValueError):
    """A declaration contradicts itself or the contract; the message names every fault of every file."""


def read_declarations(directory: Path = DECLARED) -> dict[str, Declaration]:
    """Read every declaration of a directory, by partner.

    Raises:
        DeclarationError: the directory is missing, or a file has faults; all of them are named.
    """
    if not directory.is_dir():
        raise DeclarationError(f"{directory} is no directory of partner declarations")
    found: dict[str, Declaration] = {}
    faults: list[str] = []
    for path in sorted(directory.glob("*.yaml")):
        try:
            found[path.stem] = read_declaration(path)
        except DeclarationError as fault:
            faults.append(str(fault))
    faults += _collisions(found)
    if faults:
        raise DeclarationError("\n".join(faults))
    return found


def read_declaration(path: Path) -> Declaration:
    """Read one declaration.

    Raises:
        DeclarationError: it is no YAML mapping, or has faults; all of them are named.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise DeclarationError(
            f"{path.name}: cannot be read as YAML: {' '.join(str(fault).split())}"
        ) from None
    faults: list[str] = []
    declaration = _declaration(path.stem, Section(values, "", faults))
    if faults:
        raise DeclarationError("\n".join(f"{path.name}: {fault}" for fault in faults))
    return declaration


def _declaration(stem: str, top: Section) -> Declaration:
    name = top.text("name", stem)
    if name != stem or not _NAME.fullmatch(name):
        top.fault("name", f"{name!r} must be the file's name, of a-z, 0-9 and _")
    feed = top.text(
        "feed", among=[name for name, feed in FEEDS.items() if feed.partner or name == "shipment_event"]
    )
    numbers = read_numbers(top.section("numbers"))
    columns: Mapping[str, ColumnMap] = {}
    if feed in FEEDS:
        columns = read_columns(top.section("columns"), FEEDS[feed])
    declaration = Declaration(
        name=name,
        tenant_id=top.text("tenant_id"),
        feed=feed,
        account=top.text("account", name),
        directory=_directory(top, "directory"),
        pattern=top.text("pattern"),
        format=read_format(top.section("format")),
        columns=columns,
        line_key=top.texts("line_key"),
        doc=top.text("doc", ""),
        arrival=_arrival(top.section("arrival")) if top.has("arrival") else top.any("arrival"),
        completeness=_completeness(top.section("completeness")),
        encoding=_encoding(top),
        numbers=numbers,
        kept=read_kept(top.section("kept")),
        ignored=top.texts("ignored"),
        pgp=_pgp(top.section("pgp")) if top.has("pgp") else top.any("pgp"),
        limits=_limits(top.section("limits")),
        max_rejected_share=top.number("max_rejected_share", 0.02, high=1),
        late_after=top.span("late_after", Declaration.late_after),
        after_load=top.text("after_load", "keep", among=("keep", "delete", "move")),
        move_to=_directory(top, "move_to", "loaded"),
        retention_days=top.whole("retention_days", 400, low=1),
    )
    top.close()
    if feed in FEEDS:
        check_columns(declaration, top)
    _check_whole(declaration, top)
    return declaration


def _directory(top: Section, key: str, default: str | None = None) -> str:
    directory = top.text(key, default)
    if ".." in directory.split("/"):
        top.fault(key, f"{directory!r} must not hold ..")
    return directory


def _encoding(top: Section) -> str:
    encoding = top.text("encoding", "utf-8")
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        top.fault(
            "encoding", f"{encoding!r} is no encoding that is known (utf-8, cp1252, latin-1, utf-16, ...)"
        )
        return "utf-8"


def _arrival(section: Section) -> Arrival:
    times = [section.time("times", value) for value in section.texts("times")]
    weekdays = section.texts("weekdays") or WEEKDAYS
    if strange := set(weekdays) - set(WEEKDAYS):
        section.fault("weekdays", f"{', '.join(sorted(strange))}: they are {', '.join(WEEKDAYS)}")
    month_days = section.any("month_days") or []
    if not isinstance(month_days, list) or not all(isinstance(d, int) and 1 <= d <= 31 for d in month_days):
        section.fault("month_days", f"a list of days from 1 to 31 is wanted, not {month_days!r}")
        month_days = []
    if not times:
        section.fault("times", 'at least one time of day such as "04:00" is wanted')
    arrival = Arrival(
        times=tuple(found for found in times if found),
        zone=read_zone(section, "UTC") or "UTC",
        weekdays=tuple(weekdays),
        month_days=tuple(month_days),
        grace=section.span("grace", Arrival.grace),
    )
    section.close()
    return arrival


def read_zone(section: Section, default: str | None = None) -> str | None:
    """Return the zone of a section, an IANA name."""
    zone = section.optional_text("zone") or default
    if zone is not None and zone != "UTC" and zone not in available_timezones():
        section.fault("zone", f"{zone!r} is no IANA time zone such as Europe/Berlin")
        return default
    return ZoneInfo(zone).key if zone else None


def _completeness(section: Section) -> Completeness:
    found = Completeness(
        done=section.optional_text("done"),
        checksum=section.optional_text("checksum"),
        algorithm=section.text("algorithm", "sha256", among=("sha256", "md5")),
        manifest=section.optional_text("manifest"),
        trailer=section.flag("trailer"),
        stable=section.flag("stable"),
        temporary=section.texts("temporary") or Completeness.temporary,
    )
    for key in ("done", "checksum"):
        name = getattr(found, key)
        if name and "{name}" not in name and "{stem}" not in name:
            section.fault(key, f"{name!r} must hold {{name}} or {{stem}}, the file that it stands beside")
    section.close()
    return found


def _pgp(section: Section) -> Pgp:
    found = Pgp(
        encrypted=section.flag("encrypted", True),
        signed=section.flag("signed"),
        key=section.text("key", ""),
        signers=section.texts("signers"),
    )
    if found.encrypted and not found.key:
        section.fault("key", "is missing: the name under which our secret key is kept")
    if found.signed and not found.signers:
        section.fault("signers", "is missing: the names under which the partner's public keys are kept")
    section.close()
    return found


def _limits(section: Section) -> Limits:
    found = Limits(
        max_bytes=section.size("max_bytes", Limits.max_bytes),
        max_unpacked_bytes=section.size("max_unpacked_bytes", Limits.max_unpacked_bytes),
        max_ratio=section.number("max_ratio", Limits.max_ratio, low=1),
        max_line_bytes=section.size("max_line_bytes", Limits.max_line_bytes),
    )
    if not 1 << 10 <= found.max_line_bytes <= 4 << 20:
        section.fault("max_line_bytes", f"{found.max_line_bytes} bytes: from 1 KiB to 4 MiB")
    section.close()
    return found


def _check_whole(declaration: Declaration, top: Section) -> None:
    completeness, trailer = declaration.completeness, declaration.format.trailer
    if completeness.trailer and trailer is None:
        top.fault("completeness.trailer", "the format declares no trailer")
    if "/" in declaration.pattern:
        top.fault("pattern", f"{declaration.pattern!r} is a name, without directories")


def _collisions(found: Mapping[str, Declaration]) -> list[str]:
    """Two partners of the same place would take each other's files."""
    places: dict[Any, str] = {}
    faults = []
    for name, one in found.items():
        place = (one.account, one.directory.rstrip("/"), one.pattern)
        if place in places:
            faults.append(f"{name}.yaml: account, directory and pattern are those of {places[place]}.yaml")
        places.setdefault(place, name)
    return faults
