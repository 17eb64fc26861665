"""The PIDs of OBD-II mode 01 that are decoded or at least stepped over.

Formulas are those of SAE J1979 (Appendix B; in J1979-DA today), A being the first data byte: 0C (256A+B)/4 rpm, 0D A
km/h, 05 A-40 degC, 2F 100/255 A %, 5E (256A+B)/20 l/h, A6 four bytes / 10 km, 10 (256A+B)/100 g/s, and so on below.
"""

from __future__ import annotations

from collections.abc import Mapping

from ingestion.telemetry.layout import Field


def _one(
    pid: int, name: str, size: int, scale: float, unit: str | None, offset: float = 0.0
) -> tuple[int, tuple[Field, ...]]:
    field = Field(
        name,
        f"pid {pid:02X}",
        start=7,
        length=8 * size,
        big_endian=True,
        scale=scale,
        offset=offset,
        unit=unit,
    )
    return pid, (field,)


PID_FIELDS: Mapping[int, tuple[Field, ...]] = dict(
    [
        (
            0x01,
            (
                Field("malfunction_indicator_lamp", "pid 01", start=7, length=1, big_endian=True,
                      choices={0: "off", 1: "on"}),
                Field("confirmed_trouble_codes", "pid 01", start=6, length=7, big_endian=True),
            ),
        ),
        _one(0x04, "engine_load", 1, 100 / 255, "%"),
        _one(0x05, "coolant_temperature", 1, 1, "degC", -40),
        _one(0x0B, "intake_manifold_pressure", 1, 1, "kPa"),
        _one(0x0C, "engine_speed", 2, 0.25, "rpm"),
        _one(0x0D, "vehicle_speed", 1, 1, "km/h"),
        _one(0x0F, "intake_air_temperature", 1, 1, "degC", -40),
        _one(0x10, "mass_air_flow", 2, 0.01, "g/s"),
        _one(0x11, "throttle_position", 1, 100 / 255, "%"),
        _one(0x1F, "run_time_since_start", 2, 1, "s"),
        _one(0x21, "distance_with_lamp_on", 2, 1, "km"),
        _one(0x2F, "fuel_level", 1, 100 / 255, "%"),
        _one(0x31, "distance_since_codes_cleared", 2, 1, "km"),
        _one(0x33, "barometric_pressure", 1, 1, "kPa"),
        _one(0x42, "battery_voltage", 2, 0.001, "V"),
        _one(0x46, "ambient_temperature", 1, 1, "degC", -40),
        _one(0x5C, "engine_oil_temperature", 1, 1, "degC", -40),
        _one(0x5E, "fuel_rate", 2, 0.05, "l/h"),
        _one(0xA6, "odometer", 4, 0.1, "km"),
    ]
)  # fmt: skip
"""Signals of a PID, laid out within its own data bytes. `battery_voltage` of 42 is the control module's."""

PID_BYTES: Mapping[int, int] = {
    **dict.fromkeys((0x00, 0x01, 0x20, 0x40, 0x60, 0x80, 0xA0, 0x4F, 0x50, 0x41, 0xA6), 4),
    **dict.fromkeys(
        (0x02, 0x03, 0x0C, 0x10, 0x1F, 0x21, 0x22, 0x23, 0x31, 0x32, 0x42, 0x43, 0x44, 0x4D, 0x4E), 2
    ),
    **dict.fromkeys((*range(0x14, 0x1C), *range(0x3C, 0x40), 0x53, 0x54, 0x59, 0x5D, 0x5E), 2),
    **dict.fromkeys((*range(0x04, 0x0C), 0x0D, 0x0E, 0x0F, 0x11, 0x12, 0x13, 0x1C, 0x1D, 0x1E), 1),
    **dict.fromkeys((0x2C, 0x2D, 0x2E, 0x2F, 0x30, 0x33, 0x45, 0x46, *range(0x47, 0x4D), 0x51, 0x52), 1),
    **dict.fromkeys((0x5A, 0x5B, 0x5C, 0x5F, 0x61, 0x62), 1),
    **dict.fromkeys((*range(0x24, 0x2C), *range(0x34, 0x3C)), 4),
}
"""Data bytes of the PIDs whose length is fixed: what stands between one PID and the next of the same reply."""
