"""JSON lines in blocks of columns: one object a line; a name with dots is the path to a value within.

Values become the text that a CSV would hold: numbers as they read back, true and false, null as nothing. A list or
an object that no name leads into stays JSON text. Columns are known as they turn up, so later blocks may have more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from domain.contracts.model import Rule
from domain.contracts.wire import MAX_EVENT_BYTES
from ingestion.partners.faults import Cause, FileFault
from ingestion.partners.read.block import RAW_BYTES, Block, LineRefusal, require_columns
from ingestion.partners.read.decoding import Decoder
from ingestion.partners.read.lines import Cut, Cutter, check_text, find_line_ends


class JsonLinesReader:
    """Reads JSON lines. `paths` are the declared names that have dots; `decimal` is how numbers are to be written."""

    def __init__(
        self,
        decoder: Decoder,
        make_cutter: Callable[..., Cutter],
        paths: tuple[str, ...] = (),
        decimals: Mapping[str, str] | None = None,
    ) -> None:
        self.decoder = decoder
        self.cutter = make_cutter(decoder, find_line_ends)
        self.names: list[str] = []
        self._known: set[str] = set()
        self._paths = tuple((path, tuple(path.split("."))) for path in paths)
        self._inside = {parts[0] for _, parts in self._paths}
        self._decimals = dict(decimals or {})

    def blocks(self) -> Iterator[Block]:
        """Give the rows block by block.

        Raises:
            FileFault: the file is empty, cut off, of another encoding, or has a line over the limit.
        """
        for cut in self.cutter.cuts():
            last = int(cut.lines[-1])
            cut, refused = check_text(cut, self.decoder)
            block = self._parse(cut, refused)
            if self.cutter.unended and any(
                one.line == last and one.rule is Rule.MALFORMED_JSON for one in block.refused
            ):
                raise FileFault(
                    Cause.TRUNCATED,
                    f"the last line ({last}) has no line end and is no whole object: it was cut off",
                )
            yield block

    def _parse(self, cut: Cut, refused: list[LineRefusal]) -> Block:
        objects: list[dict[str, Any]] = []
        kept: list[int] = []
        for i in range(len(cut.starts)):
            record = cut.record(i)
            found = _object(record)
            if isinstance(found, dict):
                objects.append(self._opened(found))
                kept.append(i)
            else:
                rule, words = found
                refused.append(LineRefusal(int(cut.lines[i]), rule, words, record[:RAW_BYTES]))
        for one in objects:
            if not one.keys() <= self._known:
                self.names += [name for name in one if name not in self._known]
                self._known |= one.keys()
                require_columns(len(self.names))
        columns = [self._column(name, objects) for name in self.names]
        lines = cut.lines[np.asarray(kept, dtype=np.int64)]
        return Block(tuple(self.names), columns, lines, lambda i: cut.record(kept[i]), refused)

    def _opened(self, found: dict[str, Any]) -> dict[str, Any]:
        """Lift the values that declared paths lead to."""
        if not self._paths:
            return found
        out = {
            name: value
            for name, value in found.items()
            if name not in self._inside or not isinstance(value, dict)
        }
        for path, parts in self._paths:
            value: Any = found
            for part in parts:
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None:
                out[path] = value
        for name in self._inside & found.keys():
            if isinstance(found[name], dict):
                led = {parts[1] for _, parts in self._paths if parts[0] == name and len(parts) > 1}
                out |= {f"{name}.{key}": value for key, value in found[name].items() if key not in led}
        return out

    def _column(self, name: str, objects: list[dict[str, Any]]) -> pa.Array:
        values = [one.get(name) for one in objects]
        try:
            return pa.array(values, pa.string()).fill_null("")
        except (pa.ArrowTypeError, pa.ArrowInvalid, UnicodeEncodeError):
            sign = self._decimals.get(name, ".")
            return pa.array([_text(value, sign) for value in values], pa.string())


def _object(record: bytes) -> dict[str, Any] | tuple[Rule, str]:
    if len(record) > MAX_EVENT_BYTES:
        return Rule.OVERSIZED, f"{len(record)} bytes, at most {MAX_EVENT_BYTES} are taken"
    try:
        found = orjson.loads(record)
    except orjson.JSONDecodeError as fault:
        return Rule.MALFORMED_JSON, str(fault)
    if not isinstance(found, dict):
        return Rule.NOT_AN_OBJECT, f"a {type(found).__name__}, not an object"
    return found


def _text(value: Any, decimal: str) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value).replace(".", decimal)
        case _:
            return orjson.dumps(value).decode()
