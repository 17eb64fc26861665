"""What a simulator planted, read from its truth file: facts of each subject, by entity and kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fleetflow.demo.recall import Fact
from fleetflow.faults import UserError

SUFFIX = ".vehicles.json"
# A bill for what never came into the tank may be called either way; one from elsewhere is not in the tank at all.
ALSO = {
    "purchase_over_tank": frozenset({"purchase_without_rise"}),
    "purchase_elsewhere": frozenset({"purchase_without_rise"}),
    "leak": frozenset({"drain_parked", "drain_moving"}),
    "sensor": frozenset({"purchase_without_rise"}),
}
THIRST = "consumption_high"
# Where the level alone tells what a trip burnt, what it lost counts as burnt.
LIKE_THIRST = ("leak", "drain_moving")


@dataclass(frozen=True)
class Planted:
    """The truth of a run; `driver_keys` are the pseudonyms of its drivers."""

    content: Mapping[str, Any]
    driver_keys: Mapping[str, str]

    @property
    def tenant(self) -> str:
        """Whose fleet it is."""
        return str(self.content["tenant"])

    @property
    def vehicles(self) -> list[str]:
        """The vehicles of which all is known."""
        return [one["vehicle_id"] for one in self.content["vehicles"]]

    @property
    def since(self) -> datetime:
        """The earliest moment of which all is known of some vehicle."""
        return min(datetime.fromisoformat(one["since"]) for one in self.content["vehicles"])

    @property
    def until(self) -> datetime:
        """Up to when the vehicles were followed."""
        return datetime.fromisoformat(self.content["until"])

    def infringements(self) -> list[Fact]:
        """By driver's key and rule."""
        return [
            _fact(self.driver_keys[one["driver_id"]], one["rule"], one)
            for one in self.content["infringements"]
        ]

    def fuel(self, *kinds: str) -> list[Fact]:
        """Events of these kinds, by vehicle."""
        return [
            _fact(one["vehicle_id"], one["kind"], one)._replace(also=ALSO.get(one["kind"], frozenset()))
            for one in self.content["fuel"]
            if one["kind"] in kinds
        ]

    def thirsty_trips(self) -> list[Fact]:
        """Trips that burnt markedly more than usual, by vehicle; losses under way may be called so as well."""
        losses = [one._replace(kind=THIRST, optional=True) for one in self.fuel(*LIKE_THIRST)]
        return [*self.fuel(THIRST), *losses]

    def multi_manned(self) -> list[Fact]:
        """Shifts of crews, by driver's key."""
        return [
            _fact(self.driver_keys[one["driver_id"]], "multi-manning", one) for one in self.content["crewed"]
        ]

    def trips(self) -> list[Fact]:
        """By vehicle."""
        return [_fact(one["vehicle_id"], "trip", one) for one in self.content["trips"]]

    def site_visits(self) -> list[Fact]:
        """By vehicle and site."""
        return [
            _fact(f"{one['vehicle_id']} {one['site_id']}", "site visit", one)
            for one in self.content["site_visits"]
        ]

    def trouble_codes(self) -> list[Fact]:
        """By vehicle and code: `SPN 110 FMI 0` or `P0301`."""
        return [
            _fact(f"{one['vehicle_id']} {one['code'] or _code(one)}", "trouble code", one)
            for one in self.content["trouble_codes"]
        ]

    def overdue(self) -> list[Fact]:
        """By vehicle and service, as of the end."""
        return [
            Fact(f"{one['vehicle_id']} {one['service']}", "overdue service", self.until, self.until)
            for one in self.content["services"]
            if one["overdue"]
        ]


def read_planted(directory: Path, run: str | None = None) -> Mapping[str, Any]:
    """Read the truth of a run, or of the newest one that is there.

    Raises:
        UserError: there is none.
    """
    found = sorted(directory.glob(f"{run or '*'}{SUFFIX}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(
            f"{directory} holds no truth of vehicles; `fleetflow simulate --telemetry-vehicles 24` writes one"
        )
    content: Mapping[str, Any] = json.loads(found[-1].read_text())
    return content


def _fact(entity: str, kind: str, one: Mapping[str, Any]) -> Fact:
    start, end = (datetime.fromisoformat(one[name]) for name in ("started_at", "ended_at"))
    return Fact(entity, kind, start, end, bool(one["optional"]))


def _code(one: Mapping[str, Any]) -> str:
    return f"SPN {one['spn']} FMI {one['fmi']}"
