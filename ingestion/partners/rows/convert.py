"""Blocks of text into rows of the contract: whole columns by Arrow, the first broken rule for each row that fails.

Every rule of the contract that a stream's events obey holds here, too: required, types, ranges, lengths, vocabularies,
times too old or in the future, columns that stand together. A row that was recorded before it happened is kept and
counted: that is what the partner says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.contracts.arrow import arrow_schema
from domain.contracts.model import Choice, Column, Feed, Float, Integer, Rule, Text, Timestamp
from domain.contracts.wire import EARLIEST, EARLIEST_MS, FUTURE_TOLERANCE_S, NUL_CHARACTER
from ingestion.partners.declare.model import ColumnMap, Declaration, Numbers
from ingestion.partners.declare.units import FACTORS, MINOR_DIGITS
from ingestion.partners.read.block import RAW_BYTES, Block, LineRefusal
from ingestion.partners.rows.binding import Binding
from ingestion.partners.rows.doubts import LayoutDoubt
from ingestion.partners.rows.extras import write_extras
from ingestion.partners.rows.fingerprints import Hasher, content_hash
from ingestion.partners.rows.instants import InstantReader
from ingestion.partners.rows.numbers import read_floats, read_integers, whole_units
from ingestion.partners.rows.texts import clean, holds, is_ascii
from ingestion.partners.rows.verdicts import Bools, Verdicts, bools

SPOOL_COLUMNS = (
    pa.field("line_hash", pa.int64(), nullable=False),
    pa.field("content_hash", pa.int64(), nullable=False),
    pa.field("extras", pa.string()),
)
"""What a spooled row carries beside the contract's columns."""


@dataclass(frozen=True)
class Converted:
    """The accepted rows of a block, what was refused, and the count of rows that are odd in time."""

    table: pa.Table
    refused: list[LineRefusal]
    recorded_before: int
    recorded_late: int


@dataclass
class _Work:
    """One block under conversion."""

    block: Block
    binding: Binding
    verdicts: Verdicts
    texts: dict[str, pa.Array] = field(default_factory=dict)
    values: dict[str, pa.Array] = field(default_factory=dict)


class Converter:
    """Converts the blocks of one file, several at a time if need be.

    `layouts` collects, by column, the layouts that its times came in.
    """

    def __init__(
        self,
        declaration: Declaration,
        recorded_at: datetime,
        arrived_at: datetime,
        cell_layouts: tuple[str, ...] = (),
    ) -> None:
        self.declaration = declaration
        self.feed: Feed = declaration.contract
        self.schema = pa.schema([*arrow_schema(self.feed), *SPOOL_COLUMNS])
        self.layouts: dict[str, set[str]] = {}
        self._recorded_us = _microseconds(recorded_at)
        self._latest_us = _microseconds(arrived_at) + FUTURE_TOLERANCE_S * 1_000_000
        self._hasher = Hasher(declaration.name)
        late_us = int(declaration.late_after.total_seconds() * 1_000_000)
        self._doubts = {
            name: LayoutDoubt(column.times.layouts, self._recorded_us, late_us)
            for name, column in declaration.columns.items()
            if isinstance(self.feed.column(name).type, Timestamp)
        }
        self._instants = {
            name: InstantReader(column.times, cell_layouts)
            for name, column in declaration.columns.items()
            if isinstance(self.feed.column(name).type, Timestamp)
        }

    @property
    def doubts(self) -> dict[str, str]:
        """Columns of times whose days and months seem to have changed places, in words."""
        return {name: words for name, doubt in self._doubts.items() if (words := doubt.words)}

    def close(self) -> None:
        """Let go of what the conversion holds."""
        self._hasher.close()

    def convert(self, block: Block, binding: Binding) -> Converted:
        """Convert one block; its own refusals come first."""
        work = _Work(block, binding, Verdicts(block.rows))
        maps = self.declaration.columns
        for name in sorted(maps, key=lambda name: maps[name].money):  # amounts wait for their currency
            work.values[name] = self._column(maps[name], self.feed.column(name), work)
        self._fill_envelope(work)
        for column in self.feed:
            self._check_column(column, work)
        for one, other in self.feed.together:
            apart = np.asarray(work.values[one].is_null()) != np.asarray(work.values[other].is_null())
            work.verdicts.refuse(
                apart, Rule.POSITION_INCOMPLETE, _always(f"{one} and {other} stand together")
            )
        return self._finish(work)

    def _column(self, column: ColumnMap, contract: Column, work: _Work) -> pa.Array:
        rows = work.block.rows
        if column.constant is not None:
            texts = pa.repeat(pa.scalar(column.constant), rows)
        elif column.name in work.binding.sources:
            texts = self._text(column, work)
        else:
            texts = pa.nulls(rows, pa.string())
        work.texts[column.name] = texts
        match contract.type:
            case Text():
                return _cased(texts, column)
            case Choice(words):
                return _chosen(texts, column, words, work.verdicts)
            case Float() | Integer():
                return self._number(texts, column, contract, work)
            case _:
                return self._time(texts, column, work.verdicts)

    def _text(self, column: ColumnMap, work: _Work) -> pa.Array:
        nulls, patterns = column.nulls, column.null_patterns
        texts = clean(work.block.columns[work.binding.sources[column.name]], nulls, patterns)
        if column.time_source is None or column.name not in work.binding.time_sources:
            return texts
        times = clean(work.block.columns[work.binding.time_sources[column.name]], nulls, patterns)
        return pc.binary_join_element_wise(texts, times, " ")

    def _number(self, texts: pa.Array, column: ColumnMap, contract: Column, work: _Work) -> pa.Array:
        style = Numbers(
            column.decimal or self.declaration.numbers.decimal,
            column.thousands or self.declaration.numbers.thousands,
        )
        whole = isinstance(contract.type, Integer) and not column.money
        read = read_integers(texts, style) if whole else read_floats(texts, style)
        wrong = np.asarray(read.is_null()) & np.asarray(texts.is_valid())
        if wrong.any():
            kind = "a whole number" if whole else "a number"
            words = f"is not {kind} with decimal sign {style.decimal!r}"
            words += f" and thousands {style.thousands!r}" if style.thousands else ""
            work.verdicts.refuse(wrong, Rule.WRONG_TYPE, _saying(column.name, texts, words))
        if column.money:
            return self._minor(read, texts, column, work)
        factor = FACTORS.get((column.unit or "", contract.unit or ""))
        return pc.multiply(read, factor) if factor is not None else read

    def _minor(self, read: pa.Array, texts: pa.Array, column: ColumnMap, work: _Work) -> pa.Array:
        currency = next(other for one, other in self.feed.together if one == column.name)
        codes = pc.dictionary_encode(pc.fill_null(work.values[currency], ""))
        digits = np.array(
            [MINOR_DIGITS.get(code, 2) for code in codes.dictionary.to_pylist()], dtype=np.int64
        )
        minor, odd = whole_units(read, digits[np.asarray(codes.indices)] if len(codes) else digits)
        words = "has more digits than its currency, or is too large"
        work.verdicts.refuse(odd, Rule.OUT_OF_RANGE, _saying(column.name, texts, words))
        return minor

    def _time(self, texts: pa.Array, column: ColumnMap, verdicts: Verdicts) -> pa.Array:
        found = self._instants[column.name].read(texts)
        self._doubts[column.name].look(texts)
        self.layouts.setdefault(column.name, set()).update(found.layouts)
        for rows, rule, words in found.refused:
            verdicts.refuse(rows, rule, _saying(column.name, texts, words))
        return found.values

    def _fill_envelope(self, work: _Work) -> None:
        rows, values = work.block.rows, work.values
        own = pa.repeat(pa.scalar(self._recorded_us, pa.int64()), rows)
        values["recorded_at"] = pc.coalesce(values["recorded_at"], own) if "recorded_at" in values else own
        values["tenant_id"] = pa.repeat(pa.scalar(self.declaration.tenant_id), rows)
        values["schema_version"] = pa.repeat(pa.scalar(self.feed.version, pa.int16()), rows)
        if "partner" in self.feed.names:
            values["partner"] = pa.repeat(pa.scalar(self.declaration.name), rows)
            values["source_line"] = pa.array(work.block.lines)

    def _check_column(self, column: Column, work: _Work) -> None:
        if column.name == "event_id":
            return
        values = work.values.setdefault(column.name, pa.nulls(work.block.rows, self._held_as(column)))
        texts = work.texts.get(column.name)
        needed = not column.nullable or column.name in self.declaration.line_key
        if needed and values.null_count:
            missing = np.asarray(values.is_null())
            work.verdicts.refuse(missing, Rule.MISSING_REQUIRED, self._missing_words(column.name, work))
        if texts is None and column.name != "recorded_at":
            return
        match column.type:
            case Text(limit):
                _check_text(column.name, values, limit, work.verdicts)
            case Integer() | Float():
                _check_range(column, values, texts, work.verdicts)
            case Timestamp():
                self._check_time(column.name, values, work.verdicts)

    def _held_as(self, column: Column) -> pa.DataType:
        return pa.int64() if isinstance(column.type, Timestamp) else self.schema.field(column.name).type

    def _missing_words(self, name: str, work: _Work) -> Callable[[int], str]:
        place = work.binding.sources.get(name)

        def words(i: int) -> str:
            if place is None:
                return f"{name} is missing"
            return f"{name} ({work.binding.names[place]!r}) is {work.block.columns[place][i].as_py() or ''!r}: nothing"

        return words

    def _check_time(self, name: str, values: pa.Array, verdicts: Verdicts) -> None:
        old = bools(pc.less(values, EARLIEST_MS * 1000))
        verdicts.refuse(
            old, Rule.TIME_TOO_OLD, lambda i: f"{name} = {_iso(values, i)}: before {EARLIEST:%Y-%m-%d}"
        )
        ahead = bools(pc.greater(values, self._latest_us))
        verdicts.refuse(
            ahead,
            Rule.TIME_IN_FUTURE,
            lambda i: f"{name} = {_iso(values, i)}: over an hour past the file's arrival",
        )

    def _finish(self, work: _Work) -> Converted:
        verdicts, block = work.verdicts, work.block
        refused = list(block.refused)
        for i, (rule, detail) in verdicts.refused.items():
            refused.append(LineRefusal(int(block.lines[i]), rule, detail, block.raw(i)[:RAW_BYTES]))
        extras = write_extras(block, work.binding, self.declaration)
        keep = None if verdicts.fine.all() else pa.array(verdicts.fine)
        chosen = {
            name: values if keep is None else values.filter(keep) for name, values in work.values.items()
        }
        extras = extras if keep is None else extras.filter(keep)
        ids, keys = self._hasher.event_ids([chosen[name] for name in self.declaration.line_key])
        said = [chosen[name] for name in self.declaration.columns]
        chosen["event_id"], chosen["line_hash"], chosen["extras"] = ids, keys, extras
        chosen["content_hash"] = content_hash([*said, extras])
        table = pa.Table.from_arrays([_as(chosen[f.name], f.type) for f in self.schema], schema=self.schema)
        lag = pc.subtract(chosen["recorded_at"], chosen[self.feed.event_time])
        late = int(self.declaration.late_after.total_seconds() * 1_000_000)
        return Converted(
            table,
            sorted(refused, key=lambda refusal: refusal.line),
            int(np.count_nonzero(bools(pc.less(lag, 0)))),
            int(np.count_nonzero(bools(pc.greater(lag, late)))),
        )


def _as(values: pa.Array, to: pa.DataType) -> pa.Array:
    return values if values.type == to else values.cast(to)


def _microseconds(at: datetime) -> int:
    delta = at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _iso(values: pa.Array, index: int) -> str:
    """Show an instant by Arrow: it may lie beyond the years that Python knows."""
    return str(values[index].cast(pa.timestamp("us")).cast(pa.string()))


def _always(words: str) -> Callable[[int], str]:
    return lambda i: words


def _saying(name: str, texts: pa.Array, words: str) -> Callable[[int], str]:
    return lambda i: f"{name} = {texts[i].as_py()[:64]!r} {words}"


def _cased(texts: pa.Array, column: ColumnMap) -> pa.Array:
    if column.case != "keep":
        texts = pc.utf8_upper(texts) if column.case == "upper" else pc.utf8_lower(texts)
    return pc.binary_join_element_wise(column.prefix, texts, "") if column.prefix else texts


def _chosen(texts: pa.Array, column: ColumnMap, words: tuple[str, ...], verdicts: Verdicts) -> pa.Array:
    mapping: Mapping[str, str] = (
        column.values if column.values and column.constant is None else {w: w for w in words}
    )
    places = pc.index_in(pc.utf8_lower(texts), value_set=pa.array(list(mapping)))
    unknown = np.asarray(places.is_null()) & np.asarray(texts.is_valid())
    verdicts.refuse(
        unknown, Rule.UNKNOWN_VALUE, _saying(column.name, texts, f"is none of {', '.join(mapping)}")
    )
    return pa.array(list(mapping.values())).take(places)


def _check_text(name: str, values: pa.Array, limit: int, verdicts: Verdicts) -> None:
    lengths = pc.binary_length(values) if is_ascii(values) else pc.utf8_length(values)
    longer = bools(pc.greater(lengths, limit))
    verdicts.refuse(
        longer,
        Rule.TOO_LONG,
        lambda i: f"{name} is {lengths[i].as_py()} characters long, and at most {limit} are taken",
    )
    if holds(values, "\0"):
        nul = bools(pc.match_substring(values, "\0"))
        verdicts.refuse(nul, Rule.WRONG_TYPE, lambda i: f"{name}: {NUL_CHARACTER}")


def _check_range(column: Column, values: pa.Array, texts: pa.Array | None, verdicts: Verdicts) -> None:
    low, high = column.between or (None, None)
    if texts is None or (low is None and high is None):
        return
    wrong: Bools = np.zeros(len(values), dtype=np.bool_)
    if low is not None:
        wrong |= bools(pc.less(values, low))
    if high is not None:
        wrong |= bools(pc.greater(values, high))
    words = f"is outside {'' if low is None else low} to {'' if high is None else high} {column.unit or ''}".rstrip()
    verdicts.refuse(wrong, Rule.OUT_OF_RANGE, _saying(column.name, texts, words))
