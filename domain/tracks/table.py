"""Tables as columns: a frozen dataclass of numpy arrays of one length. No rows as objects anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


# A column's type is what its annotation says.
DTYPES: dict[Any, Any] = {"Ints": np.int64, "Floats": np.float64, "Flags": np.bool_}


@dataclass(frozen=True)
class Table:
    """Columns of equal length; subclasses declare them as `Ints`, `Floats` (NaN is unknown) or `Flags`.

    Raises:
        ValueError: a column is not one-dimensional, or of another length than the first.
    """

    def __post_init__(self) -> None:
        """Give every column its declared type."""
        size = None
        for column in fields(self):
            values = np.asarray(getattr(self, column.name), dtype=DTYPES[column.type])
            size = len(values) if size is None and values.ndim == 1 else size
            if values.ndim != 1 or len(values) != size:
                raise ValueError(
                    f"{type(self).__name__}.{column.name}: {values.shape}, expected ({size},) like the first column"
                )
            object.__setattr__(self, column.name, values)

    def __len__(self) -> int:
        """The number of rows."""
        return len(getattr(self, fields(self)[0].name))

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns by name, in their declared order."""
        return {column.name: getattr(self, column.name) for column in fields(self)}

    def take(self, at: npt.NDArray[Any]) -> Self:
        """Return the rows at these positions, or where this mask holds; the table itself if that is all of them."""
        rows = np.flatnonzero(at) if at.dtype == np.bool_ else at
        if len(rows) == len(self) and np.array_equal(rows, np.arange(len(self))):
            return self
        return type(self)(**{name: values.take(rows) for name, values in self.columns().items()})

    def with_columns(self, **changed: npt.NDArray[Any]) -> Self:
        """Return the table with some columns replaced."""
        return type(self)(**{**self.columns(), **changed})

    @classmethod
    def empty(cls) -> Self:
        """Return a table without rows."""
        return cls(**{column.name: np.empty(0, DTYPES[column.type]) for column in fields(cls)})

    @classmethod
    def concat(cls, tables: Sequence[Self]) -> Self:
        """Return the rows of all tables, one table after the other."""
        full = [table for table in tables if len(table)]
        if len(full) < 2:
            return full[0] if full else cls.empty()
        return cls(
            **{
                column.name: np.concatenate([getattr(table, column.name) for table in full])
                for column in fields(cls)
            }
        )


def starts_of(*keys: npt.NDArray[Any]) -> Ints:
    """Return where a new group begins: the first row, and each whose keys differ from the row before."""
    size = len(keys[0])
    if not size:
        return np.empty(0, np.int64)
    differs = np.zeros(size, np.bool_)
    differs[0] = True
    for key in keys:
        differs[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(differs)


def sizes_of(starts: Ints, size: int) -> Ints:
    """Return the length of each group that begins at `starts` in `size` rows."""
    return np.diff(np.append(starts, size))
