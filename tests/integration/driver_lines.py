"""What tests of driver hours share: drivers' activities as they are sent, orderly and not."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from transform_warehouse import NOW

Rows = list[dict[str, Any]]
START = NOW - timedelta(days=40)


def row(
    name: str, event: str, start: datetime, end: datetime | None, kind: str, **changes: Any
) -> dict[str, Any]:
    """Return one activity, sent at its end."""
    return {
        "tenant_id": "acme", "event_id": event, "recorded_at": end or start, "schema_version": 1, "driver_id": name,
        "vehicle_id": "v1", "activity": kind, "started_at": start, "ended_at": end, "slot": 1, "crew": "single",
        "origin": "tachograph",
    } | changes  # fmt: skip


def history(driver: str, seed: int, days: int = 38) -> Rows:
    """Duties, rests and weekends, with what goes wrong: long stints, short rests, repeats, overlaps, odd seconds."""
    dice, rows, now = random.Random(seed), Rows(), START + timedelta(minutes=seed * 7)
    while now < START + timedelta(days=days):
        for _ in range(dice.randint(3, 9)):
            kind = dice.choice(
                ("driving", "driving", "driving", "other_work", "availability", "rest", "unknown")
            )
            end = now + timedelta(minutes=dice.randint(5, 200), seconds=dice.choice((0, 0, 0, 1, 29, 30, 31)))
            changes = {"crew": dice.choice(("single", "single", "crew"))}
            rows.append(row(driver, f"{driver}-{len(rows)}", now, end, kind, **changes))
            if dice.random() < 0.05:
                rows.append(rows[-1] | {"event_id": f"{driver}-{len(rows)}", "vehicle_id": "v2"})
            if dice.random() < 0.05:
                early = now - timedelta(minutes=30)
                rows.append(
                    row(driver, f"{driver}-{len(rows)}", early, end, "rest", origin="manual", vehicle_id=None)
                )
            if dice.random() < 0.05:
                rows[-1] |= {"ended_at": None}
            now = end + timedelta(seconds=dice.choice((0, 0, 0, 0, 20, 61)))
        end = now + timedelta(hours=dice.choice((7, 9, 10, 11, 11, 24, 45, 46)))
        rows.append(row(driver, f"{driver}-{len(rows)}", now, end, "rest"))
        now = end
    return rows
