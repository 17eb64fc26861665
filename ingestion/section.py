"""A mapping of a YAML file, read key by key; every fault is noted with its place, and reading goes on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import time, timedelta
from typing import Any

_SPAN = re.compile(r"(\d+)\s*(s|min|h|d)")
_SPANS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days"}
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)")
_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


class Section:
    """One mapping and where it stands. Ask for each known key, then `close`: what is left is unknown."""

    def __init__(self, values: Any, place: str, faults: list[str]) -> None:
        self.place = place
        self.faults = faults
        self._asked: list[str] = []
        if values is None:
            values = {}
        if not isinstance(values, Mapping):
            self.fault("", f"a mapping is wanted, not {values!r}")
            values = {}
        self._values = {str(key): value for key, value in values.items()}

    def fault(self, key: str, words: str) -> None:
        """Note a fault of a key."""
        place = ".".join(part for part in (self.place, key) if part)
        self.faults.append(f"{place}: {words}" if place else words)

    def has(self, key: str) -> bool:
        """Tell whether the key is there."""
        return self._values.get(key) is not None

    def any(self, key: str) -> Any:
        """Return a value as YAML gave it, or None."""
        self._asked.append(key)
        return self._values.get(key)

    def text(self, key: str, default: str | None = None, *, among: Sequence[str] = ()) -> str:
        """Return a text; without a default the key is required."""
        value = self.any(key)
        if value is None:
            if default is None:
                self.fault(key, "is missing")
            return default or ""
        if isinstance(value, bool | Mapping | list):
            hint = " (words like yes, no and off need quotes)" if isinstance(value, bool) else ""
            self.fault(key, f"a text is wanted, not {value!r}{hint}")
            return default or ""
        if among and str(value) not in among:
            self.fault(key, f"{value!r} is none of {', '.join(among)}")
        return str(value)

    def optional_text(self, key: str) -> str | None:
        """Return a text, or None where the key is not there."""
        return self.text(key) if self.has(key) else self.any(key)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; one text alone is a list of one."""
        value = self.any(key)
        if value is None:
            return ()
        found = value if isinstance(value, list) else [value]
        if any(isinstance(item, bool | Mapping | list) or item is None for item in found):
            self.fault(key, f"a list of texts is wanted, not {value!r} (quote words like yes, no, null)")
            return ()
        return tuple(str(item) for item in found)

    def flag(self, key: str, default: bool = False) -> bool:
        """Return true or false."""
        value = self.any(key)
        if value is not None and not isinstance(value, bool):
            self.fault(key, f"true or false is wanted, not {value!r}")
            return default
        return default if value is None else value

    def number(self, key: str, default: float, *, low: float = 0, high: float = float("inf")) -> float:
        """Return a number of a range."""
        value = self.any(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.fault(key, f"a number from {low:g} to {high:g} is wanted, not {value!r}")
            return default
        return float(value)

    def whole(self, key: str, default: int, *, low: int = 0) -> int:
        """Return a whole number."""
        value = self.number(key, default, low=low)
        if value != int(value):
            self.fault(key, f"a whole number is wanted, not {value!r}")
        return int(value)

    def span(self, key: str, default: timedelta) -> timedelta:
        """Return a span of time, written `90 s`, `30 min`, `6 h`, `7 d`."""
        value = self.any(key)
        if value is None:
            return default
        match = _SPAN.fullmatch(str(value).strip())
        if match is None:
            self.fault(key, f"a span such as 90 s, 30 min, 6 h or 7 d is wanted, not {value!r}")
            return default
        return timedelta(**{_SPANS[match[2]]: int(match[1])})

    def size(self, key: str, default: int) -> int:
        """Return bytes, written `512 KiB`, `20 MiB`, `4 GiB`."""
        value = self.any(key)
        if value is None:
            return default
        match = _SIZE.fullmatch(str(value).strip())
        if match is None or int(match[1]) == 0:
            self.fault(key, f"a size such as 512 KiB, 20 MiB or 4 GiB is wanted, not {value!r}")
            return default
        return int(match[1]) * _SIZES[match[2]]

    def time(self, key: str, value: Any) -> time | None:
        """Return a time of day, written as in "04:00"."""
        match = _TIME.fullmatch(str(value))
        if match is None:
            self.fault(key, f'a quoted time of day such as "04:00" is wanted, not {value!r}')
            return None
        hour, minute, second = (int(part or 0) for part in match.groups())
        return time(hour, minute, second)

    def section(self, key: str) -> Section:
        """Return a mapping within."""
        return Section(self.any(key), ".".join(filter(None, (self.place, key))), self.faults)

    def names(self) -> tuple[str, ...]:
        """Return all keys; each is taken as known."""
        self._asked.extend(self._values)
        return tuple(self._values)

    def close(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._values:
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked, 1)
                self.fault(
                    key,
                    "is no key"
                    + (f"; {near[0]} is meant?" if near else f" (there are {', '.join(self._asked)})"),
                )
