"""`fleetflow can`: what a CAN log says, by the decoder manifest; needs no stack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleetflow.faults import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from ingestion.telemetry.decode import Decoded
    from ingestion.telemetry.manifest import Manifest

group = typer.Typer(help="Decode CAN logs, check the decoder manifest.", no_args_is_help=True)
manifest_group = typer.Typer(help="The decoder manifest.", no_args_is_help=True)
group.add_typer(manifest_group, name="manifest")
ManifestPath = Annotated[
    Path | None, typer.Option("--manifest", help="The decoder manifest; without it the shipped example.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="can")


@group.command()
def decode(
    file: Annotated[Path, typer.Argument(help="A candump log, or CSV (.csv).")],
    model: Annotated[str, typer.Option(help="The vehicle's model, as the manifest names it.")],
    year: Annotated[int, typer.Option(help="The vehicle's model year.")],
    vehicle: Annotated[str, typer.Option(help="Its id, where the log has none.")] = "vehicle",
    manifest: ManifestPath = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Print at most so many signals.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print a log's signals and trouble codes, then what became of every frame."""
    from ingestion.telemetry.decode import decode_frames
    from ingestion.telemetry.logs import LogError, read_log
    from ingestion.telemetry.manifest import UnknownModel

    known = _manifest(manifest)
    whose = {"tenant_id": "local", "vehicle_id": vehicle, "model": model, "model_year": year}
    try:
        known.check_model(model, year)
        frames = read_log(file, whose)
    except (UnknownModel, LogError) as fault:
        raise UserError(f"{file}: {fault}" if isinstance(fault, LogError) else str(fault)) from None
    except OSError as fault:
        raise UserError(f"{file} cannot be read: {fault.strerror}") from None
    done = decode_frames(frames, known)
    for line in _json_lines(done, limit) if as_json else _text_lines(done, limit):
        typer.echo(line)


@manifest_group.command("check")
def check(manifest: ManifestPath = None, as_json: AsJson = False) -> None:
    """Read a manifest and its databases, and print what each decoder is for; faults end with status 2."""
    from ingestion.telemetry.manifest import year_words

    for one in _manifest(manifest).decoders:
        facts = {
            "decoder": one.label, "protocol": str(one.protocol), "models": list(one.models),
            "years": year_words(one.years), "channels": list(one.channels), "messages": len(one.compiled),
            "signals": sum(1 for part in one.compiled for _ in part.message.layout.every()),
            "left_out": [f"{part.message.name}.{name}" for part in one.compiled for name in part.left_out],
        }  # fmt: skip
        typer.echo(json.dumps(facts) if as_json else _facts_line(facts))


def _facts_line(facts: dict[str, Any]) -> str:
    left_out = f", left out (over 64 bits): {', '.join(facts['left_out'])}" if facts["left_out"] else ""
    return (
        f"{facts['decoder']:<22}{facts['protocol']:<7}{', '.join(facts['models'])} {facts['years']}"
        f" on {', '.join(facts['channels'])}: {facts['messages']} messages, {facts['signals']} signals{left_out}"
    )


def _manifest(path: Path | None) -> Manifest:
    from ingestion.telemetry.manifest import SHIPPED, ManifestError, read_manifest

    try:
        return read_manifest(path or SHIPPED)
    except ManifestError as fault:
        raise UserError(str(fault)) from None


def _in_order(table: pa.Table) -> list[dict[str, Any]]:
    order = [("vehicle_id", "ascending"), ("captured_at", "ascending")]
    plain = table.set_column(1, "vehicle_id", table["vehicle_id"].cast("string"))
    rows: list[dict[str, Any]] = plain.sort_by(order).to_pylist()
    return rows


def _json_lines(done: Decoded, limit: int | None) -> Iterator[str]:
    kinds = {"signal": _in_order(done.signals)[:limit], "trouble_code": _in_order(done.trouble_codes)}
    kinds |= {"lost": done.lost.to_pylist(), "raw": done.raw.to_pylist(), "counts": done.counts.to_pylist()}
    for kind, rows in kinds.items():
        for row in rows:
            yield json.dumps({"kind": kind} | row, default=_plain)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else bytes(value).hex()


def _text_lines(done: Decoded, limit: int | None) -> Iterator[str]:
    for row in _in_order(done.signals)[:limit]:
        value = "-" if row["value"] is None else f"{row['value']:,.3f}".rstrip("0").rstrip(".")
        note = f"  ({row['text']})" if row["text"] else ""
        what = f"{row['name']:<34}{value:>14} {row['unit'] or '':<6} {row['source']}{note}"
        yield f"{_time(row)}  {row['vehicle_id']:<12}{what}"
    for row in _in_order(done.trouble_codes):
        what = row["code"] or f"SPN {row['spn']} FMI {row['fmi']}, {row['occurrence_count']} times"
        yield f"{_time(row)}  {row['vehicle_id']:<12}{row['status']} {what} from {row['source_address']:#04x}"
    for row in done.lost.to_pylist():
        yield f"lost: {row['protocol']} message of {row['size']} bytes from {row['source']:#x}: {row['reason']}"
    for row in done.counts.to_pylist():
        words = ", ".join(f"{n:,} {name}" for name, n in row.items() if isinstance(n, int) and n)
        yield f"{row['vehicle_id']}: {words}"
    yield f"{done.signals.num_rows:,} signals, {done.open.num_rows} messages unfinished"


def _time(row: dict[str, Any]) -> str:
    found: str = row["captured_at"].strftime("%Y-%m-%d %H:%M:%S.%f")
    return found
