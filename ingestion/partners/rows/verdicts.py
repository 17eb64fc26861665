"""Which rows of a block are refused, and why: the first rule that a row breaks counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from domain.contracts.model import Rule

Bools = npt.NDArray[np.bool_]


class Verdicts:
    """The verdict on each row of a block."""

    def __init__(self, rows: int) -> None:
        self.fine: Bools = np.ones(rows, dtype=np.bool_)
        self.refused: dict[int, tuple[Rule, str]] = {}

    def refuse(self, rows: Bools, rule: Rule, describe: Callable[[int], str]) -> None:
        """Refuse rows that were fine so far; `describe` is asked for those alone."""
        for i in np.flatnonzero(rows & self.fine).tolist():
            self.refused[i] = (rule, describe(i))
            self.fine[i] = False


def bools(mask: pa.Array) -> Bools:
    """Return an Arrow mask as numpy; null counts as false."""
    filled = pc.fill_null(mask, False) if mask.null_count else mask
    found: Bools = np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.bool_)
    return found
