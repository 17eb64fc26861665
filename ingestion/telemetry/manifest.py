"""The decoder manifest: which database reads which channel of which vehicles. YAML beside its DBC files.

    version: 1
    decoders:
      - {name: city_van, version: 2, models: [city_van], years: {from: 2019}, channels: [can0], protocol: can,
         database: city_van.dbc, sha256: 5f0c..., signals: {VehicleSpeed: vehicle_speed}}

Read whole and judged before anything is decoded; every fault is named in one message. A database is used only if its
bytes have the hash that the manifest names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import yaml

from ingestion.section import Section
from ingestion.telemetry.dbc import Compiled, DatabaseError, compile_database, read_database
from ingestion.telemetry.identifiers import j1939_id
from ingestion.telemetry.routes import EVERY_YEAR, Bus, BusProtocol, Decoder, conflicts

SHIPPED = Path(__file__).parent / "decoders" / "manifest.yaml"
"""The example manifest, with two databases written for it."""


class ManifestError(ValueError):
    """A manifest cannot be used; the message names every fault."""


class UnknownModel(LookupError):
    """No decoder of the manifest is for a vehicle's model and year."""


@dataclass(frozen=True)
class Refused:
    """A decoder that cannot be used, and every reason why."""

    decoder: Decoder
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """All decoders, the version of the whole, and its hash, which holds those of the databases.

    `refused`: decoders with faults, where the manifest was read leniently. Vehicles that one of them is for are
    decoded by nothing at all: half of a bus would look like the whole of it.
    """

    version: int
    decoders: tuple[Decoder, ...]
    sha256: str = ""
    refused: tuple[Refused, ...] = ()

    def bus(self, model: str | None, year: int, channel: str) -> Bus:
        """Return what applies to a channel of a vehicle; a bus without decoders where nothing does."""
        if model is not None and any(one.decoder.covers(model, year, channel) for one in self.refused):
            return Bus(())
        return Bus(
            tuple(one for one in self.decoders if model is not None and one.covers(model, year, channel))
        )

    def check_model(self, model: str, year: int) -> None:
        """Make sure that a vehicle's model and year are known.

        Raises:
            UnknownModel: they are not; the message says which are.
        """
        if any(model in one.models and one.years[0] <= year <= one.years[1] for one in self.decoders):
            return
        known = sorted({f"{name} ({year_words(one.years)})" for one in self.decoders for name in one.models})
        raise UnknownModel(f"no decoder for model {model!r} of {year}; the manifest has {', '.join(known)}")


def year_words(years: tuple[int, int]) -> str:
    """Say a decoder's years: "2019-2023", "2019-", "any year"."""
    first, last = (
        str(year) if year != open_end else "" for year, open_end in zip(years, EVERY_YEAR, strict=True)
    )
    return f"{first}-{last}" if first or last else "any year"


def read_manifest(path: Path = SHIPPED) -> Manifest:
    """Read a manifest and compile its databases.

    Raises:
        ManifestError: it is no YAML mapping, has faults, or a database has: all of them are named.
    """
    return _read(path, lenient=False)


def read_usable(path: Path = SHIPPED) -> Manifest:
    """Read a manifest as `read_manifest` does, but leave out decoders with faults of their own: see `Manifest.refused`.

    Raises:
        ManifestError: it is no YAML mapping with decoders, or an entry does not even say whose it is.
    """
    return _read(path, lenient=True)


def _read(path: Path, *, lenient: bool) -> Manifest:
    try:
        content = path.read_bytes()
        values = yaml.safe_load(content.decode("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise ManifestError(f"{path.name}: cannot be read as YAML: {' '.join(str(fault).split())}") from None
    faults: list[str] = []
    top = Section(values, "", faults)
    version = top.whole("version", 1, low=1)
    entries = top.any("decoders")
    if not isinstance(entries, list) or not entries:
        top.fault("decoders", "a list of decoders is wanted")
        entries = []
    read = [_judged(entry, f"decoders[{i}]", path) for i, entry in enumerate(entries)]
    top.close()
    for decoder, own in read:
        # A refused decoder stands for the vehicles that it is for: without a name, models and channels for none.
        if own and not (lenient and decoder.name and decoder.models and decoder.channels):
            faults += own
    own_faults: dict[Decoder, list[str]] = {decoder: own for decoder, own in read if own}
    for pair, words in _collisions([decoder for decoder, _ in read]):
        if lenient:
            for decoder in pair:
                own_faults.setdefault(decoder, []).append(words)
        else:
            faults.append(words)
    if faults:
        raise ManifestError("\n".join(f"{path.name}: {fault}" for fault in faults))
    return Manifest(
        version,
        tuple(decoder for decoder, _ in read if decoder not in own_faults),
        hashlib.sha256(content).hexdigest(),
        tuple(Refused(decoder, tuple(dict.fromkeys(own))) for decoder, own in own_faults.items()),
    )


def _judged(entry: object, place: str, path: Path) -> tuple[Decoder, list[str]]:
    faults: list[str] = []
    return _decoder(Section(entry, place, faults), path), faults


def _collisions(decoders: Sequence[Decoder]) -> list[tuple[tuple[Decoder, ...], str]]:
    """Return what more than one decoder claims, with the decoders that do."""
    labels = [one.label for one in decoders]
    twice = [
        (tuple(one for one in decoders if one.label == label), f"{label} is there twice")
        for label in sorted(set(labels))
        if labels.count(label) > 1
    ]
    return twice + [(pair, fault) for pair in combinations(decoders, 2) for fault in conflicts(*pair)]


def _decoder(entry: Section, path: Path) -> Decoder:
    protocol = BusProtocol.CAN
    wanted = entry.text("protocol", among=[*BusProtocol])
    if wanted in list(BusProtocol):
        protocol = BusProtocol(wanted)
    decoder = Decoder(
        name=entry.text("name"),
        version=entry.whole("version", 1, low=1),
        models=_some(entry, "models"),
        years=_year_range(entry.section("years")),
        channels=_some(entry, "channels"),
        protocol=protocol,
        spn_conversion=_spn_conversion(entry, protocol),
        compiled=_compiled(entry, protocol, path),
    )
    entry.close()
    return decoder


def _some(entry: Section, key: str) -> tuple[str, ...]:
    found = entry.texts(key)
    if not found:
        entry.fault(key, "at least one is wanted")
    return found


def _year_range(years: Section) -> tuple[int, int]:
    first, last = years.whole("from", EVERY_YEAR[0]), years.whole("to", EVERY_YEAR[1])
    if first > last:
        years.fault("from", f"{first} is after {last}")
    years.close()
    return first, last


def _spn_conversion(entry: Section, protocol: BusProtocol) -> int | None:
    if not entry.has("spn_conversion"):
        entry.any("spn_conversion")
        return None
    found = entry.whole("spn_conversion", 0)
    if protocol is not BusProtocol.J1939 or found not in (1, 2, 3):
        entry.fault("spn_conversion", "1, 2 or 3 is wanted, of a j1939 decoder")
    return found


def _compiled(entry: Section, protocol: BusProtocol, path: Path) -> tuple[Compiled, ...]:
    name, sha256 = entry.optional_text("database"), entry.optional_text("sha256")
    names = _names(entry.section("signals"))
    if name is None:
        if protocol is BusProtocol.CAN:
            entry.fault("database", "is missing: raw CAN means nothing without one")
        return ()
    if protocol is BusProtocol.OBD:
        entry.fault("database", "OBD-II needs none: its PIDs are standard")
        return ()
    content = _content(entry, path.parent, name, sha256)
    if content is None:
        return ()
    j1939 = protocol is BusProtocol.J1939
    try:
        compiled = compile_database(read_database(content, j1939=j1939), _label(entry), names, j1939=j1939)
    except DatabaseError as fault:
        entry.fault("database", f"{name}: {fault}")
        return ()
    if j1939:
        _check_groups(entry, name, compiled)
    return tuple(compiled)


def _label(entry: Section) -> str:
    return f"{entry.text('name')}@{entry.whole('version', 1)}"


def _names(section: Section) -> dict[str, str]:
    return {signal: section.text(signal) for signal in section.names()}


def _content(entry: Section, directory: Path, name: str, sha256: str | None) -> bytes | None:
    """Read a database, which must lie beside the manifest or below it and have the hash that is named."""
    path = (directory / name).resolve()
    if not path.is_relative_to(directory.resolve()):
        entry.fault("database", f"{name!r} must lie beside the manifest or below it")
        return None
    try:
        content = path.read_bytes()
    except OSError as fault:
        entry.fault("database", f"{name} cannot be read: {fault.strerror}")
        return None
    found = hashlib.sha256(content).hexdigest()
    if sha256 != found:
        stated = f"{sha256} is stated" if sha256 else "none is stated"
        entry.fault("sha256", f"{name} has {found}, {stated}: it is not the file that the manifest means")
        return None
    return content


def _check_groups(entry: Section, name: str, compiled: Sequence[Compiled]) -> None:
    """A parameter group may be there once for each source."""
    seen: dict[tuple[int, int], str] = {}
    for one in compiled:
        parts = j1939_id(one.frame_id)
        key = (parts.pgn, parts.source)
        if key in seen:
            entry.fault(
                "database", f"{name}: {seen[key]} and {one.message.name} are both parameter group {parts.pgn}"
                f" from address {parts.source}",
            )  # fmt: skip
        seen[key] = one.message.name
