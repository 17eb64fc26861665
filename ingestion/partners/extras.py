"""Columns that nothing maps, kept beside each row as one JSON object of texts, until they are mapped."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.partners.binding import Binding
from ingestion.partners.block import Block

_NEEDS_ESCAPE = r'["\\\x00-\x1f]'


def write_extras(block: Block, binding: Binding) -> pa.Array:
    """Return a JSON object per row, or null for all where every column is mapped; empty values are left out.

    A name that stands twice in the header gets its number: `note`, `note (2)`.
    """
    if not binding.extras or not block.rows:
        return pa.nulls(block.rows, pa.string())
    parts = []
    seen: dict[str, int] = {}
    for place in binding.extras:
        name = binding.names[place]
        seen[name] = seen.get(name, 0) + 1
        key = json.dumps(name if seen[name] == 1 else f"{name} ({seen[name]})", ensure_ascii=False)
        texts = block.columns[place]
        filled = pc.if_else(pc.equal(pc.binary_length(texts), 0), pa.scalar(None, pa.string()), texts)
        parts.append(pc.binary_join_element_wise(f'{key}: "', _escaped(filled), '"', ""))
    joined = pc.binary_join_element_wise(*parts, ", ", null_handling="skip")
    return pc.binary_join_element_wise("{", joined, "}", "")


def _escaped(texts: pa.Array) -> pa.Array:
    odd = pc.match_substring_regex(texts, _NEEDS_ESCAPE)
    if not pc.any(odd).as_py():
        return texts
    escaped = [
        None if text is None else json.dumps(text, ensure_ascii=False)[1:-1]
        for text in texts.filter(odd).to_pylist()
    ]
    return pc.replace_with_mask(texts, pc.fill_null(odd, False), pa.array(escaped, pa.string()))
