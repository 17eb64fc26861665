"""The `columns` section of a declaration, held against the contract of its feed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from zoneinfo import available_timezones

from domain.contracts.model import Choice, Column, Feed, Float, Integer, Text, Timestamp
from ingestion.partners.declare.model import ColumnMap, CsvFormat, Declaration, FixedWidth, LocalTimes
from ingestion.partners.declare.names import plain_name, split_unit
from ingestion.partners.declare.units import FACTORS
from ingestion.partners.rows.layouts import NAMED, Layout, LayoutError
from ingestion.section import Section

OURS = ("tenant_id", "event_id", "schema_version", "partner", "source_line")
"""The columns that a partner's file never fills: the declaration and the file's place do."""


def read_columns(section: Section, feed: Feed) -> dict[str, ColumnMap]:
    """Return the column maps in the contract's order."""
    found: dict[str, ColumnMap] = {}
    for name in section.names():
        if name in OURS or name not in feed.names:
            open_to = [column for column in feed.names if column not in OURS]
            section.fault(name, f"is not a column of {feed.name} that a file fills: {', '.join(open_to)}")
            continue
        found[name] = _column(section.section(name), feed.column(name))
    return {name: found[name] for name in feed.names if name in found}


def _column(section: Section, column: Column) -> ColumnMap:
    source = section.optional_text("source")
    synonyms = section.texts("synonyms")
    constant = section.optional_text("constant")
    if (source is None) == (constant is None):
        section.fault("source", "exactly one of source and constant is wanted")
    if synonyms and source is None:
        section.fault("synonyms", "are of a source; there is none")
    found = ColumnMap(
        name=column.name,
        sources=(source, *synonyms) if source is not None else (),
        time_source=section.optional_text("time_source"),
        constant=constant,
        required=section.flag("required", not column.nullable and column.name != "recorded_at"),
        times=_times(section),
        decimal=section.text("decimal", "", among=("", ".", ",")),
        thousands=section.text("thousands", ""),
        unit=section.optional_text("unit"),
        money=section.flag("money"),
        values={fold(word): ours for word, ours in _values(section).items()},
        nulls=section.texts("nulls"),
        null_patterns=section.texts("null_patterns"),
        prefix=section.text("prefix", ""),
        case=section.text("case", "keep", among=("keep", "upper", "lower")),
    )
    for fault in (*_type_faults(found, column), *_pattern_faults(found)):
        section.fault(*fault)
    section.close()
    return found


def read_kept(section: Section) -> dict[str, ColumnMap]:
    """Return the columns that are kept beside a row, cleaned, under names of ours."""
    found: dict[str, ColumnMap] = {}
    for name in section.names():
        one = section.section(name)
        source = one.text("source")
        read_as = one.text("read_as", "text", among=("text", "number", "date", "time"))
        found[name] = ColumnMap(
            name=name,
            sources=(source, *one.texts("synonyms")),
            times=_times(one),
            decimal=one.text("decimal", "", among=("", ".", ",")),
            thousands=one.text("thousands", ""),
            nulls=one.texts("nulls"),
            null_patterns=one.texts("null_patterns"),
            read_as=read_as,
        )
        for key, words in _pattern_faults(found[name]):
            one.fault(key, words)
        if read_as == "time":
            for key, words in _time_faults(found[name].times):
                one.fault(key, words)
        one.close()
    return found


def fold(word: str) -> str:
    """Return a word of a vocabulary as it is compared: trimmed, lower case."""
    return word.strip().lower()


def _times(section: Section) -> LocalTimes:
    at = section.optional_text("at")
    zone = section.optional_text("zone")
    if zone is not None and zone not in available_timezones():
        section.fault("zone", f"{zone!r} is no IANA time zone such as Europe/Berlin")
        zone = None
    found = LocalTimes(
        layouts=section.texts("layouts") or LocalTimes.layouts,
        zone=zone,
        at=section.time("at", at) if at is not None else None,
        overlap=section.text("overlap", "earlier", among=("earlier", "later", "reject")),
        gap=section.text("gap", "shift", among=("shift", "reject")),
    )
    for layout in found.layouts:
        try:
            Layout(layout)
        except LayoutError as fault:
            section.fault("layouts", str(fault))
    return found


def _values(section: Section) -> Mapping[str, str]:
    values = section.any("values") or {}
    if not isinstance(values, dict) or any(
        isinstance(w, bool | type(None)) for pair in values.items() for w in pair
    ):
        section.fault("values", "a mapping of the partner's words to ours is wanted (quote yes, no, null)")
        return {}
    return {str(word): str(ours) for word, ours in values.items()}


def _type_faults(found: ColumnMap, column: Column) -> Iterator[tuple[str, str]]:
    match column.type:
        case Choice(words):
            if strange := sorted(set(found.values.values()) - set(words)):
                yield "values", f"{', '.join(strange)}: ours are {', '.join(words)}"
            if found.constant is not None and found.constant not in words:
                yield "constant", f"{found.constant!r}: ours are {', '.join(words)}"
        case Float() | Integer():
            yield from _number_faults(found, column)
        case Timestamp():
            if found.constant is not None:
                yield "constant", "no instant is the same in every line"
            yield from _time_faults(found.times)
    if found.time_source is not None and not isinstance(column.type, Timestamp):
        yield "time_source", "belongs to times"
    if (found.prefix or found.case != "keep") and not isinstance(column.type, Text):
        yield "prefix" if found.prefix else "case", "belongs to texts"


def _number_faults(found: ColumnMap, column: Column) -> Iterator[tuple[str, str]]:
    if found.money != column.name.endswith("_minor"):
        yield "money", f"belongs to amounts in minor units, and {column.name} is {column.unit or 'a number'}"
    if found.unit is not None and (found.unit, column.unit) not in FACTORS and found.unit != column.unit:
        known = ", ".join(sorted(one for one, other in FACTORS if other == column.unit))
        yield "unit", f"{found.unit!r} is not read as {column.unit or 'a number'}; {known or 'no unit'} is"


def _time_faults(times: LocalTimes) -> Iterator[tuple[str, str]]:
    layouts = [layout for text in times.layouts if (layout := _layout(text)) is not None]
    if times.zone is None and any(not layout.has_zone and layout.text not in NAMED for layout in layouts):
        yield "zone", "is missing: what the times of a layout without %z are in (UTC, Europe/Berlin, ...)"
    if times.at is None and any(not layout.has_time for layout in layouts):
        yield "at", 'is missing: the time of day of a layout that has none, such as "12:00"'


def _layout(text: str) -> Layout | None:
    """Return a layout that can be read; another one is a fault of its own."""
    try:
        return Layout(text)
    except LayoutError:
        return None


def _pattern_faults(found: ColumnMap) -> Iterator[tuple[str, str]]:
    for pattern in found.null_patterns:
        try:
            re.compile(pattern)
        except re.error as fault:
            yield "null_patterns", f"{pattern!r} is no regular expression: {fault}"


def check_columns(declaration: Declaration, top: Section) -> None:
    """Note what is wrong with the columns taken together."""
    feed, columns = declaration.contract, declaration.columns
    for column in feed:
        if not column.nullable and column.name not in (*OURS, "recorded_at") and column.name not in columns:
            top.fault("columns", f"{column.name} is missing, and {feed.name} needs it")
    for one, other in feed.together:
        if (one in columns) != (other in columns):
            top.fault("columns", f"{one} and {other} stand together, or neither does")
    _check_key(declaration, top)
    _check_sources(declaration, top)


def _check_key(declaration: Declaration, top: Section) -> None:
    feed, columns = declaration.contract, declaration.columns
    if not declaration.line_key:
        top.fault(
            "line_key", "is missing: the columns by which a line is the same line in a corrected re-send"
        )
    fit = [n for n in columns if n != "recorded_at" and (not feed.column(n).nullable or columns[n].required)]
    for name in declaration.line_key:
        if name not in fit:
            words = f"must be a mapped column that is never null, or is declared required: {', '.join(fit)}"
            top.fault("line_key", f"{name!r} {words}")
    if feed.stream is not None and declaration.line_key and feed.entity_key not in declaration.line_key:
        # The marts keep an event under its entity: a correction that moved it would leave the old one standing.
        top.fault(
            "line_key",
            f"must hold {feed.entity_key}: a line that is corrected stays with its {feed.entity_key}",
        )
    if declaration.line_key and all(n in columns and columns[n].constant for n in declaration.line_key):
        top.fault("line_key", "holds constants only: every line would be the same line")


def _check_sources(declaration: Declaration, top: Section) -> None:
    known: list[str] | None = None
    match declaration.format:
        case FixedWidth(fields=fields):
            known = [field.name for field in fields]
        case CsvFormat(header=False, names=names):
            known = list(names)
    ignored = {plain_name(name) for name in declaration.ignored}
    for name, column in declaration.columns.items():
        for source in (*column.sources, *filter(None, [column.time_source])):
            if known is not None and source not in known:
                top.fault(f"columns.{name}", f"{source!r} is none of the file's columns: {', '.join(known)}")
            if plain_name(source) in ignored:
                top.fault("ignored", f"{source!r} is mapped to {name}")
            unit = split_unit(source)[1]
            declared = column.unit or declaration.contract.column(name).unit
            if unit and declared and unit != declared:
                top.fault(f"columns.{name}", f"{source!r} says {unit}, and unit says {declared}")
