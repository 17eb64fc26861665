"""Decoding a batch: each frame is routed, each kind of frame decoded as one array, and everything accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestion.telemetry.extract import PADDING, Flags, Integers, Payloads, parts_of
from ingestion.telemetry.frames import MAX_PAYLOAD, Frames, distinct, read_frames
from ingestion.telemetry.identifiers import TP_DT
from ingestion.telemetry.isotp import take_isotp
from ingestion.telemetry.j1939_transport import BusFrame, take_j1939
from ingestion.telemetry.layout import Message
from ingestion.telemetry.manifest import Manifest
from ingestion.telemetry.obd import Outcomes, Replies, decode_replies
from ingestion.telemetry.outcomes import COUNTED, KEPT_RAW, Outcome
from ingestion.telemetry.routes import Bus, Kind, Route
from ingestion.telemetry.rows import SignalRows, coded
from ingestion.telemetry.transfers import (
    Loss,
    Lost,
    OpenTransfers,
    Transfer,
    lost_table,
    open_transfers,
)
from ingestion.telemetry.trouble_codes import TroubleCodeRows

_COUNTS = tuple(dict.fromkeys(COUNTED.values()))
COUNTS = pa.schema(
    [
        pa.field("tenant_id", pa.string(), nullable=False),
        pa.field("vehicle_id", pa.string(), nullable=False),
        pa.field("frames", pa.int64(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in _COUNTS),
    ]
)
"""A row is a vehicle: `frames` is the sum of the others."""

_LOSSES = {
    Outcome.UNKNOWN_ID: Loss.UNKNOWN_PGN,
    Outcome.UNKNOWN_PID: Loss.UNKNOWN_PID,
    Outcome.WRONG_LENGTH: Loss.TOO_SHORT,
    Outcome.UNKNOWN_SELECTOR: Loss.UNKNOWN_SELECTOR,
    Outcome.MALFORMED: Loss.MALFORMED,
}


@dataclass(frozen=True)
class Limits:
    """How many messages may be on their way at once, of one vehicle and of all: at most some 4 KiB each."""

    open_per_vehicle: int = 64
    open_in_all: int = 10_000


@dataclass(frozen=True)
class Decoded:
    """What became of a batch. Tables: `SIGNALS`, `TROUBLE_CODES`, `COUNTS`, `OPEN_TRANSFERS`, `LOST_TRANSFERS`.

    `raw` has the columns that came in, of frames that could not be decoded, and `reason` (`Outcome`, in lower case).
    `open` belongs to the next batch of the same vehicles. `outcomes` has each frame's `Outcome`, in the order of the
    rows that came in.
    """

    signals: pa.Table
    trouble_codes: pa.Table
    counts: pa.Table
    raw: pa.Table
    open: pa.Table
    lost: pa.Table
    outcomes: Outcomes


def decode_frames(
    table: pa.Table, manifest: Manifest, before: pa.Table | None = None, limits: Limits | None = None
) -> Decoded:
    """Decode a batch of `FRAMES` rows, in any order; `before` is what the batch before left open.

    A vehicle's frames of several frames a message are to come in batches in the order of their capture. A frame that
    cannot be decoded never harms another one.

    Raises:
        FramesError: the table is not one of CAN frames.
    """
    limits = limits or Limits()
    transfers = open_transfers(before, limits.open_per_vehicle, limits.open_in_all)
    work = _Work(read_frames(table), manifest, transfers)
    work.decode()
    return work.result()


class _Work:
    """The state of one call."""

    def __init__(self, frames: Frames, manifest: Manifest, transfers: OpenTransfers) -> None:
        self.frames = frames
        self.transfers = transfers
        self.signals = SignalRows()
        self.codes = TroubleCodeRows()
        self.outcomes: Outcomes = np.full(len(frames), Outcome.UNKNOWN_ID, np.int8)
        self.buses, self.bus_of = _buses(frames, manifest)
        self.completed: dict[Route, list[tuple[int, Transfer]]] = {}

    def decode(self) -> None:
        packets: list[tuple[Integers, bool]] = []
        for route, rows in _routed(self.frames, self.buses, self.bus_of):
            match route.kind:
                case Kind.MESSAGE:
                    self._messages(route, rows)
                case Kind.DIAGNOSTIC:
                    self._diagnostics(route, rows)
                case Kind.REPLY:
                    packets.append((self._replies(route, rows), False))
                case Kind.PACKET:
                    packets.append((rows, True))
                case _:
                    self.outcomes[rows] = _OUTCOME[route.kind]
        self._packets(packets)
        for route, found in self.completed.items():
            self._transfers(route, found)
        for vehicle, latest in self._latest():
            self.transfers.expire(vehicle, latest)
        self.transfers.bound()

    def _messages(self, route: Route, rows: Integers) -> None:
        assert route.message is not None
        lengths = self.frames.lengths[rows]
        fits = _fits(route.message, lengths)
        self.outcomes[rows[~fits]] = Outcome.WRONG_LENGTH
        if not fits.all():
            rows = rows[fits]
        self.outcomes[rows] = Outcome.DECODED
        unknown = self._message(route, self.frames.payloads.take(rows), rows)
        if unknown is not None:
            self.outcomes[rows[unknown]] = Outcome.UNKNOWN_SELECTOR

    def _message(self, route: Route, payloads: Payloads, rows: Integers) -> Flags | None:
        """Add the signals of payloads that are long enough; return which ones' multiplexer selects nothing known."""
        assert route.message is not None
        parts, unknown = parts_of(payloads, route.message.layout)
        for part in parts:
            chosen, there = payloads, rows
            if part.chosen is not None:
                chosen, there = payloads.take(part.chosen), rows[part.chosen]
            self.signals.add_layout(chosen, part.layout, route.decoder, route.addressed, there)
        return unknown

    def _diagnostics(self, route: Route, rows: Integers) -> None:
        lengths = self.frames.lengths[rows]
        fits = (lengths >= 6) & (lengths <= 8)
        self.outcomes[rows[~fits]] = Outcome.WRONG_LENGTH
        rows = rows[fits]
        self.codes.add_diagnostics(
            self.frames.payloads.take(rows), self.frames.lengths[rows], rows, route, self.signals
        )
        self.outcomes[rows] = Outcome.DECODED

    def _replies(self, route: Route, rows: Integers) -> Integers:
        """Decode the single frames (ISO 15765-2: a 0, the length) among OBD-II replies; return the others."""
        lengths = self.frames.lengths[rows]
        payloads = self.frames.payloads.take(rows)
        head = payloads.byte(0).astype(np.int64)
        single = (lengths > 0) & (head >> 4 == 0)
        size = head & 0x0F
        sound = single & (size >= 1) & (size <= 7)
        there = sound & (size < lengths) & (lengths <= 8)
        self.outcomes[rows[single & ~sound]] = Outcome.MALFORMED
        self.outcomes[rows[(sound & ~there) | (lengths == 0)]] = Outcome.WRONG_LENGTH
        data = Payloads(self.frames.payloads.buffer, payloads.offsets[there] + 1)
        replies = Replies(data, size[there], rows[there])
        self.outcomes[rows[there]] = decode_replies(replies, route, self.signals, self.codes)
        others: Integers = rows[(lengths > 0) & ~single]
        return others

    def _packets(self, packets: list[tuple[Integers, bool]]) -> None:
        """Send frames of transport protocols through their state machines, vehicle by vehicle in order of capture."""
        frames = self.frames
        is_j1939 = np.zeros(len(frames), np.bool_)
        for rows, j1939 in packets:
            is_j1939[rows] = j1939
        rows = _in_order(frames, np.concatenate([*(rows for rows, _ in packets), np.zeros(0, np.int64)]))
        numbers = (rows, frames.arbitration_id[rows], frames.is_extended[rows], frames.captured_us[rows])
        for row, identifier, extended, captured in zip(*(one.tolist() for one in numbers), strict=True):
            frame = BusFrame(
                (frames.tenant.text(row), frames.vehicle.text(row)), frames.channel.text(row),
                identifier, extended, captured, frames.payload(row),
            )  # fmt: skip
            step = (take_j1939 if is_j1939[row] else take_isotp)(frame, self.transfers)
            self.outcomes[row] = step.outcome
            if step.completed is not None:
                self._complete(row, step.completed)

    def _complete(self, row: int, transfer: Transfer) -> None:
        """Keep a completed message beside those of the same meaning."""
        bus = self.buses[self.bus_of[row]]
        if transfer.pgn is None:
            frames = self.frames
            route = bus.route(int(frames.arbitration_id[row]), bool(frames.is_extended[row]))
        else:
            route = bus.group(transfer.pgn, transfer.source)
        self.completed.setdefault(route, []).append((row, transfer))

    def _transfers(self, route: Route, found: list[tuple[int, Transfer]]) -> None:
        """Decode completed messages of one meaning; those that give nothing are lost transfers."""
        rows = np.array([row for row, _ in found], np.int64)
        payloads, lengths = _assembled([transfer for _, transfer in found])
        outcomes = np.full(len(found), Outcome.UNKNOWN_ID, np.int8)
        match route.kind:
            case Kind.MESSAGE:
                assert route.message is not None
                long_enough = lengths >= route.message.length
                outcomes[:] = np.where(long_enough, Outcome.DECODED, Outcome.WRONG_LENGTH)
                chosen = np.flatnonzero(long_enough)
                unknown = self._message(route, payloads.take(chosen), rows[chosen])
                if unknown is not None:
                    outcomes[chosen[unknown]] = Outcome.UNKNOWN_SELECTOR
            case Kind.DIAGNOSTIC:
                sound = self.codes.add_diagnostics(payloads, lengths, rows, route, self.signals)
                outcomes[:] = np.where(sound, Outcome.DECODED, Outcome.MALFORMED)
            case Kind.REPLY:
                replies = Replies(payloads, lengths, rows)
                outcomes[:] = decode_replies(replies, route, self.signals, self.codes)
        for (_, transfer), outcome in zip(found, outcomes.tolist(), strict=True):
            if outcome in _LOSSES:
                self.transfers.lost.append(Lost(transfer, _LOSSES[Outcome(outcome)]))

    def _latest(self) -> Iterator[tuple[tuple[str, str], int]]:
        """Yield each vehicle of the batch and the newest capture of its own clock."""
        latest = np.full(self.frames.vehicles, np.iinfo(np.int64).min)
        np.maximum.at(latest, self.frames.identity, self.frames.captured_us)
        for row, newest in zip(self._first_rows().tolist(), latest.tolist(), strict=True):
            yield (self.frames.tenant.text(row), self.frames.vehicle.text(row)), newest

    def _first_rows(self) -> Integers:
        """Return a row of each vehicle."""
        first = np.zeros(self.frames.vehicles, np.int64)
        first[self.frames.identity] = np.arange(len(self.frames))
        return first

    def result(self) -> Decoded:
        return Decoded(
            signals=self.signals.table(self.frames),
            trouble_codes=self.codes.table(self.frames),
            counts=self._counts(),
            raw=self._raw(),
            open=self.transfers.table(),
            lost=lost_table(self.transfers.lost),
            outcomes=self.outcomes,
        )

    def _counts(self) -> pa.Table:
        place = np.array([_COUNTS.index(COUNTED[outcome]) for outcome in Outcome])
        kinds, vehicles = len(_COUNTS), self.frames.vehicles
        flat = np.bincount(
            self.frames.identity * kinds + place[self.outcomes], minlength=vehicles * kinds
        ).reshape(vehicles, kinds)
        first = self._first_rows()
        tenants = coded(self.frames.tenant.codes[first], self.frames.tenant.texts).cast(pa.string())
        names = coded(self.frames.vehicle.codes[first], self.frames.vehicle.texts).cast(pa.string())
        columns = [tenants, names, pa.array(flat.sum(axis=1)), *(pa.array(flat[:, i]) for i in range(kinds))]
        return pa.Table.from_arrays(columns, schema=COUNTS)

    def _raw(self) -> pa.Table:
        kept = np.isin(self.outcomes, list(KEPT_RAW))
        reasons = coded(self.outcomes[kept], pa.array([one.name.lower() for one in Outcome]))
        return self.frames.table.filter(pa.array(kept)).append_column("reason", reasons)


_OUTCOME = {
    Kind.CONTROL: Outcome.TRANSPORT,
    Kind.UNKNOWN: Outcome.UNKNOWN_ID,
    Kind.MALFORMED: Outcome.MALFORMED,
    Kind.NO_DECODER: Outcome.NO_DECODER,
}


def _buses(frames: Frames, manifest: Manifest) -> tuple[list[Bus], npt.NDArray[np.int64]]:
    """Return the buses of the batch, and each frame's among them; frames of the same decoders have the same bus."""
    models, channels = frames.model.texts.to_pylist(), frames.channel.texts.to_pylist()
    years = (np.clip(frames.model_year, -1, 0xFFFFFE) + 1).astype(np.int64)
    models_key = (frames.model.codes.astype(np.int64) + 1) << 48
    key = models_key + (years << 24) + frames.channel.codes.astype(np.int64)
    place, keys = distinct(key)
    found: dict[Bus, int] = {}
    of_key = []
    for one in keys.tolist():
        model, year, channel = (one >> 48) - 1, (one >> 24 & 0xFFFFFF) - 1, one & 0xFFFFFF
        bus = manifest.bus(models[model] if model >= 0 else None, year, channels[channel])
        of_key.append(found.setdefault(bus, len(found)))
    return list(found), np.array(of_key, np.int64)[place] if of_key else np.zeros(0, np.int64)


def _routed(
    frames: Frames, buses: list[Bus], bus_of: npt.NDArray[np.int64]
) -> Iterator[tuple[Route, Integers]]:
    """Yield each route with the places of its frames, ascending."""
    key = (bus_of << 33) + (frames.is_extended.astype(np.int64) << 32) + (frames.arbitration_id & 0xFFFFFFFF)
    key[(frames.arbitration_id < 0) | (frames.arbitration_id >= 1 << 32)] |= 0xFFFFFFFF
    place, keys = distinct(key)
    found: dict[Route, int] = {}
    of_key = []
    for one in keys.tolist():
        route = buses[one >> 33].route(one & 0xFFFFFFFF, bool(one >> 32 & 1))
        of_key.append(found.setdefault(route, len(found)))
    if not found:
        return
    which = np.array(of_key, np.uint16 if len(found) < 1 << 16 else np.int64)[place]
    order = np.argsort(which, kind="stable")
    ends = np.cumsum(np.bincount(which, minlength=len(found)))
    for route, start, end in zip(found, [0, *ends[:-1]], ends, strict=True):
        yield route, order[start:end]


def _fits(message: Message, lengths: Integers) -> Flags:
    """Tell which frames have a length that the message can come in."""
    takes = np.array([message.takes(length) for length in range(MAX_PAYLOAD + 2)])
    return takes[np.minimum(lengths, MAX_PAYLOAD + 1)]


def _in_order(frames: Frames, rows: Integers) -> Integers:
    """Order by vehicle, channel, capture; at the same microsecond announcements first, then by packet number."""
    head = frames.payloads.take(rows).byte(0) if len(rows) else np.zeros(0, np.uint64)
    data = frames.arbitration_id[rows] >> 8 & 0xFF00 == TP_DT
    order = np.lexsort(
        (head, data, frames.captured_us[rows], frames.channel.codes[rows], frames.identity[rows])
    )
    return rows[order]


def _assembled(transfers: list[Transfer]) -> tuple[Payloads, Integers]:
    lengths = np.array([len(one.received) for one in transfers], np.int64)
    buffer = np.frombuffer(b"".join(one.received for one in transfers) + bytes(PADDING), np.uint8)
    return Payloads(buffer, np.cumsum(lengths) - lengths), lengths
