"""The shared example vectors: the regulation's own boundaries, as agreed outside this project."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.driver_hours.cases import evaluate_case
from tests.e2e.commands import shared_data

FILES = {
    "eu": shared_data("eu561/example_vectors.json"),
    "us": shared_data("eu561/example_vectors_us.json"),
}
VECTORS = [
    pytest.param(rules, case, id=case["id"])
    for rules, file in FILES.items()
    if file is not None
    for case in json.loads(file.read_text(encoding="utf-8"))
]


@pytest.mark.skipif(
    not VECTORS, reason="the driver-hours example vectors are not beside the project (FLEETFLOW_SHARED)"
)
@pytest.mark.parametrize(("rules", "case"), VECTORS)
def test_example_vector(rules: str, case: dict[str, Any]) -> None:
    answer = evaluate_case(case, rules)
    assert answer["id"] == case["id"]
    assert answer["findings"] == case["expect"]
