"""What every reader of a format gives: blocks of text columns with the place of each row, and the lines it refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from domain.contracts.model import Rule
from ingestion.partners.faults import Cause, FileFault

Int64s = npt.NDArray[np.int64]
RAW_BYTES = 64 << 10
"""How much of a refused line is kept."""
MAX_COLUMNS = 512


@dataclass(frozen=True)
class LineRefusal:
    """A line that is not taken: where it starts (from 1), which rule, in words, and its bytes, decoded to UTF-8."""

    line: int
    rule: Rule
    detail: str
    raw: bytes


@dataclass(frozen=True)
class Block:
    """Rows as text, one string array per name; `lines` are their places, `raw` gives a row's own bytes."""

    names: Sequence[str]
    columns: Sequence[pa.Array]
    lines: Int64s
    raw: Callable[[int], bytes]
    refused: Sequence[LineRefusal] = field(default_factory=tuple)

    @property
    def rows(self) -> int:
        """Rows that are whole; refused lines are not among them."""
        return len(self.lines)


def require_columns(count: int) -> None:
    """Refuse a file of too many columns: each is worked on in every block.

    Raises:
        FileFault: there are more than `MAX_COLUMNS`.
    """
    if count > MAX_COLUMNS:
        raise FileFault(Cause.TOO_LARGE, f"the file has {count} columns, and at most {MAX_COLUMNS} are read")


class Reader(Protocol):
    """Reads a file once, from its start."""

    def blocks(self) -> Iterator[Block]:
        """Give the file block by block.

        Raises:
            FileFault: the file as a whole cannot be read.
        """
        ...
