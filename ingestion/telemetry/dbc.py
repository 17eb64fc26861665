"""DBC databases: read with cantools, judged, and compiled to layouts. A database from outside is never trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cantools.database import load_string
from cantools.database.can import Database
from cantools.database.can import Message as DbcMessage
from cantools.database.can import Signal as DbcSignal
from cantools.database.errors import Error as CantoolsError
from cantools.database.errors import UnsupportedDatabaseFormatError

from ingestion.telemetry.layout import Field, Layout, Message, Multiplexer
from ingestion.telemetry.standard import NAME_BY_SPN, UNITS, plain_unit

MAX_BYTES = 8 << 20
"""A larger database is refused: real ones have a few hundred KiB."""


class DatabaseError(ValueError):
    """A database cannot be used; the message names every fault."""


@dataclass(frozen=True)
class Compiled:
    """A message by its id, and its signals that are left out as they are no numbers (over 64 bits: texts)."""

    frame_id: int
    is_extended: bool
    message: Message
    left_out: tuple[str, ...]


def read_database(content: bytes, *, j1939: bool) -> Database:
    """Parse a DBC and refuse what would give wrong numbers: overlaps, repeated ids, the other kind of bus.

    Raises:
        DatabaseError: naming every fault.
    """
    if len(content) > MAX_BYTES:
        raise DatabaseError(f"has {len(content):,} bytes, more than {MAX_BYTES:,}")
    try:
        database = load_string(content.decode("cp1252", errors="replace"), database_format="dbc", strict=True)
    except (UnsupportedDatabaseFormatError, CantoolsError, ValueError, KeyError, TypeError) as fault:
        raise DatabaseError(f"is no DBC that can be used: {' '.join(str(fault).split())[:300]}") from None
    if not isinstance(database, Database):
        raise DatabaseError("is no database of CAN messages")
    faults = list(_faults(database, j1939))
    if faults:
        raise DatabaseError("; ".join(faults))
    return database


def _faults(database: Database, j1939: bool) -> Iterator[str]:
    if not database.messages:
        yield "defines no message"
    seen: dict[tuple[int, bool], str] = {}
    for message in database.messages:
        key = (message.frame_id, message.is_extended_frame)
        if key in seen:
            yield f"id {message.frame_id:#x} is both {seen[key]} and {message.name}"
        seen[key] = message.name
        if j1939 and not message.is_extended_frame:
            yield f"{message.name} has an 11-bit id; J1939 has 29 bits (another bus's database?)"
        if not j1939 and message.protocol == "j1939":
            yield f"{message.name} is a J1939 parameter group; the manifest says raw CAN (another bus's database?)"
        for signal in message.signals:
            if signal.is_float and signal.length not in (16, 32, 64):
                yield f"{message.name}.{signal.name} is a floating point number of {signal.length} bits"
            if signal.is_multiplexer and (signal.length > 64 or signal.is_float):
                yield f"{message.name}.{signal.name} selects, and is no integer of up to 64 bits"


def compile_database(
    database: Database, decoder: str, names: Mapping[str, str], *, j1939: bool
) -> list[Compiled]:
    """Compile every message. `names` gives canonical names to signals, by "Signal" or "Message.Signal".

    Raises:
        DatabaseError: a name is mapped that no signal has, or onto a quantity whose unit is another.
    """
    faults, used = [], set()
    compiled = []
    for message in database.messages:
        for signal in message.signals:
            full = f"{message.name}.{signal.name}"
            used |= {key for key in (signal.name, full) if key in names}
            name = _name(message, signal, names, j1939)
            unit = plain_unit(signal.unit)
            if name in UNITS and unit != UNITS[name]:
                faults.append(f"{full} is in {unit or 'no unit'}, {name} in {UNITS[name]}")
        compiled.append(compile_message(message, decoder, names, j1939=j1939))
    faults += [f"signals: no signal is called {name!r}" for name in names if name not in used]
    if faults:
        raise DatabaseError("; ".join(faults))
    return compiled


def compile_message(
    message: DbcMessage, decoder: str, names: Mapping[str, str] | None = None, *, j1939: bool = False
) -> Compiled:
    """Compile one message: the signals that are always there, and those of each multiplexer's values."""
    fields = {
        signal.name: _field(message, signal, names or {}, j1939)
        for signal in message.signals
        if signal.length <= 64
    }
    left_out = tuple(signal.name for signal in message.signals if signal.name not in fields)
    layout = _layout(message.signal_tree, fields)
    is_fd = bool(message.is_fd) or message.length > 8
    made = Message(message.name, message.length, layout, decoder, is_fd)
    return Compiled(message.frame_id, bool(message.is_extended_frame), made, left_out)


def _layout(tree: object, fields: Mapping[str, Field]) -> Layout:
    """Follow cantools' tree of signals: a name, or a mapping from a multiplexer's name to trees by its values."""
    found: list[Field] = []
    multiplexers: list[Multiplexer] = []
    assert isinstance(tree, list | tuple)
    for node in tree:
        if isinstance(node, str):
            found += [fields[node]] if node in fields else []
            continue
        for name, cases in node.items():
            found.append(fields[name])
            multiplexers.append(
                Multiplexer(fields[name], {value: _layout(case, fields) for value, case in cases.items()})
            )
    return Layout(tuple(found), tuple(multiplexers))


def _field(message: DbcMessage, signal: DbcSignal, names: Mapping[str, str], j1939: bool) -> Field:
    full = f"{message.name}.{signal.name}"
    return Field(
        name=_name(message, signal, names, j1939),
        source=f"spn {signal.spn}" if j1939 and signal.spn else f"dbc {full}",
        start=signal.start,
        length=signal.length,
        big_endian=signal.byte_order == "big_endian",
        signed=bool(signal.is_signed) and not signal.is_float,
        is_float=bool(signal.is_float),
        scale=float(signal.scale),
        offset=float(signal.offset),
        unit=plain_unit(signal.unit),
        choices={int(number): str(text) for number, text in (signal.choices or {}).items()},
        indicators=j1939,
    )


def _name(message: DbcMessage, signal: DbcSignal, names: Mapping[str, str], j1939: bool) -> str:
    full = f"{message.name}.{signal.name}"
    by_spn = NAME_BY_SPN.get(signal.spn or 0) if j1939 else None
    return names.get(full) or names.get(signal.name) or by_spn or full
