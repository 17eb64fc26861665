"""Hashes of rows, over whole columns: the event id and key of a line, and what the line says.

`event_id` is the first 32 hex digits of SHA-256 over partner and line key, joined by U+001F; `line_hash` is its first
8 bytes as a signed integer. `content_hash` is 64 bits over the typed values, the same in any process and version:
splitmix64 over the 8-byte words of each value, salted by column and place, summed. It is no defence against somebody
who wants two rows to collide; it tells a re-sent row that was not touched from one that was.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from queue import SimpleQueue

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.partners.rows.texts import bytes_of, fixed_texts, text_lengths

Words = npt.NDArray[np.uint64]
HASHES = ["line_hash", "content_hash"]
"""The hashes that travel with a row, to its raw object."""
_WORD = 8
_ONES = np.array([(1 << (8 * size)) - 1 for size in range(_WORD + 1)], dtype=np.uint64)
"""By how many bytes of a word belong to a text: the bits that count."""
_ID_DIGITS, _SHA_DIGITS = 32, 64


class Hasher:
    """Hashes keys with DuckDB, whose SHA-256 runs over whole columns; good for several threads at a time."""

    def __init__(self, partner: str) -> None:
        self._partner = partner
        self._conn = duckdb.connect(config={"threads": "1"})
        self._idle: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()

    def close(self) -> None:
        """Let the connection go."""
        self._conn.close()

    def event_ids(self, keys: Sequence[pa.Array]) -> tuple[pa.Array, pa.Array]:
        """Return event ids and line hashes of the rows; no key is null."""
        joined = pc.binary_join_element_wise(pa.scalar(self._partner), *map(_text, keys), "\x1f")
        ids = fixed_texts(bytes_of(self._sha256(joined)).reshape(-1, _SHA_DIGITS)[:, :_ID_DIGITS])
        return ids, pa.array(line_hashes(ids))

    def _sha256(self, texts: pa.Array) -> pa.Array:
        """Return 64 hex digits a text."""
        cursor = self._conn.cursor() if self._idle.empty() else self._idle.get()
        found = cursor.from_arrow(pa.table({"line_key": texts})).project("sha256(line_key)").to_arrow_table()
        self._idle.put(cursor)
        return found.column(0).combine_chunks().cast(pa.string())


def _text(values: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(values.type):
        return values.cast(pa.int64()).cast(pa.string())
    return values.cast(pa.string())


def line_hashes(ids: pa.Array) -> npt.NDArray[np.int64]:
    """Return the line hashes of event ids: their first 16 of 32 hex digits as big-endian signed integers."""
    halves = np.frombuffer(binascii.unhexlify(bytes_of(ids).tobytes()), ">i8")
    return halves[::2].astype(np.int64)


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
    data = bytes_of(texts)
    lengths = text_lengths(texts).astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    padded = np.concatenate([data, np.zeros(_WORD, np.uint8)])
    words = np.ndarray((len(data) + 1,), "<u8", padded, strides=(1,))  # the eight bytes from each byte on
    total = _mixed(lengths.view(np.uint64) ^ ~salt)
    rows: slice | npt.NDArray[np.int64] = slice(None)
    for place in range(-(-int(lengths.max(initial=0)) // _WORD)):
        left = lengths[rows] - place * _WORD
        if left.min() <= 0:
            rows = np.flatnonzero(lengths > place * _WORD)
            left = lengths[rows] - place * _WORD
        found = words[starts[rows] + place * _WORD] & _ONES[np.minimum(left, _WORD)]
        total[rows] += _mixed(found ^ _mixed(np.full(1, place, np.uint64) + salt))
    return total


def _mixed(words: Words) -> Words:
    """Splitmix64's finalizer."""
    words = words ^ (words >> np.uint64(30))
    words *= np.uint64(0xBF58476D1CE4E5B9)
    words ^= words >> np.uint64(27)
    words *= np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words
