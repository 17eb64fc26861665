"""Text columns, cleaned as a whole: trimmed, what means nothing made null."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def bytes_of(texts: pa.Array) -> np.ndarray:
    """Return the bytes behind a string array, as they lie there."""
    data = texts.buffers()[2]
    if data is None or not len(texts):
        return np.empty(0, np.uint8)
    offsets = _offsets(texts)
    return np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]


def text_lengths(texts: pa.Array) -> np.ndarray:
    """Return how many bytes each text has; that of a null is any."""
    return np.diff(_offsets(texts)) if len(texts) else np.empty(0, np.int32)


def _offsets(texts: pa.Array) -> np.ndarray:
    return np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]


def fixed_texts(cells: np.ndarray) -> pa.Array:
    """Return the rows of a matrix of bytes as texts; the caller vouches that they are UTF-8."""
    count, width = cells.shape
    ends = np.arange(0, count * width + 1, width, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(cells)))


def is_ascii(texts: pa.Array) -> bool:
    """Tell whether every character is ASCII."""
    signs = bytes_of(texts)
    return not signs.size or int(signs.max()) < 128


def holds(texts: pa.Array, sign: str) -> bool:
    """Tell whether any text may hold an ASCII sign; never misses one."""
    return bool((bytes_of(texts) == ord(sign)).any())


def _trimmed(texts: pa.Array) -> pa.Array:
    signs = bytes_of(texts)
    if not signs.size or (int(signs.min()) > 32 and int(signs.max()) < 127):
        return texts
    return pc.ascii_trim_whitespace(texts) if int(signs.max()) < 128 else pc.utf8_trim_whitespace(texts)


def clean(texts: pa.Array, nulls: Sequence[str] = (), patterns: Sequence[str] = ()) -> pa.Array:
    """Return the texts trimmed; null for empty ones, for the words in `nulls`, and where a pattern fits.

    Words are compared without regard to case, patterns are searched for as they stand. A leading = + - or @ stays:
    it is data, and nothing here evaluates it.
    """
    trimmed = _trimmed(texts)
    nothing = pc.equal(pc.binary_length(trimmed), 0)
    if nulls:
        words = pa.array(sorted({word.strip().lower() for word in nulls}), pa.string())
        nothing = pc.or_kleene(nothing, pc.is_in(pc.utf8_lower(trimmed), value_set=words))
    for pattern in patterns:
        nothing = pc.or_kleene(nothing, pc.match_substring_regex(trimmed, pattern))
    if not pc.any(nothing).as_py():
        return trimmed
    return pc.if_else(nothing, pa.scalar(None, pa.string()), trimmed)
