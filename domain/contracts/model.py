"""What a feed is: its columns, key, event time and row rules. Every other description of a feed derives from it.

Asserted on construction: names are unique, key and event time are columns, ranges stand only on numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class ContractError(ValueError):
    """A feed is declared in a way that contradicts itself."""


@dataclass(frozen=True)
class Text:
    """UTF-8 text of 1 to max_length characters."""

    max_length: int = 64


@dataclass(frozen=True)
class Integer:
    """A signed whole number of 16, 32 or 64 bits."""

    bits: int = 64


@dataclass(frozen=True)
class Float:
    """A 64-bit number; NaN and infinities are not values."""


@dataclass(frozen=True)
class Decimal:
    """An exact number of `precision` digits, `scale` of them behind the point."""

    precision: int
    scale: int


@dataclass(frozen=True)
class Boolean:
    """True or false."""


@dataclass(frozen=True)
class Timestamp:
    """An instant in UTC, to the microsecond."""


@dataclass(frozen=True)
class Date:
    """A calendar day."""


@dataclass(frozen=True)
class Choice:
    """One of a closed set of words."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class Binary:
    """Up to max_length bytes, as they are; base64 (RFC 4648) on the wire."""

    max_length: int


Type = Text | Integer | Float | Decimal | Boolean | Timestamp | Date | Choice | Binary


class Rule(StrEnum):
    """Why a row was refused; the closed vocabulary of `ops.rejected.rule`."""

    MALFORMED_JSON = "malformed_json"
    INVALID_UTF8 = "invalid_utf8"
    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_FEED = "unknown_feed"
    UNSUPPORTED_VERSION = "unsupported_version"
    MISSING_REQUIRED = "missing_required"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    UNKNOWN_VALUE = "unknown_value"
    TOO_LONG = "too_long"
    OVERSIZED = "oversized"
    TIMESTAMP_WITHOUT_ZONE = "timestamp_without_zone"
    TIME_TOO_OLD = "time_too_old"
    TIME_IN_FUTURE = "time_in_future"
    POSITION_INCOMPLETE = "position_incomplete"
    CORRUPT_RECORD = "corrupt_record"
    WRONG_SHAPE = "wrong_shape"


@dataclass(frozen=True)
class Column:
    """One column: type, meaning, and the row rules that it carries itself."""

    name: str
    type: Type
    doc: str
    nullable: bool = False
    unit: str | None = None
    between: tuple[float | None, float | None] | None = None
    pii: bool = False

    def __post_init__(self) -> None:
        """Refuse a range on what has no order of numbers."""
        if self.between and not isinstance(self.type, Integer | Float | Decimal):
            raise ContractError(f"{self.name}: a range needs a number, not {type(self.type).__name__}")


@dataclass(frozen=True)
class Feed:
    """One feed, or one entity of the order database.

    `version` is the major version: a reader takes every version up to it. `together` lists columns that are
    either all present or all absent. `mirrored` columns of an entity are those that CDC copies. An event comes on a
    `stream` or, `partner`, only in partners' files; both land.
    """

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    event_time: str
    entity_key: str
    version: int = 1
    minor: int = 0
    stream: str | None = None
    partner: bool = False
    together: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Refuse a feed that contradicts itself."""
        names = [column.name for column in self.columns]
        if len(names) != len(set(names)):
            raise ContractError(f"{self.name}: a column is declared twice")
        wanted = {*self.key, self.event_time, self.entity_key, *(n for pair in self.together for n in pair)}
        if missing := sorted(wanted - set(names)):
            raise ContractError(f"{self.name}: {', '.join(missing)} are not columns")

    def __iter__(self) -> Iterator[Column]:
        """Iterate over the columns, in their order on disk."""
        return iter(self.columns)

    def column(self, name: str) -> Column:
        """Return a column by its name."""
        return next(column for column in self.columns if column.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in order."""
        return tuple(column.name for column in self.columns)

    @property
    def lands(self) -> bool:
        """Whether its rows go to a landing table; an entity's go to a mirror."""
        return self.stream is not None or self.partner

    @property
    def mirrored(self) -> tuple[Column, ...]:
        """The columns without personal data."""
        return tuple(column for column in self.columns if not column.pii)


def envelope(*columns: Column) -> tuple[Column, ...]:
    """Return the columns that every event carries, followed by a feed's own."""
    return (
        Column("tenant_id", Text(), "The carrier whose data this is"),
        Column("event_id", Text(), "Assigned by the sender; the key by which repeats are found"),
        Column("recorded_at", Timestamp(), "When the sender sent it"),
        Column(
            "schema_version",
            Integer(16),
            "Major version of the contract that the sender wrote",
            between=(1, None),
        ),
        *columns,
    )
