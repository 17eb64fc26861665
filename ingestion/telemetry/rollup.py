"""Decoded vehicle-hours as the warehouse keeps them: minutes of signals, reports of codes, counts, unknown ids."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.telemetry.extract import NOT_AVAILABLE, Flags, Integers
from ingestion.telemetry.hours import OUTCOMES, DecodedHours
from ingestion.telemetry.outcomes import KEPT_RAW, Outcome

LISTINGS = {"active_trouble_codes": ("active", "dm1"), "confirmed_trouble_codes": ("confirmed", "service_03")}
"""The signals that say how many codes a report has: the codes' status, and the list that they are of."""
MOST_IDS = 500
"""Of so many ids that could not be read a vehicle's hour keeps an example; a bus at fault makes any number of them."""
LAMPS = ("amber_warning_lamp", "malfunction_indicator_lamp", "protect_lamp", "red_stop_lamp")
_MINUTE_US = 60_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = KEPT_RAW - {Outcome.NO_DECODER}

MINUTES = pa.schema(
    [
        ("window", pa.int32()), ("minute", pa.timestamp("us", "UTC")), ("name", pa.string()), ("samples", pa.int32()),
        ("min_value", pa.float64()), ("max_value", pa.float64()), ("mean_value", pa.float64()),
        ("first_value", pa.float64()), ("last_value", pa.float64()), ("last_at", pa.timestamp("us", "UTC")),
        ("unit", pa.string()),
    ]
)  # fmt: skip


def signal_minutes(done: DecodedHours) -> pa.Table:
    """Return `MINUTES`: each signal of each minute that has a number at all.

    Values are added in one order (time, ECU, source, value), so that a mean is the same to its last bit.
    """
    table = done.signals
    values = table["value"].to_numpy()
    there = np.isfinite(values)
    table, values = table.filter(pa.array(there)), values[there]
    if not len(values):
        return MINUTES.empty_table()
    window, at = table["window"].to_numpy(), table["captured_at"].cast(pa.int64()).to_numpy()
    name, names = _ranked(table["name"])
    source, _ = _ranked(table["source"])
    ecu = table["source_address"].fill_null(255).to_numpy()
    minute = at // _MINUTE_US
    order = np.lexsort((values, source, ecu, at, name, minute, window))
    window, at, name, minute, values = window[order], at[order], name[order], minute[order], values[order]
    new = (np.diff(window) != 0) | (np.diff(minute) != 0) | (np.diff(name) != 0)
    first = np.flatnonzero(np.concatenate([[True], new]))
    last = np.concatenate([first[1:], [len(values)]]) - 1
    samples = last - first + 1
    return pa.table(
        [
            pa.array(window[first]),
            pa.array(minute[first] * _MINUTE_US),
            names.take(pa.array(name[first])),
            pa.array(samples.astype(np.int32)),
            pa.array(np.minimum.reduceat(values, first)),
            pa.array(np.maximum.reduceat(values, first)),
            pa.array(np.add.reduceat(values, first) / samples),
            pa.array(values[first]),
            pa.array(values[last]),
            pa.array(at[last]),
            table["unit"].cast(pa.string()).combine_chunks().take(pa.array(order[first])),
        ],
        names=MINUTES.names,
    ).cast(MINUTES)


def _ranked(column: pa.ChunkedArray) -> tuple[Integers, pa.Array]:
    """Return each row's place among the column's words, and those in alphabetical order."""
    coded = column.combine_chunks()
    coded = coded if pa.types.is_dictionary(coded.type) else coded.dictionary_encode()
    order = pc.sort_indices(coded.dictionary)
    rank = np.empty(len(order), np.int64)
    rank[order.to_numpy()] = np.arange(len(order))
    return rank[coded.indices.to_numpy(zero_copy_only=False)], coded.dictionary.take(order)


class Report(NamedTuple):
    """A run of equal reports of one ECU's list of active codes: from `reported_at` to `last_reported_at`, so many."""

    window: int
    ecu: int
    listing: str
    reported_at: datetime
    last_reported_at: datetime
    reports: int
    lamps: list[str]
    codes: str
    """A JSON list, ordered: {"spn", "fmi"} or {"code"}, and "count" as the ECU gave it (null: not given)."""


class _Content(NamedTuple):
    codes: dict[tuple[int, int, str], int | None]
    lamps: set[str]


def code_reports(done: DecodedHours) -> list[Report]:
    """Return runs of equal reports of active codes, also of none; several of one list at one time count as one."""
    found = _reports(done)
    reports: list[Report] = []
    for key in sorted(found):
        window, ecu, listing, at_us = key
        at, content = _EPOCH + timedelta(microseconds=at_us), _written(found[key])
        last = reports[-1] if reports else None
        if last and (last.window, last.ecu, last.listing, (last.lamps, last.codes)) == (
            window,
            ecu,
            listing,
            content,
        ):
            reports[-1] = last._replace(last_reported_at=at, reports=last.reports + 1)
        else:
            reports.append(Report(window, ecu, listing, at, at, 1, *content))
    return reports


_Key = tuple[int, int, str, int]
"""Window, ECU, list, time in microseconds."""


def _reports(done: DecodedHours) -> dict[_Key, _Content]:
    found: dict[_Key, _Content] = {}
    listings = pa.array(list(LISTINGS))
    said = done.signals.filter(pc.is_in(done.signals["name"].cast(pa.string()), listings))
    for window, ecu, name, at in _rows(said, "window", "source_address", "name", "captured_at"):
        found[window, ecu, LISTINGS[name][1], at] = _Content({}, set())
    of_status = dict(LISTINGS.values())
    codes = done.trouble_codes.filter(
        pc.is_in(done.trouble_codes["status"].cast(pa.string()), pa.array(list(of_status)))
    )
    names = (
        "window",
        "source_address",
        "status",
        "captured_at",
        "spn",
        "fmi",
        "code",
        "raw",
        "occurrence_count",
    )
    for window, ecu, status, at, spn, fmi, code, raw, count, *lamps in _rows(codes, *names, *LAMPS):
        content = found[window, ecu, of_status[status], at]
        text = code or ("" if spn is not None else f"raw {raw & 0x80FFFFFF:08X}")
        one = (-1 if spn is None else spn, -1 if fmi is None else fmi, text)
        counts = [known for known in (content.codes.get(one), count) if known is not None]
        content.codes[one] = max(counts, default=None)
        content.lamps.update(
            lamp for lamp, state in zip(LAMPS, lamps, strict=True) if state not in (None, "off")
        )
    return found


def _rows(table: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    columns = []
    for name in names:
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        columns.append(column.to_pylist())
    return zip(*columns, strict=True)


def _written(content: _Content) -> tuple[list[str], str]:
    codes = []
    for (spn, fmi, text), count in sorted(content.codes.items(), key=lambda pair: pair[0]):
        one: dict[str, int | str | None] = {"spn": spn} if spn >= 0 else {}
        one |= {"fmi": fmi} if fmi >= 0 else {}
        one |= {"code": text} if text else {}
        codes.append(one | {"count": count})
    return sorted(content.lamps), json.dumps(codes)


class FrameCount(NamedTuple):
    """What became of the frames of a vehicle's hour, by `OUTCOMES`, and of their signals and messages."""

    frames: int
    outcomes: tuple[int, ...]
    clock_off: int
    signals: int
    not_available: int
    faulty_values: int
    lost_transfers: int


def frame_counts(done: DecodedHours) -> list[FrameCount]:
    """Return the counts of every window, in their order; one without frames has noughts."""
    windows, kinds = len(done.hours), len(OUTCOMES)
    window = done.frames["window"].to_numpy().astype(np.int64)
    outcome = done.frames["outcome"].to_numpy().astype(np.int64)
    by_outcome = np.bincount(window * kinds + outcome, minlength=windows * kinds).reshape(windows, kinds)
    of_signal = done.signals["window"].to_numpy()
    absent: Flags = ~np.isfinite(done.signals["value"].to_numpy(zero_copy_only=False))
    said = pc.fill_null(pc.equal(done.signals["text"].cast(pa.string()), NOT_AVAILABLE), False)
    not_available = absent & said.to_numpy(zero_copy_only=False)
    columns = (
        by_outcome.sum(axis=1),
        _count(window[done.clock_off], windows),
        _count(of_signal[~absent], windows),
        _count(of_signal[not_available], windows),
        _count(of_signal[absent & ~not_available], windows),
        _count(done.lost["window"].to_numpy(), windows),
    )
    return [
        FrameCount(frames, tuple(outcomes), *others)
        for frames, outcomes, *others in zip(
            columns[0].tolist(), by_outcome.tolist(), *(one.tolist() for one in columns[1:]), strict=True
        )
    ]


def _count(windows: npt.NDArray[Any], of: int) -> Integers:
    found: Integers = np.bincount(windows.astype(np.int64), minlength=of)
    return found


class UnknownId(NamedTuple):
    """An id whose frames could not be read in a vehicle's hour, and the first of them."""

    window: int
    channel: str
    arbitration_id: int
    is_extended: bool
    outcome: str
    frames: int
    first_at: datetime
    first_payload: bytes


def unknown_ids(done: DecodedHours) -> list[UnknownId]:
    """Return the ids that could not be read, of each window the `MOST_IDS` most frequent ones.

    Frames without a decoder are left out: there each id is unknown, and the counts say so.
    """
    shown = pc.is_in(done.frames["outcome"], pa.array([int(one) for one in _SHOWN], pa.int8()))
    rows = done.frames.filter(shown)
    key = ["window", "channel", "arbitration_id", "is_extended", "outcome"]
    order = rows.sort_by([(name, "ascending") for name in (*key, "captured_at")])
    found: list[UnknownId] = []
    for *place, captured_at, payload in _rows(order, *key, "captured_at", "payload"):
        one = UnknownId(
            place[0],
            place[1],
            place[2],
            place[3],
            OUTCOMES[place[4]],
            1,
            _EPOCH + timedelta(microseconds=captured_at),
            payload,
        )
        last = found[-1] if found else None
        if last is None or last[:5] != one[:5]:
            found.append(one)
        else:
            same_instant = last.first_at == one.first_at
            first = min(last.first_payload, payload) if same_instant else last.first_payload
            found[-1] = last._replace(frames=last.frames + 1, first_payload=first)
    return _most_frequent(found)


def _most_frequent(found: list[UnknownId]) -> list[UnknownId]:
    by_window: dict[int, list[UnknownId]] = defaultdict(list)
    for one in found:
        by_window[one.window].append(one)
    return [
        one
        for ids in by_window.values()
        for one in sorted(ids, key=lambda one: (-one.frames, one[1:5]))[:MOST_IDS]
    ]
