"""What a row carries beside the contract's columns, as one JSON object: kept columns, cleaned, and what nothing maps.

A kept number is a JSON number, a date or time its ISO text. A value that does not read as declared stays as it was
sent, under its name with `(as sent)`: it is beside the row, so it refuses nothing. Empty values are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import time

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.partners.declare.model import ColumnMap, Declaration, LocalTimes, Numbers
from ingestion.partners.read.block import Block
from ingestion.partners.rows.binding import Binding
from ingestion.partners.rows.instants import InstantReader
from ingestion.partners.rows.numbers import read_floats
from ingestion.partners.rows.texts import clean

_MIDNIGHT = time(0, 0)
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'


def write_extras(block: Block, binding: Binding, declaration: Declaration) -> pa.Array:
    """Return a JSON object per row, or null for all where the file has no such column.

    A name that stands twice in the header gets its number: `note`, `note (2)`.
    """
    if not (binding.extras or binding.kept) or not block.rows:
        return pa.nulls(block.rows, pa.string())
    parts = [
        part
        for name, place in binding.kept.items()
        for part in _kept(declaration, name, block.columns[place])
    ]
    seen: dict[str, int] = {}
    for place in binding.extras:
        name = binding.names[place]
        seen[name] = seen.get(name, 0) + 1
        parts.append(
            _quoted(name if seen[name] == 1 else f"{name} ({seen[name]})", _filled(block.columns[place]))
        )
    # Not null_handling="skip": of nulls alone it makes an array of another length.
    filled = [pc.fill_null(pc.binary_join_element_wise(", ", part, ""), "") for part in parts]
    joined = pc.utf8_slice_codeunits(pc.binary_join_element_wise(*filled, ""), 2)
    return pc.binary_join_element_wise("{", joined, "}", "")


def _kept(declaration: Declaration, name: str, raw: pa.Array) -> Iterator[pa.Array]:
    column = declaration.kept[name]
    texts = clean(raw, column.nulls, column.null_patterns)
    match column.read_as:
        case "number":
            style = Numbers(
                column.decimal or declaration.numbers.decimal,
                column.thousands or declaration.numbers.thousands,
            )
            read = read_floats(texts, style).cast(pa.string())
            yield pc.binary_join_element_wise(json.dumps(name, ensure_ascii=False), read, ": ")
        case "date" | "time":
            read = _iso(texts, column)
            yield _quoted(name, read)
        case _:
            yield _quoted(name, texts)
            return
    odd = pc.and_(texts.is_valid(), read.is_null())
    if pc.any(odd).as_py():
        yield _quoted(f"{name} (as sent)", pc.if_else(odd, texts, pa.scalar(None, pa.string())))


def _iso(texts: pa.Array, column: ColumnMap) -> pa.Array:
    times = column.times
    if column.read_as == "date":
        times = LocalTimes(times.layouts, "UTC", times.at or _MIDNIGHT)
    instants = InstantReader(times).read(texts).values.cast(pa.timestamp("us"))
    if column.read_as == "date":
        return instants.cast(pa.date32(), safe=False).cast(pa.string())
    return pc.strftime(instants, format="%Y-%m-%dT%H:%M:%SZ")


def _filled(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(pc.binary_length(texts), 0), pa.scalar(None, pa.string()), texts)


def _quoted(name: str, texts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(f'{json.dumps(name, ensure_ascii=False)}: "', _escaped(texts), '"', "")


def _escaped(texts: pa.Array) -> pa.Array:
    odd = pc.match_substring_regex(texts, _NEEDS_ESCAPE)
    if not pc.any(odd).as_py():
        return texts
    found = texts.filter(odd).to_pylist()
    escaped = [json.dumps(text, ensure_ascii=False)[1:-1] for text in found]
    return pc.replace_with_mask(texts, pc.fill_null(odd, False), pa.array(escaped, pa.string()))
