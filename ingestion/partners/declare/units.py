"""Units of measure: how a partner's are read as the contract's, and how they are written in a header."""

from __future__ import annotations

FACTORS: dict[tuple[str, str], float] = {
    ("ml", "l"): 0.001,
    ("gal", "l"): 3.785411784,
    ("gal_uk", "l"): 4.54609,
    ("m", "km"): 0.001,
    ("mi", "km"): 1.609344,
    ("min", "h"): 1 / 60,
    ("s", "h"): 1 / 3600,
    ("lb", "kg"): 0.45359237,
    ("t", "kg"): 1000.0,
    ("g", "kg"): 0.001,
    ("rad", "deg"): 57.29577951308232,
}
"""What one of the first is in the second; `gal` is the US gallon."""

WRITTEN: dict[str, str] = {
    "l": "l", "ltr": "l", "litre": "l", "litres": "l", "liter": "l", "liters": "l",
    "gal": "gal", "gals": "gal", "gallon": "gal", "gallons": "gal", "us gal": "gal", "usg": "gal",
    "uk gal": "gal_uk", "imp gal": "gal_uk", "ml": "ml",
    "km": "km", "kms": "km", "kilometer": "km", "kilometers": "km", "kilometre": "km", "kilometres": "km",
    "mi": "mi", "mile": "mi", "miles": "mi",
    "h": "h", "hr": "h", "hrs": "h", "hours": "h", "min": "min", "mins": "min", "minutes": "min",
    "kg": "kg", "kgs": "kg", "kilogram": "kg", "kilograms": "kg",
    "lb": "lb", "lbs": "lb", "pound": "lb", "pounds": "lb", "g": "g", "deg": "deg", "rad": "rad",
}  # fmt: skip
"""How units are written in a header, in lower case, and which they are."""

CURRENCIES = frozenset({"usd", "eur", "gbp", "chf", "pln", "czk", "sek", "nok", "dkk", "cad", "jpy"})
"""Currencies that stand in headers as units do."""

MINOR_DIGITS: dict[str, int] = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI"), 0),
    **dict.fromkeys(("VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
"""Digits of the minor unit by ISO 4217, where they are not 2."""
