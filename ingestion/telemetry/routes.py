"""What a frame is on a bus: looked up once for each distinct id, by the decoders that apply to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from functools import cached_property

from ingestion.telemetry.dbc import Compiled
from ingestion.telemetry.identifiers import (
    DM1,
    DM2,
    NULL_ADDRESS,
    TP_CM,
    TP_DT,
    is_obd_reply,
    is_obd_request,
    j1939_id,
)
from ingestion.telemetry.layout import Message
from ingestion.telemetry.standard import standard_groups


class BusProtocol(StrEnum):
    """How frames of a decoder are read."""

    CAN = "can"
    J1939 = "j1939"
    OBD = "obd"


class Kind(Enum):
    """What is to be done with a frame."""

    MESSAGE = auto()
    PACKET = auto()
    """Of a J1939 message of several frames."""
    DIAGNOSTIC = auto()
    """DM1 or DM2."""
    REPLY = auto()
    """Of OBD-II."""
    CONTROL = auto()
    UNKNOWN = auto()
    MALFORMED = auto()
    NO_DECODER = auto()


@dataclass(frozen=True, eq=False)
class Route:
    """Where frames go. Ids of the same meaning have the same route object, and are decoded together.

    `addressed`: the low byte of the id is the sender's address.
    """

    kind: Kind
    decoder: str = ""
    message: Message | None = None
    pgn: int | None = None
    spn_conversion: int | None = None
    addressed: bool = False


EVERY_YEAR = (0, 9999)
_OURS = {DM1, DM2, TP_CM, TP_DT}
"""Groups that are read by their standard even where a database defines them."""
UNKNOWN, MALFORMED, NO_DECODER = Route(Kind.UNKNOWN), Route(Kind.MALFORMED), Route(Kind.NO_DECODER)


@dataclass(frozen=True, eq=False)
class Decoder:
    """One entry of a manifest with its database compiled. `compiled` is empty without a database.

    `spn_conversion` is the version (1 to 3) by which ECUs of this bus write SPNs where the conversion bit of a trouble
    code is set (SAE J1939-73, 5.7.1); None where it is not known.
    """

    name: str
    version: int
    models: tuple[str, ...]
    years: tuple[int, int]
    channels: tuple[str, ...]
    protocol: BusProtocol
    compiled: tuple[Compiled, ...] = ()
    spn_conversion: int | None = None

    @property
    def label(self) -> str:
        """Name and version, as the signals carry it."""
        return f"{self.name}@{self.version}"

    def covers(self, model: str, year: int, channel: str) -> bool:
        """Tell whether it is for a vehicle's channel. The channel "*" stands for every one.

        A vehicle of unknown year (-1) has only decoders for all years.
        """
        at_all = self.years == EVERY_YEAR or self.years[0] <= year <= self.years[1]
        return model in self.models and at_all and (channel in self.channels or "*" in self.channels)

    @cached_property
    def by_id(self) -> Mapping[tuple[int, bool], Route]:
        """Raw CAN: the messages by id."""
        if self.protocol is not BusProtocol.CAN:
            return {}
        return {
            (one.frame_id, one.is_extended): Route(Kind.MESSAGE, self.label, one.message)
            for one in self.compiled
        }

    @cached_property
    def groups(self) -> Mapping[tuple[int, int | None], Route]:
        """J1939: the database's parameter groups by PGN and source; None is any source.

        A PGN that the database has once is taken from any source, as is one that it has for the null address (254).
        """
        if self.protocol is not BusProtocol.J1939:
            return {}
        parts = [(j1939_id(one.frame_id), one.message) for one in self.compiled]
        pgns = [part.pgn for part, _ in parts]
        return {
            (part.pgn, None if pgns.count(part.pgn) == 1 or part.source == NULL_ADDRESS else part.source):
                self._group(part.pgn, message)
            for part, message in parts
        }  # fmt: skip

    def _group(self, pgn: int, message: Message) -> Route:
        return Route(Kind.MESSAGE, self.label, message, pgn, self.spn_conversion, addressed=True)

    @cached_property
    def _known(self) -> Mapping[tuple[int, int | None], Route]:
        """Add what needs no database."""
        if self.protocol is not BusProtocol.J1939:
            return {}
        known: dict[tuple[int, int | None], Route] = {
            (pgn, None): self._group(pgn, one) for pgn, one in standard_groups(self.label).items()
        }
        for pgn in {pgn for pgn, _ in self.groups}:
            known.pop((pgn, None), None)
        known |= {key: route for key, route in self.groups.items() if key[0] not in _OURS}
        packet = Route(Kind.PACKET, self.label, addressed=True)
        known |= {(TP_CM, None): packet, (TP_DT, None): packet}
        for pgn in (DM1, DM2):
            known[pgn, None] = Route(
                Kind.DIAGNOSTIC, self.label, None, pgn, self.spn_conversion, addressed=True
            )
        return known

    def group(self, pgn: int, source: int) -> Route | None:
        """Return what a J1939 parameter group is, from an address."""
        return self._known.get((pgn, source)) or self._known.get((pgn, None))

    @cached_property
    def _obd(self) -> tuple[Route, Route]:
        return Route(Kind.REPLY, self.label, addressed=True), Route(Kind.CONTROL, self.label)

    def route(self, arbitration_id: int, is_extended: bool) -> Route | None:
        """Return what a frame is, None where this decoder does not know it."""
        match self.protocol:
            case BusProtocol.CAN:
                return self.by_id.get((arbitration_id, is_extended))
            case BusProtocol.J1939:
                if not is_extended:
                    return None
                parts = j1939_id(arbitration_id)
                return self.group(parts.pgn, parts.source)
            case BusProtocol.OBD:
                if is_obd_reply(arbitration_id, is_extended):
                    return self._obd[0]
                return self._obd[1] if is_obd_request(arbitration_id, is_extended) else None


@dataclass(frozen=True)
class Bus:
    """The decoders that apply to a channel of a vehicle, in the manifest's order."""

    decoders: tuple[Decoder, ...]

    def route(self, arbitration_id: int, is_extended: bool) -> Route:
        """Return what a frame of an id is."""
        if not 0 <= arbitration_id < (1 << 29 if is_extended else 1 << 11):
            return MALFORMED
        found = (decoder.route(arbitration_id, is_extended) for decoder in self.decoders)
        return next((route for route in found if route), UNKNOWN) if self.decoders else NO_DECODER

    def group(self, pgn: int, source: int) -> Route:
        """Return what a J1939 parameter group is, from an address."""
        found = (decoder.group(pgn, source) for decoder in self.decoders)
        return next((route for route in found if route), UNKNOWN)


def conflicts(one: Decoder, other: Decoder) -> Iterator[str]:
    """Yield what two decoders would both read on the same channel of the same vehicle."""
    years = max(one.years[0], other.years[0]) <= min(one.years[1], other.years[1])
    channels = "*" in (*one.channels, *other.channels) or set(one.channels) & set(other.channels)
    models = set(one.models) & set(other.models)
    if not (years and channels and models):
        return
    pair = f"{one.label} and {other.label} both read"
    where = f"of {', '.join(sorted(models))}"
    for first, second in ((one, other), (other, one)):
        for frame_id, is_extended in first.by_id:
            if second.route(frame_id, is_extended) and (first is one or not second.by_id):
                yield f"{pair} id {frame_id:#x} {where}"
    for pgn, source in one.groups:
        if (pgn, source) in other.groups:
            yield f"{pair} parameter group {pgn} {where}"
    if one.protocol is other.protocol is BusProtocol.OBD:
        yield f"{pair} OBD-II replies {where}"
