"""Hashes of rows, computed over whole columns: a key by entity and time, a fingerprint by content.

Two rows with the same content always agree in both. Two different rows agree in a fingerprint with a chance of
2^-64, whoever made them: the seeds are drawn anew in every process, and neither hash is ever stored. A key only finds
rows that may be repeats; rows are repeats if key and fingerprint agree.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Hashes = npt.NDArray[np.uint64]

_ENTITY, _TIME, _NULL = "entity", "time", np.uint64(0x9E3779B97F4A7C15)
_LUT_BITS = 24
_SHIFTS = (40, 20, 0)
_SECRET = secrets.token_bytes(32)
_WEIGHTS = np.frombuffer(
    secrets.token_bytes(8 << 14), np.uint64
)  # more bytes than any text of a contract has


def row_keys(entities: pa.ChunkedArray, times: pa.ChunkedArray) -> Hashes:
    """Return a key per row, from the entity (a dictionary column) and the event time."""
    hashed = [hash_column(chunk, _ENTITY) for chunk in entities.chunks]
    return _joined(hashed) ^ _joined([hash_column(chunk, _TIME) for chunk in times.chunks])


def fingerprints(table: pa.Table, columns: Sequence[str]) -> Hashes:
    """Return a fingerprint per row over the columns; null differs from every value."""
    total = np.zeros(table.num_rows, np.uint64)
    for name in columns:
        total += _joined([hash_column(chunk, name) for chunk in table[name].chunks])
    return _mix(total)


def hash_column(values: pa.Array, seed: str) -> Hashes:
    """Return a hash per value; equal values of a dictionary column and of a plain one hash alike."""
    if isinstance(values, pa.DictionaryArray) and len(values) < len(values.dictionary):
        values = values.dictionary_decode()
    if isinstance(values, pa.DictionaryArray):
        if len(values.dictionary) == 0:
            return np.full(len(values), _NULL ^ _seed(seed, 1), np.uint64)
        indices = pc.fill_null(values.indices, 0).to_numpy(zero_copy_only=False)
        hashed: Hashes = hash_column(values.dictionary, seed)[indices]
    elif pa.types.is_string(values.type) or pa.types.is_binary(values.type):
        hashed = _hash_strings(values, seed)
    elif pa.types.is_large_binary(values.type):
        hashed = _hash_strings(values.cast(pa.binary()), seed)
    else:
        hashed = _mix(_bits(values) ^ _seed(seed, 0))
    if values.null_count:
        hashed[np.asarray(values.is_null())] = _NULL ^ _seed(seed, 1)
    return hashed


def _bits(values: pa.Array) -> Hashes:
    """Return the values as 64 bits each; nulls as anything."""
    kind, fill = values.type, pc.fill_null if values.null_count else lambda given, _: given
    if pa.types.is_floating(kind):
        numbers = fill(values, 0.0).to_numpy(zero_copy_only=False).astype(np.float64)
        bits: Hashes = (numbers + 0.0).view(np.uint64)  # -0.0 is 0.0
        return bits
    if pa.types.is_timestamp(kind):
        values = values.cast(pa.int64())
    elif not pa.types.is_integer(kind) and not pa.types.is_boolean(kind):
        return _hash_strings(pc.fill_null(values.cast(pa.string()), ""), str(kind))
    filled = fill(values, False if pa.types.is_boolean(kind) else 0)
    whole: Hashes = filled.to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)
    return whole


def _hash_strings(values: pa.Array, seed: str) -> Hashes:
    """Return a hash per string or bytes: a sum of bytes, each weighted by its place, then mixed with the length."""
    buffers = values.buffers()
    first, last = values.offset, values.offset + len(values)
    offsets = np.frombuffer(buffers[1], np.int32, count=last + 1)[first:].astype(np.int64)
    lengths = np.diff(offsets)
    if len(values) == 0 or buffers[2] is None:
        return _mix(lengths.astype(np.uint64) ^ _seed(seed, 2))
    start, end = int(offsets[0]), int(offsets[-1])
    data = np.frombuffer(buffers[2], np.uint8, count=end)[start:end]
    places = np.arange(end - start) - np.repeat(offsets[:-1] - start, lengths)
    weighted = _WEIGHTS[places & (len(_WEIGHTS) - 1)] * (data.astype(np.uint64) + np.uint64(1))
    ends = np.concatenate(([np.uint64(0)], np.cumsum(weighted, dtype=np.uint64)))
    sums = ends[offsets[1:] - start] - ends[offsets[:-1] - start]
    return _mix(sums ^ _mix(lengths.astype(np.uint64) ^ _seed(seed, 2)))


def _mix(values: Hashes) -> Hashes:
    """Scramble 64 bits so that sums and differences of values leave no trace (the finalizer of splitmix64)."""
    mixed = values.copy()
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


@cache
def _seed(name: str, purpose: int) -> np.uint64:
    drawn = hashlib.blake2b(f"{purpose} {name}".encode(), key=_SECRET, digest_size=8).digest()
    return np.uint64(int.from_bytes(drawn, "little"))


def _joined(parts: Sequence[Hashes]) -> Hashes:
    return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.zeros(0, np.uint64)


class KeySet:
    """A set of keys that answers for whole columns; tables over parts of their bits turn nearly all others away."""

    def __init__(self, keys: Hashes) -> None:
        """Take the keys; repeats among them are fine."""
        self.sorted = np.sort(keys)
        self._seen = {shift: np.zeros(1 << _LUT_BITS, np.bool_) for shift in _SHIFTS}
        for start in range(0, len(keys), 1 << 20):
            for shift, seen in self._seen.items():
                seen[_slots(self.sorted[start : start + (1 << 20)], shift)] = True

    @property
    def repeated(self) -> Hashes:
        """The keys that were given more than once, in order."""
        return np.unique(self.sorted[1:][self.sorted[1:] == self.sorted[:-1]])

    def holds(self, keys: Hashes) -> npt.NDArray[np.bool_]:
        """Return for each key whether it is in the set."""
        likely = np.arange(len(keys))
        for shift, seen in self._seen.items():
            likely = likely[seen[_slots(keys[likely], shift)]]
        found = np.zeros(len(keys), np.bool_)
        found[likely] = contains(self.sorted, keys[likely])
        return found


def _slots(keys: Hashes, shift: int) -> npt.NDArray[np.int64]:
    return ((keys >> np.uint64(shift)) & np.uint64((1 << _LUT_BITS) - 1)).astype(np.int64)


def contains(ordered: Hashes, values: Hashes) -> npt.NDArray[np.bool_]:
    """Return for each value whether it is in a sorted array."""
    if not len(ordered):
        return np.zeros(len(values), np.bool_)
    places = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    found: npt.NDArray[np.bool_] = ordered[places] == values
    return found


class Contents:
    """Contents that are known, as pairs of key and fingerprint."""

    def __init__(self, known: Iterable[tuple[Hashes, Hashes]] = ()) -> None:
        """Take the contents that the lake holds."""
        self._keys, self._prints = np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        self._add([keys for keys, _ in known], [prints for _, prints in known])

    def take_new(self, keys: Hashes, prints: Hashes) -> npt.NDArray[np.bool_]:
        """Return for each row whether its content is new, the first of several alike; these are known from now on."""
        order = np.lexsort((np.arange(len(keys)), keys, prints))
        k, p = keys[order], prints[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (k[1:] != k[:-1]) | (p[1:] != p[:-1])
        new = np.zeros(len(order), np.bool_)
        new[order] = first
        new &= ~self._knows(keys, prints)
        self._add([keys[new]], [prints[new]])
        return new

    def _knows(self, keys: Hashes, prints: Hashes) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(keys), np.bool_)
        places = np.searchsorted(self._prints, prints)
        open_ = np.arange(len(keys))
        while True:  # once, but for two contents that share a fingerprint
            open_ = open_[places[open_] < len(self._prints)]
            open_ = open_[self._prints[places[open_]] == prints[open_]]
            if not len(open_):
                return found
            found[open_] |= self._keys[places[open_]] == keys[open_]
            places[open_] += 1

    def _add(self, keys: Sequence[Hashes], prints: Sequence[Hashes]) -> None:
        all_prints = np.concatenate((self._prints, *prints))
        order = np.argsort(all_prints, kind="stable")
        self._keys, self._prints = np.concatenate((self._keys, *keys))[order], all_prints[order]
