from __future__ import annotations

import pytest

from domain.driver_hours.minute import whole_minutes
from domain.driver_hours.model import Kind
from tests.unit.driver_hours.line import KINDS


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        pytest.param("D60 R60 D60", "DDD", id="051: a minute between two of driving"),
        pytest.param("D60 R60 R60 D60", "DRRD", id="two are not bridged"),
        pytest.param("D60 R60", "DR", id="the first and last have one neighbour"),
        pytest.param("R31 W29", "R", id="052: the longest"),
        pytest.param("R60 D30 W30 R60", "RWR", id="of equals the latest"),
        pytest.param("R20 D20 R20", "R", id="the longest continuous, not the most"),
        pytest.param("D25 R10 D25", "D", id="even if another has more in all"),
        pytest.param("W15 D20 W14 R11", "D", id="parts do not add up"),
        pytest.param("D29 R31 R60 D29 R31", "RRR", id="29 s of each minute"),
        pytest.param("D60 R60 D30 W30 R60 D60", "DRWRD", id="neighbours as they are before 051"),
        pytest.param("D60 R60 D60 R60 D60", "DDDDD", id="each gap alone"),
        pytest.param("D50 R5 D5", "D", id="in the minute itself"),
        pytest.param("D30 D30 R60", "DR", id="touching runs of a kind are one"),
        pytest.param("D90", "DD", id="the last may be incomplete"),
        pytest.param("D0 R60", "R", id="an empty run is none"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_minutes(runs: str, expected: str) -> None:
    read = [(KINDS[run[0]], int(run[1:])) for run in runs.split()]
    assert whole_minutes(read) == [KINDS[letter] for letter in expected]


def test_the_neighbours_are_not_those_that_051_made() -> None:
    """Were the second minute driving for the third's sake, everything between would become driving."""
    runs = [(Kind.DRIVING, 60), (Kind.REST, 60), (Kind.DRIVING, 60), (Kind.REST, 60), (Kind.REST, 60)]
    assert whole_minutes(runs)[3:] == [Kind.REST, Kind.REST]
