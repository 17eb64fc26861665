"""What the standards define: parameters of SAE J1939-71/DA that are decoded without a database, names and units.

A canonical name means the same quantity in the same unit whatever bus and protocol it came by; a manifest maps a
manufacturer's signals onto them, J1939 databases are mapped by their SPN attribute. The figures are those of the SAE
J1939 Digital Annex (position, length, resolution, offset); the FMS standard publishes the same for most of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingestion.telemetry.layout import Field, Layout, Message

UNITS = {
    "vehicle_speed": "km/h",
    "engine_speed": "rpm",
    "fuel_rate": "l/h",
    "total_fuel_used": "l",
    "fuel_level": "%",
    "odometer": "km",
    "odometer_high_resolution": "km",
    "engine_hours": "h",
    "coolant_temperature": "degC",
    "engine_load": "%",
    "intake_air_temperature": "degC",
    "ambient_temperature": "degC",
    "mass_air_flow": "g/s",
    "battery_voltage": "V",
}
"""Canonical names and the unit that each has always."""

_SPELLINGS = {
    "kmh": "km/h", "kph": "km/h", "km/h": "km/h", "1/min": "rpm", "rpm": "rpm", "u/min": "rpm", "min-1": "rpm",
    "l/h": "l/h", "l": "l", "liter": "l", "litre": "l", "%": "%", "km": "km", "h": "h", "hr": "h", "hours": "h",
    "degc": "degC", "deg c": "degC", "°c": "degC", "c": "degC", "g/s": "g/s", "v": "V",
}  # fmt: skip


def plain_unit(unit: str | None) -> str | None:
    """Return the one spelling of a unit; an unknown one as it is, none for an empty one."""
    return _SPELLINGS.get(unit.strip().lower(), unit.strip()) if unit and unit.strip() else None


@dataclass(frozen=True)
class Parameter:
    """A suspect parameter: bytes `first` to `first + size` (from 0) of its parameter group, little-endian."""

    spn: int
    name: str
    pgn: int
    group: str
    first: int
    size: int
    scale: float
    offset: float = 0.0


PARAMETERS = (
    Parameter(190, "engine_speed", 61444, "EEC1", 3, 2, 0.125),
    Parameter(84, "vehicle_speed", 65265, "CCVS1", 1, 2, 1 / 256),
    Parameter(183, "fuel_rate", 65266, "LFE1", 0, 2, 0.05),
    Parameter(250, "total_fuel_used", 65257, "LFC1", 4, 4, 0.5),
    Parameter(96, "fuel_level", 65276, "DD1", 1, 1, 0.4),
    Parameter(245, "odometer", 65248, "VD", 4, 4, 0.125),
    Parameter(917, "odometer_high_resolution", 65217, "VDHR", 0, 4, 0.005),
    Parameter(247, "engine_hours", 65253, "HOURS", 0, 4, 0.05),
    Parameter(110, "coolant_temperature", 65262, "ET1", 0, 1, 1, -40),
)
"""SAE J1939DA: SPN, PGN, position, resolution a bit, offset. Speed 1/256 km/h, 917 is 5 m, 245 is 125 m a bit."""

NAME_BY_SPN = {parameter.spn: parameter.name for parameter in PARAMETERS}


def standard_groups(decoder: str) -> dict[int, Message]:
    """Return the parameter groups of `PARAMETERS` as messages, by PGN. Each is 8 bytes long (SAE J1939-71)."""
    fields: dict[int, list[Field]] = {}
    names: dict[int, str] = {}
    for one in PARAMETERS:
        names[one.pgn] = one.group
        fields.setdefault(one.pgn, []).append(
            Field(
                name=one.name, source=f"spn {one.spn}", start=8 * one.first, length=8 * one.size,
                scale=one.scale, offset=one.offset, unit=UNITS[one.name], indicators=True,
            )
        )  # fmt: skip
    return {pgn: Message(names[pgn], 8, Layout(tuple(found)), decoder) for pgn, found in fields.items()}
