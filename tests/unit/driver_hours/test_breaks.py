from __future__ import annotations

import pytest

from domain.driver_hours import Rule
from tests.unit.driver_hours.line import MONDAY, of, short


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param("D270 R660", [], id="4h30 is legal"),
        pytest.param("D271 R660", [(270, 271, 270, "MI")], id="one minute over"),
        pytest.param("D299 R660", [(270, 299, 270, "MI")], id="4h59 is minor"),
        pytest.param("D300 R660", [(270, 300, 270, "SI")], id="5h00 is serious"),
        pytest.param("D359 R660", [(270, 359, 270, "SI")], id="5h59 is serious"),
        pytest.param("D360 R660", [(270, 360, 270, "VSI")], id="6h00 is very serious"),
        pytest.param("D270 R45 D270 R660", [], id="45 in one"),
        pytest.param("D270 R44 D1 R660", [(314, 271, 270, "MI")], id="44 is no break"),
        pytest.param("D120 R15 D150 R30 D270 R660", [], id="15 then 30"),
        pytest.param("D120 R30 D150 R15 D1 R660", [(315, 271, 270, "MI")], id="30 then 15: wrong order"),
        pytest.param("D90 R15 D90 R15 D90 R15 D1 R660", [(315, 271, 270, "MI")], id="three of 15"),
        pytest.param("D120 R15 D150 R29 D1 R660", [(314, 271, 270, "MI")], id="15 then 29"),
        pytest.param("D120 R30 D150 R30 D270 R660", [], id="30 is a first part too"),
        pytest.param("D60 R15 D60 R20 D150 R30 D270 R660", [], id="a later first part takes the place"),
        pytest.param(
            "R15 D270 R30 D1 R660", [(315, 271, 270, "MI")], id="a first part needs driving before it"
        ),
        pytest.param(
            "D240 R15 D60 R30 D60 R660", [(285, 300, 270, "SI")], id="completed late: closes the stint"
        ),
        pytest.param("D270 W45 D1 R660", [(315, 271, 270, "MI")], id="other work is no break"),
        pytest.param("D270 A45 D1 R660", [(315, 271, 270, "MI")], id="nor is availability alone"),
        pytest.param("d270 a45 d270 R660", [], id="a co-driver's 45 are"),
        pytest.param("d270 a44 d1 R660", [(314, 271, 270, "MI")], id="44 are not"),
        pytest.param("d120 a15 d150 R30 d1 R660", [(315, 271, 270, "MI")], id="never as a part"),
        pytest.param("D270 R20 U25 D270 R660", [], id="unknown goes on as rest"),
        pytest.param("D200x D270 R660", [], id="out of scope is work"),
        pytest.param("D400 R10 D400 R660", [(270, 800, 270, "VSI")], id="one finding a stint"),
        pytest.param(
            "D271 R45 D300 R660", [(270, 271, 270, "MI"), (586, 300, 270, "SI")], id="a finding each stint"
        ),
        pytest.param("D271", [(270, 271, 270, "MI")], id="still driving"),
    ],
)
def test_stint(words: str, expected: list[tuple[int, int, int, str]]) -> None:
    assert short(of(words, Rule.BREAK)) == expected


def test_a_co_drivers_break_is_listed_for_evidence() -> None:
    (finding,) = of("d200 a60 d200 R660", Rule.CREW_BREAK)
    assert (finding.start - MONDAY, finding.end - MONDAY) == (200, 260)
    assert finding.needs_evidence
    assert finding.severity is None


def test_inferred_driving_proves_no_infringement() -> None:
    (finding,) = of("D200 D100! R660", Rule.BREAK)
    assert finding.needs_evidence
    assert finding.severity == "SI"
    (next_stint,) = of("D200! R45 D300 R660", Rule.BREAK)
    assert not next_stint.needs_evidence
