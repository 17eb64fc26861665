"""The analyst's guide: its questions have ids of their own, and each subject has a test that runs them."""

from __future__ import annotations

import re

from fleetflow.settings import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "analyst-guide.md"


def test_every_question_is_run_by_a_test() -> None:
    page = PAGE.read_text()
    ids = re.findall(r"^```sql id=([\w.]+)$", page, re.MULTILINE)
    assert len(ids) >= 20
    assert len(set(ids)) == len(ids)
    assert len(re.findall(r"^### \d+\. .*", page, re.MULTILINE)) == len(ids)
    for subject in {identifier.split(".")[0] for identifier in ids}:
        assert (PROJECT_ROOT / "tests" / "integration" / f"test_guide_{subject}.py").exists(), subject
