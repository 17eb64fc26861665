"""The step of the run: what the claimed frames touch is decoded, chunk after chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fleetflow.runtime import Connection
from fleetflow.vehicles.telemetry.store import replace_hours
from fleetflow.vehicles.telemetry.windows import (
    choose_hours,
    chosen_hours,
    decoded_since,
    forget_batches,
    read_frames,
)
from fleetflow.vehicles.touched import touch
from ingestion.telemetry.hours import decode_hours
from ingestion.telemetry.manifest import Manifest, read_usable

if TYPE_CHECKING:
    from fleetflow.vehicles.run import Work


def decode_telemetry(work: Work) -> Mapping[str, int]:
    """Decode the vehicle-hours that the run touches; return counts of what was read and written.

    Raises:
        ManifestError: the manifest of the settings cannot be read at all; a decoder with faults only leaves its own
            vehicles without one.
    """
    manifest = read_usable(work.settings.decoder_manifest)
    note_refused(work.conn, manifest)
    for one in manifest.refused:
        work.tell(f"decoder {one.decoder.label} is refused: {'; '.join(one.reasons)}")
    counts: Counter[str] = Counter()
    chunks = choose_hours(work.conn, work.run_id, goes_on=work.goes_on)
    touch(work.conn, "vehicle", decoded_since(work.conn))
    for chunk in chunks:
        hours = chosen_hours(work.conn, chunk)
        done = decode_hours(read_frames(work.settings, work.conn, chunk, hours), hours, manifest)
        counts.update({"vehicle-hours": len(hours)} | replace_hours(work.conn, chunk, done, manifest.version))
    forget_batches(work.conn)
    return counts


def note_refused(conn: Connection, manifest: Manifest) -> None:
    """Write down which decoders are refused, why and since when, for the signal `decoder_refused`."""
    with conn.transaction():
        conn.execute(
            "delete from intermediate.int_decoder_refused where decoder <> all(%s)",
            ([one.decoder.label for one in manifest.refused],),
        )
        for one in manifest.refused:
            conn.execute(
                "insert into intermediate.int_decoder_refused (decoder, models, reason, manifest_version)"
                " values (%s, %s, %s, %s) on conflict (decoder) do update set models = excluded.models,"
                " reason = excluded.reason, manifest_version = excluded.manifest_version",
                (one.decoder.label, list(one.decoder.models), "; ".join(one.reasons), manifest.version),
            )
