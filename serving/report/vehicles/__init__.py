"""The report's sections on vehicles and drivers: utilization, driver hours, fuel, maintenance."""

from __future__ import annotations

from serving.report.vehicles.model import Missing, VehicleSections

__all__ = ["Missing", "VehicleSections"]
