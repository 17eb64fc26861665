"""Names that come from outside: which are safe to use as a file's name, and how the others are shown.

A name is a partner's word. It becomes part of paths, object keys, database rows and alerts, so what is not plainly
a file's name in one directory is refused before anything is done with it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from fnmatch import fnmatchcase

MAX_NAME_BYTES = 200
_SHOWN = 200
_ESCAPE = re.compile(r"<U\+[0-9A-F]{4,6}>")
# Control, format (the marks that turn the reading direction are), surrogate, private, unassigned, line separators.
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def read_name(raw: bytes) -> tuple[str, str | None]:
    """Return a name as it can be stored and shown, and why it is unsafe, or None for one that is safe."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        return show_name(raw.decode("utf-8", "replace")), "the name is not UTF-8"
    fault = find_fault(name)
    return (name, None) if fault is None else (show_name(name), fault)


def find_fault(name: str) -> str | None:
    """Return in words why a name is not a safe one, None if it is."""
    if name in ("", ".", ".."):
        return "the name is empty or dots only"
    if "/" in name or "\\" in name:
        return "the name leads to another directory: it holds / or \\"
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        return f"the name is longer than {MAX_NAME_BYTES} bytes"
    if any(unicodedata.category(char) in _UNPRINTABLE for char in name):
        return "the name holds control or invisible characters"
    if name != name.strip():
        return "the name begins or ends with a blank"
    return None


def show_name(name: str) -> str:
    """Return a name with every odd character as `<U+XXXX>`, cut in its middle to what a table and an alert can hold."""
    shown = "".join(char if _is_plain(char) else f"<U+{ord(char):04X}>" for char in name)
    if len(shown) <= _SHOWN:
        return shown
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    half = (_SHOWN - len(mark) - 6) // 2
    return f"{shown[:half]}...{mark}...{shown[-half:]}"


def matches(name: str, pattern: str) -> bool:
    """Return whether a name is one that the pattern asks for; of an unsafe or shown one, what it ends in is held to it.

    Upper and lower case differ; a leading dot is matched by a dot only, as a shell does.
    """
    last = name.replace("\\", "/").rpartition("/")[2] if find_fault(name) else name
    plain = "".join(filter(_is_plain, _ESCAPE.sub("", last))).strip()
    if plain.startswith(".") and not pattern.startswith("."):
        return False
    return fnmatchcase(last, pattern) or fnmatchcase(plain, pattern)


def _is_plain(char: str) -> bool:
    return unicodedata.category(char) not in _UNPRINTABLE
