"""The analyst's guide as data: its statements by id, and how one is run as the analyst whom the guide speaks to.

A statement is a fenced block that begins with ```sql id=<subject>.<name>. Each subject has its own test beside this.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from fleetflow.runtime import connect
from fleetflow.settings import PROJECT_ROOT, Settings

PAGE = PROJECT_ROOT / "docs" / "analyst-guide.md"
_BLOCK = re.compile(r"^```sql id=(?P<id>[\w.]+)\n(?P<sql>.*?)^```$", re.MULTILINE | re.DOTALL)


def statements(subject: str | None = None) -> list[tuple[str, str]]:
    """Return id and SQL of the guide's questions, of one subject or of all, in the order of the page."""
    found = [(block["id"], block["sql"]) for block in _BLOCK.finditer(PAGE.read_text())]
    return [pair for pair in found if subject is None or pair[0].split(".")[0] == subject]


def answer(settings: Settings, statement: str, tenant: str, **session: str) -> list[tuple[Any, ...]]:
    """Run a statement as an analyst of a tenant; numerics come as floats, so that they compare with Python's."""
    with connect(settings.dsn("analyst"), autocommit=True) as conn:
        for name, value in {"tenant": tenant, **session}.items():
            conn.execute("select set_config(%s, %s, false)", (f"fleetflow.{name}", value))
        rows = conn.execute(statement.encode()).fetchall()
    return [tuple(float(cell) if isinstance(cell, Decimal) else cell for cell in row) for row in rows]
