"""Numbers in text, read over whole columns and strictly: another decimal sign than the declared one is no number."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.partners.declare.model import Numbers
from ingestion.partners.rows.layouts import cast_valid
from ingestion.partners.rows.texts import holds

_WHOLE = r"^[+-]?[0-9]{1,18}(?:\.0*)?$"


def expression(style: Numbers) -> str:
    """Return what a number of a style looks like; thousands stand in groups of three."""
    decimal = re.escape(style.decimal)
    whole = "[0-9]+"
    if style.thousands:
        whole = f"(?:[0-9]{{1,3}}(?:{re.escape(style.thousands)}[0-9]{{3}})+|[0-9]+)"
    return rf"^[+-]?(?:{whole}(?:{decimal}[0-9]*)?|{decimal}[0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?$"


def read_floats(texts: pa.Array, style: Numbers) -> pa.Array:
    """Return float64; null where a text is no finite number of the style."""
    if not _may_hold_others(texts, style):
        read = _cast_all(_plain(texts, style))
        if read is not None:
            return read
    fits = pc.match_substring_regex(texts, expression(style))
    chosen = pc.replace_substring_regex(_plain(pc.if_else(fits, texts, None), style), r"^\+", "")
    read = cast_valid(chosen, pa.float64())
    return pc.if_else(pc.is_finite(read), read, None)


def read_integers(texts: pa.Array, style: Numbers) -> pa.Array:
    """Return int64; null where a text is no whole number of at most 18 digits."""
    plain = _plain(pc.if_else(pc.match_substring_regex(texts, expression(style)), texts, None), style)
    chosen = pc.if_else(pc.match_substring_regex(plain, _WHOLE), plain, None)
    chosen = pc.replace_substring_regex(chosen, r"^\+|\.0*$", "")
    return cast_valid(chosen, pa.int64())


def _may_hold_others(texts: pa.Array, style: Numbers) -> bool:
    """Tell whether signs stand in the texts that a plain cast would take for something else."""
    return any(
        holds(texts, sign)
        for sign in {".", ",", style.thousands[:1] or "+", "+"} - {style.decimal}
        if sign.isascii()
    )


def _plain(texts: pa.Array, style: Numbers) -> pa.Array:
    if style.thousands and (not style.thousands.isascii() or holds(texts, style.thousands)):
        texts = pc.replace_substring(texts, style.thousands, "")
    return texts if style.decimal == "." else pc.replace_substring(texts, style.decimal, ".")


def _cast_all(texts: pa.Array) -> pa.Array | None:
    try:
        read = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return read if pc.all(pc.is_finite(read)).as_py() is not False else None


def whole_units(amounts: pa.Array, digits: np.ndarray) -> tuple[pa.Array, np.ndarray]:
    """Return decimal amounts in minor units (int64), and where an amount has more digits than its currency."""
    scaled = np.asarray(amounts.to_numpy(zero_copy_only=False), dtype=np.float64) * np.power(10.0, digits)
    rounded = np.rint(scaled)
    fine = np.isfinite(scaled) & (np.abs(rounded) < 2**53)
    odd = ~fine | (np.abs(scaled - rounded) > 1e-6 * np.maximum(1.0, np.abs(scaled) * 1e-6))
    missing = np.asarray(amounts.is_null())
    minor = pa.array(np.where(fine, rounded, 0).astype(np.int64), mask=missing | odd)
    return minor, odd & ~missing
