"""Spells of trouble codes of vehicles, from all that their ECUs ever reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from domain.maintenance.trouble_codes import Code, Lamp, Report, Spell, find_spells
from fleetflow.runtime import Connection
from fleetflow.vehicles.touched import Entity

CHUNK_VEHICLES = 500
_LATEST = timedelta(hours=1)
"""So much later than the run a report may be: landing takes no event that is further ahead of its arrival."""

_READ = """
select r.tenant_id, r.vehicle_id, r.ecu, r.listing, r.reported_at, r.last_reported_at, r.reports, r.lamps, r.codes
from intermediate.int_dtc_report as r
inner join unnest(%s::text[], %s::text[]) as e (tenant_id, vehicle_id) using (tenant_id, vehicle_id)
order by r.tenant_id, r.vehicle_id
"""


def fold_codes(conn: Connection, vehicles: Sequence[Entity], now: datetime) -> int:
    """Find the spells of vehicles anew from every report; return how many there are."""
    written = 0
    for start in range(0, len(vehicles), CHUNK_VEHICLES):
        some = vehicles[start : start + CHUNK_VEHICLES]
        columns = [one.tenant_id for one in some], [one.entity_id for one in some]
        with conn.transaction():
            conn.execute(
                "delete from intermediate.int_dtc_spell as s using unnest(%s::text[], %s::text[]) as e (t, v)"
                " where s.tenant_id = e.t and s.vehicle_id = e.v",
                columns,
            )
            rows = conn.execute(_READ, columns).fetchall()
            with conn.cursor() as cursor, cursor.copy("copy intermediate.int_dtc_spell from stdin") as copy:
                for row in _spells(rows, now + _LATEST):
                    copy.write_row(row)
                    written += 1
    return written


def _spells(rows: Sequence[tuple[Any, ...]], now: datetime) -> Iterator[tuple[Any, ...]]:
    for (tenant, _), some in groupby(rows, key=lambda row: row[:2]):
        reports = [_report(row) for row in some]
        last: dict[tuple[int, str], datetime] = {}
        for one in reports:
            key = one.ecu, one.listing
            last[key] = max(last.get(key, one.at), one.until or one.at)
        for spell in find_spells(reports, now):
            yield tenant, *_row(spell, last[spell.ecu, spell.listing])


def _report(row: tuple[Any, ...]) -> Report:
    _, vehicle, ecu, listing, at, until, reports, lamps, codes = row
    listed = tuple(
        (Code(one.get("spn", -1), one.get("fmi", -1), one.get("code", "")), one["count"]) for one in codes
    )
    return Report(vehicle, ecu, at, listed, frozenset(map(Lamp, lamps)), listing, until, reports)


def _row(spell: Spell, last_report_at: datetime) -> tuple[Any, ...]:
    code = spell.code
    return (
        spell.vehicle_id, spell.ecu, spell.listing, code.spn, code.fmi, code.text, spell.opened_at, spell.last_seen_at,
        spell.closed_at, last_report_at, int(spell.severity), spell.rule, spell.reports, spell.interruptions,
        spell.recurrence, spell.occurrences,
    )  # fmt: skip
