"""The `format` and `numbers` sections of a declaration."""

from __future__ import annotations

import re
from typing import Any

from ingestion.partners.declare.model import (
    CsvFormat,
    Excel,
    Field,
    FixedWidth,
    Format,
    JsonLines,
    Numbers,
    Trailer,
)
from ingestion.section import Section

KINDS = ("csv", "jsonlines", "fixed_width", "excel")


def read_numbers(section: Section) -> Numbers:
    """Return how numbers are written."""
    found = Numbers(section.text("decimal", ".", among=(".", ",")), section.text("thousands", ""))
    if found.thousands not in ("", ".", ",", " ", "'", "\u00a0", "\u202f"):
        section.fault("thousands", f"{found.thousands!r}: one of . , ' or a blank")
    if found.thousands == found.decimal:
        section.fault("thousands", f"{found.thousands!r} is the decimal sign, too")
    section.close()
    return found


def read_format(section: Section) -> Format:
    """Return the format; a fault leaves a CSV of the defaults."""
    kind = section.text("kind", among=KINDS)
    found: Format
    match kind:
        case "jsonlines":
            found = JsonLines(**_common(section))
        case "fixed_width":
            found = FixedWidth(fields=_fields(section), ragged=section.flag("ragged"), **_common(section))
        case "excel":
            found = Excel(
                sheet=section.optional_text("sheet"),
                skip_lines=section.whole("skip_lines", 0),
                trailer=_trailer(section),
            )
        case _:
            found = _csv(section)
    section.close()
    return found


def _common(section: Section) -> dict[str, Any]:
    return {
        "skip_lines": section.whole("skip_lines", 0),
        "comment": section.text("comment", ""),
        "trailer": _trailer(section),
        "final_newline": section.flag("final_newline"),
    }


def _csv(section: Section) -> CsvFormat:
    found = CsvFormat(
        delimiter=section.text("delimiter", ","),
        quote=section.text("quote", '"'),
        escape=section.text("escape", ""),
        header=section.flag("header", True),
        names=section.texts("names"),
        **_common(section),
    )
    for key in ("delimiter", "quote", "escape"):
        sign = getattr(found, key)
        if (
            len(sign) > 1
            or sign in ("\n", "\r")
            or (sign and not sign.isascii())
            or (key == "delimiter" and not sign)
        ):
            section.fault(key, f"{sign!r}: one ASCII character, and no line end")
    signs = [sign for sign in (found.delimiter, found.quote, found.escape) if sign]
    if len(set(signs)) != len(signs):
        section.fault("delimiter", f"delimiter, quote and escape must differ: {signs}")
    if found.header == bool(found.names):
        section.fault("names", "are given where there is no header row, and only there")
    if len(set(found.names)) != len(found.names):
        section.fault("names", "a name stands there twice")
    return found


def _trailer(section: Section) -> Trailer | None:
    if not section.has("trailer"):
        section.any("trailer")
        return None
    pattern = section.text("trailer")
    try:
        re.compile(pattern)
    except re.error as fault:
        section.fault("trailer", f"{pattern!r} is no regular expression: {fault}")
        return None
    return Trailer(pattern)


def _fields(section: Section) -> tuple[Field, ...]:
    found: list[Field] = []
    values = section.any("fields")
    if not isinstance(values, dict) or not values:
        section.fault("fields", "a mapping of name to [start, length] is wanted")
        return ()
    end = 0
    for name, place in values.items():
        if not (
            isinstance(place, list) and len(place) == 2 and all(isinstance(n, int) and n > 0 for n in place)
        ):
            section.fault(f"fields.{name}", f"[start from 1, length] is wanted, not {place!r}")
            continue
        if place[0] <= end:
            section.fault(
                f"fields.{name}", f"starts at {place[0]}, inside the field before it, which ends at {end}"
            )
        end = place[0] + place[1] - 1
        found.append(Field(str(name), place[0], place[1]))
    return tuple(found)
