"""Names of columns as partners write them: how two are compared, and the unit that a header may hold."""

from __future__ import annotations

import re

from ingestion.partners.declare.units import CURRENCIES, WRITTEN

_BLANKS = re.compile(r"[\s_\-]+")
_BRACKETED = re.compile(r"^(?P<base>.*\S)\s*[(\[](?P<unit>[^()\[\]]+)[)\]]\s*$")
_SUFFIXED = re.compile(r"^(?P<base>.*?\S)(?: in |_|\s)(?P<unit>[A-Za-z]+)\s*$")


def plain_name(name: str) -> str:
    """Return a name as it is compared: case, blanks, underscores and hyphens do not matter."""
    return _BLANKS.sub(" ", name.strip()).strip().lower()


def split_unit(name: str) -> tuple[str, str | None]:
    """Return a header's plain name without its unit, and the unit: `Volume (gal)` is `volume` in `gal`.

    A unit stands in brackets, or behind an underscore, a blank or `in`. What is no unit stays in the name.
    """
    for pattern in (_BRACKETED, _SUFFIXED):
        match = pattern.match(name.strip())
        if match is None:
            continue
        word = plain_name(match["unit"])
        if word in WRITTEN:
            return plain_name(match["base"]), WRITTEN[word]
        if word in CURRENCIES and pattern is _BRACKETED:
            return plain_name(match["base"]), word.upper()
    return plain_name(name), None
