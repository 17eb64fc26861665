"""The SQL in the pages of alerts is understood by a migrated warehouse, as the role that the pages use."""

from __future__ import annotations

import re

import psycopg
import pytest

from fleetflow.settings import PROJECT_ROOT

PAGES = sorted((PROJECT_ROOT / "docs" / "runbooks").glob("alert_*.md"))
STATEMENTS = [
    (page.stem, statement.strip().removesuffix(";"))
    for page in PAGES
    for span in re.findall(r"`((?:select|update|delete)\s[^`]+;)`", page.read_text(encoding="utf-8"))
    for statement in span.split("; ")
]


def test_the_pages_have_statements_to_try() -> None:
    assert len(STATEMENTS) > 50


@pytest.mark.parametrize(
    ("page", "statement"), STATEMENTS, ids=[f"{p}-{n}" for n, (p, _) in enumerate(STATEMENTS)]
)
def test_a_statement_can_be_planned(warehouse: str, page: str, statement: str) -> None:
    """Planned, not run: names and types are checked, and nothing is ended, dropped or changed."""
    plain = re.sub(r"'<[a-z_]+>'", "null", statement)
    plain = re.sub(r"<[a-z_]+>", "1", plain)
    with psycopg.connect(warehouse) as conn:
        if (
            plain.startswith("select")
            and "ops.create_landing_day" not in plain
            and "keep_landing" not in plain
        ):
            conn.execute("set role fleet_ops")
        conn.execute(f"explain {plain}".encode())
        conn.rollback()
