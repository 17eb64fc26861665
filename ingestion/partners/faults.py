"""Why a whole file is not loaded: refused, which no decision can change, or held, which a person may decide.

Refused: the bytes cannot be loaded as they are (damaged, wrong key, wrong checksum, a bomb); the partner sends again.
Held: it can be read, but does not say what was agreed. Either a person approves it as it is (`approvable`), or the
declaration is changed first, and the next try takes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingestion.partners.schema import ObservedSchema, SchemaDiff


class Cause(StrEnum):
    """What is wrong with a file; the closed vocabulary of `FileFault.cause`."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    TOO_LARGE = "too_large"
    LONG_LINE = "long_line"
    BOMB = "bomb"
    BAD_MEMBERS = "bad_members"
    BAD_NAME = "bad_name"
    WRONG_KEY = "wrong_key"
    BAD_SIGNATURE = "bad_signature"
    CHECKSUM = "checksum"
    MANIFEST = "manifest"
    TRAILER = "trailer"
    DUPLICATE_HEADER = "duplicate_header"
    NOT_ENCRYPTED = "not_encrypted"
    ENCODING = "encoding"
    MISSING_COLUMN = "missing_column"
    CHANGED_MEANING = "changed_meaning"
    SHIFTED_COLUMNS = "shifted_columns"
    AMBIGUOUS_COLUMN = "ambiguous_column"
    REJECTED_SHARE = "rejected_share"


HELD: Mapping[Cause, bool] = {
    Cause.NOT_ENCRYPTED: True,
    Cause.ENCODING: True,
    Cause.MISSING_COLUMN: False,
    Cause.CHANGED_MEANING: True,
    Cause.SHIFTED_COLUMNS: True,
    Cause.AMBIGUOUS_COLUMN: True,
    Cause.REJECTED_SHARE: True,
}
"""The causes that hold a file, and whether a person may approve it as it is; every other cause refuses it."""


class FileFault(ValueError):
    """A file is refused or held as a whole; nothing of it may land.

    `words` name the difference, both sides and what to do. `schema` and `diff` are what was seen, where reading came
    that far; `lines` and `rejected` likewise.
    """

    def __init__(
        self,
        cause: Cause,
        words: str,
        *,
        schema: ObservedSchema | None = None,
        diff: SchemaDiff | None = None,
        lines: int | None = None,
        rejected: int | None = None,
    ) -> None:
        super().__init__(words)
        self.cause = cause
        self.words = words
        self.schema = schema
        self.diff = diff
        self.lines = lines
        self.rejected = rejected

    @property
    def kind(self) -> str:
        """`held` or `refused`."""
        return "held" if self.cause in HELD else "refused"

    @property
    def approvable(self) -> bool:
        """Whether reading the same file again with `approved` may go through."""
        return HELD.get(self.cause, False)
