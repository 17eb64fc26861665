"""What a declaration of a partner says, as frozen values; `declaration` reads them from YAML and checks them.

Every instant is UTC; `zone` is an IANA name that local times of a file or a schedule are in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta

from domain.contracts.model import Feed

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Arrival:
    """When files are expected: at `times` of each of `weekdays` (and, where given, `month_days`), in `zone`.

    A file is late once `grace` has passed. Without a schedule (`None` in the declaration) none is ever missing.
    """

    times: tuple[time, ...]
    zone: str = "UTC"
    weekdays: tuple[str, ...] = WEEKDAYS
    month_days: tuple[int, ...] = ()
    grace: timedelta = timedelta(hours=1)


@dataclass(frozen=True)
class Completeness:
    """How one sees that a file is whole; all of what is declared must hold.

    `done`, `checksum` and `manifest` are names of companion files, with `{name}` for the file's whole name and
    `{stem}` for it without its last suffix; `manifest` may be a glob of its own. `trailer` means that the format's
    trailer line must be there and agree. `stable` is same size and time on two looks. Names that end in one of
    `temporary` are never taken (upload, then rename).
    """

    done: str | None = None
    checksum: str | None = None
    algorithm: str = "sha256"
    manifest: str | None = None
    trailer: bool = False
    stable: bool = False
    temporary: tuple[str, ...] = (".part", ".tmp", ".filepart")


@dataclass(frozen=True)
class Trailer:
    """The last line of a file: a regular expression; its group `count`, if any, is the number of data lines."""

    pattern: str


@dataclass(frozen=True)
class Numbers:
    """How numbers are written as text."""

    decimal: str = "."
    thousands: str = ""


@dataclass(frozen=True)
class CsvFormat:
    """Delimited text. Without a header row `names` says what the columns are."""

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    header: bool = True
    names: tuple[str, ...] = ()
    skip_lines: int = 0
    comment: str = ""
    trailer: Trailer | None = None
    final_newline: bool = False
    kind: str = "csv"


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line; a column's source may be a path with dots."""

    comment: str = ""
    skip_lines: int = 0
    trailer: Trailer | None = None
    final_newline: bool = False
    kind: str = "jsonlines"


@dataclass(frozen=True)
class Field:
    """A field of a fixed-width line: `start` from 1, `length` in characters."""

    name: str
    start: int
    length: int


@dataclass(frozen=True)
class FixedWidth:
    """Text in columns of a fixed place. `ragged` takes lines whose trailing blanks were cut."""

    fields: tuple[Field, ...]
    skip_lines: int = 0
    ragged: bool = False
    comment: str = ""
    trailer: Trailer | None = None
    final_newline: bool = False
    kind: str = "fixed_width"


@dataclass(frozen=True)
class Excel:
    """A sheet of an .xlsx workbook: by name, or the first; `skip_lines` rows stand above the header."""

    sheet: str | None = None
    skip_lines: int = 0
    trailer: Trailer | None = None
    kind: str = "excel"


Format = CsvFormat | JsonLines | FixedWidth | Excel


@dataclass(frozen=True)
class LocalTimes:
    """How text becomes an instant: layouts tried in order, and what a time without a zone means.

    A layout is of strptime's letters (%d %m %Y %y %b %B %H %I %M %S %p %z), or `iso`, `epoch_s`, `epoch_ms`. `at` is
    the time of day of a layout that has none. `overlap` (an hour that a zone has twice): `earlier`, `later` or
    `reject`; `gap` (an hour that it skips): `shift` forward by the gap, or `reject`.
    """

    layouts: tuple[str, ...] = ("iso",)
    zone: str | None = None
    at: time | None = None
    overlap: str = "earlier"
    gap: str = "shift"


@dataclass(frozen=True)
class ColumnMap:
    """Where a contract column comes from and how its text is read.

    Exactly one of `sources` (the partner's name first, then its synonyms) and `constant` is given. `time_source`
    names a second column that holds the time of day. `values` maps the partner's words, in lower case, to ours; a
    word that it lacks is refused. `decimal` and `thousands` stand before the declaration's `numbers`. `unit` is the
    partner's; `money` says that a decimal amount is to be read in the minor unit of the row's currency. `nulls` are
    words, `null_patterns` regular expressions that mean nothing. `read_as` (text, number, date, time) is for columns
    that are kept beside the row.
    """

    name: str
    sources: tuple[str, ...] = ()
    time_source: str | None = None
    constant: str | None = None
    required: bool = False
    times: LocalTimes = LocalTimes()
    decimal: str = ""
    thousands: str = ""
    unit: str | None = None
    money: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    nulls: tuple[str, ...] = ()
    null_patterns: tuple[str, ...] = ()
    prefix: str = ""
    case: str = "keep"
    read_as: str = ""


@dataclass(frozen=True)
class Pgp:
    """Whether files must come encrypted or signed, and the names of the keys in the secret store."""

    encrypted: bool = True
    signed: bool = False
    key: str = ""
    signers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """What a file may weigh: as fetched, unpacked, unpacked over packed, and one line; bytes."""

    max_bytes: int = 4 << 30
    max_unpacked_bytes: int = 20 << 30
    max_ratio: float = 200.0
    max_line_bytes: int = 1 << 20


@dataclass(frozen=True)
class Declaration:
    """One partner: one feed, one place, one format, one column map.

    `line_key` names the contract's columns by which a line is the same line in a corrected re-send. `kept` are
    columns that the contract lacks, cleaned and kept in `extras` under our names. `ignored` are columns of the file
    that are known and not wanted; any other one that nothing maps goes to `extras` as it stands. A file with
    more than `max_rejected_share` of its lines refused is held. `late_after` is from when on a row counts as
    recorded late. `after_load` is keep, delete or move (to `move_to`, beside the file).
    """

    name: str
    tenant_id: str
    feed: str
    account: str
    directory: str
    pattern: str
    format: Format
    columns: Mapping[str, ColumnMap]
    line_key: tuple[str, ...]
    doc: str = ""
    arrival: Arrival | None = None
    completeness: Completeness = Completeness()
    encoding: str = "utf-8"
    numbers: Numbers = Numbers()
    kept: Mapping[str, ColumnMap] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    pgp: Pgp | None = None
    limits: Limits = Limits()
    max_rejected_share: float = 0.02
    late_after: timedelta = timedelta(days=7)
    after_load: str = "keep"
    move_to: str = "loaded"
    retention_days: int = 400

    @property
    def contract(self) -> Feed:
        """The feed's contract."""
        from domain.contracts import FEEDS

        return FEEDS[self.feed]
