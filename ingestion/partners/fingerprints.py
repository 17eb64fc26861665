"""Hashes of rows, over whole columns: the event id and key of a line, and what the line says.

`event_id` is the first 32 hex digits of SHA-256 over partner and line key, joined by U+001F; `line_hash` is its first
8 bytes as a signed integer. `content_hash` is 64 bits over the typed values, the same in any process and version:
splitmix64 over the 8-byte words of each value, salted by column and place, summed. It is no defence against somebody
who wants two rows to collide; it tells a re-sent row that was not touched from one that was.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.partners.texts import bytes_of

Words = npt.NDArray[np.uint64]
_MANY, _FEW = 2_000, 500
"""Of a column whose first many texts are few, each text is hashed once."""
_CLASSES = (8, 16, 32, 64, 128, 512, 4096, 1 << 16, 1 << 21)


class Hasher:
    """Hashes keys with one DuckDB connection of its own: its SHA-256 runs over whole columns."""

    def __init__(self, partner: str) -> None:
        self._partner = partner
        self._conn = duckdb.connect(config={"threads": "1"})

    def close(self) -> None:
        """Let the connection go."""
        self._conn.close()

    def event_ids(self, keys: Sequence[pa.Array]) -> tuple[pa.Array, pa.Array]:
        """Return event ids and line hashes of the rows; no key is null."""
        texts = [_text(key) for key in keys]
        joined = pc.binary_join_element_wise(pa.scalar(self._partner), *texts, "\x1f")
        self._conn.register("lines", pa.table({"line_key": joined}))
        found = self._conn.sql("select sha256(line_key)[:32] as event_id from lines").to_arrow_table()
        self._conn.unregister("lines")
        ids = found.column(0).combine_chunks().cast(pa.string())
        return ids, pa.array(_leading(ids))


def _text(values: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(values.type):
        return values.cast(pa.int64()).cast(pa.string())
    return values.cast(pa.string())


def _leading(ids: pa.Array) -> npt.NDArray[np.int64]:
    """Read the first 16 of 32 hex digits as a big-endian signed integer."""
    digits = bytes_of(ids).reshape(-1, 32)[:, :16]
    nibbles = np.where(digits >= 97, digits - 87, digits - 48).astype(np.uint8)
    found: npt.NDArray[np.int64] = (
        ((nibbles[:, ::2] << 4) | nibbles[:, 1::2]).view(">i8").ravel().astype(np.int64)
    )
    return found


def content_hash(columns: Sequence[pa.Array]) -> pa.Array:
    """Return 64 bits over the values of each row; null differs from every value."""
    total = np.zeros(len(columns[0]), dtype=np.uint64)
    for place, values in enumerate(columns):
        salt = np.uint64(((place + 1) * 0x9E3779B97F4A7C15) & (2**64 - 1))
        missing = np.asarray(values.is_null())
        hashed = (
            _text_words(values, salt) if pa.types.is_string(values.type) else _mixed(_words(values) ^ salt)
        )
        total += np.where(missing, _mixed(np.full(1, ~salt)), hashed)
    return pa.array(_mixed(total).view(np.int64))


def _words(values: pa.Array) -> Words:
    if pa.types.is_floating(values.type):
        floats = np.array(values.fill_null(0.0).to_numpy(zero_copy_only=False), dtype=np.float64)
        return (floats + 0.0).view(np.uint64)  # -0.0 and 0.0 are one value
    whole = values.cast(pa.int64()) if not pa.types.is_int64(values.type) else values
    return np.array(whole.fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64).view(np.uint64)


def _text_words(values: pa.Array, salt: np.uint64) -> Words:
    texts = pc.fill_null(values, "") if values.null_count else values
    if len(texts) > _MANY and len(texts[:_MANY].unique()) < _FEW:
        encoded = pc.dictionary_encode(texts)
        once: Words = _text_words(encoded.dictionary, salt)[np.asarray(encoded.indices)]
        return once
    lengths = np.asarray(pc.binary_length(texts)).astype(np.int64)
    total = _mixed(lengths.view(np.uint64) ^ ~salt)
    low = 0
    for high in _CLASSES:
        rows = np.flatnonzero((lengths > low) & (lengths <= high))
        if rows.size:
            chosen = texts if rows.size == len(lengths) else texts.take(pa.array(rows))
            total[rows] += _class_words(bytes_of(chosen), lengths[rows], high, salt)
        low = high
    return total


def _class_words(
    data: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64], width: int, salt: np.uint64
) -> Words:
    """Hash texts of at most `width` bytes; words beyond a text's end do not count."""
    step = max(1, (8 << 20) // width)
    out = np.empty(len(lengths), dtype=np.uint64)
    ends = np.cumsum(lengths)
    salts = _mixed(np.arange(width // 8, dtype=np.uint64) + salt)
    for first in range(0, len(lengths), step):
        part = lengths[first : first + step]
        start = int(ends[first] - lengths[first])
        cells = np.zeros((len(part), width), dtype=np.uint8)
        cells[np.arange(width) < part[:, None]] = data[start : int(ends[first + len(part) - 1])]
        words = _mixed(cells.view(np.uint64) ^ salts)
        words[np.arange(0, width, 8) >= part[:, None]] = 0
        out[first : first + step] = words.sum(axis=1, dtype=np.uint64)
    return out


def _mixed(words: Words) -> Words:
    """Splitmix64's finalizer."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
