"""The states of a partner's file: which may follow which, and that the warehouse knows the same ones."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime

import pytest

from fleetflow.commands.partner_view import counts_words, describe, file_row, observation_words
from fleetflow.settings import PROJECT_ROOT
from ingestion.partners.archive import archive_key
from ingestion.partners.ledger import PartnerFile
from ingestion.partners.states import ENDED, NEXT, IllegalTransitionError, State, require

MIGRATION = PROJECT_ROOT / "sql" / "migrations" / "0011_create_partner_ledger.sql"
LEGAL = {
    (None, "seen"), (None, "missing"), ("missing", "seen"), ("seen", "whole"), ("seen", "refused"),
    ("whole", "loaded"), ("whole", "held"), ("whole", "refused"), ("held", "whole"), ("held", "refused"),
    ("refused", "whole"),
}  # fmt: skip
AT = datetime(2026, 11, 1, 23, 59, tzinfo=UTC)


def file(**changes: object) -> PartnerFile:
    nothing = dict.fromkeys(PartnerFile.__dataclass_fields__)
    known = {
        "file_id": 7, "partner": "cards", "tenant_id": "acme", "feed": "fuel_purchase", "name": "fuel 1/ü.csv",
        "sha256": "ab" * 32, "state": State.LOADED, "is_late": False, "observations": {}, "attempts": 0, "repeats": 0,
        "seen_at": AT, "looked_at": AT, "whole_at": AT, "ended_at": AT,
    }  # fmt: skip
    return PartnerFile(**{**nothing, **known, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("before", "after"), itertools.product([None, *State], State))
def test_only_what_is_listed_may_follow(before: State | None, after: State) -> None:
    if (before, after) in LEGAL:
        require(before, after)
        return
    with pytest.raises(IllegalTransitionError, match=f"cannot become {after}"):
        require(before, after)


def test_every_state_leads_somewhere_or_is_an_end() -> None:
    assert set(NEXT) == {None, *State}
    assert NEXT[State.LOADED] == frozenset()
    assert {State.LOADED, State.HELD, State.REFUSED} == ENDED


def test_the_warehouse_knows_the_same_states() -> None:
    [allowed] = re.findall(
        r"state text not null check \(state in \(([^)]+)\)\),\n    reason", MIGRATION.read_text()
    )
    assert {word.strip(" '") for word in allowed.split(",")} == set(State)


def test_the_archive_keeps_a_file_under_its_hash_and_a_plain_name() -> None:
    assert archive_key(file()) == f"archive/partners/cards/2026/11/01/{'ab' * 32}-fuel_1_.csv"
    assert len(archive_key(file(name="x" * 400))) < 300


def test_rows_arrive_when_the_file_was_whole_or_was_approved() -> None:
    later = datetime(2026, 11, 9, tzinfo=UTC)
    assert file().arrived_at == AT
    assert file(approved_at=later).arrived_at == later


def test_a_file_is_told_in_words() -> None:
    loaded = file(
        lines=10, accepted=4, rejected=1, unchanged=5, superseded=2, absent=3, is_late=True, expected_at=AT,
        observations={
            "recorded_late": {"rows": 2, "most_days": 546.0, "lines": [4, 9], "after_days": 14.0},
            "recorded_before_it_happened": {"rows": 1, "most_days": 2.0, "lines": [5]},
        },
    )  # fmt: skip
    assert counts_words(loaded) == (
        "10: 4 landed (2 of them corrections), 1 rejected, 5 unchanged; 3 lines of the version before are not in it"
    )
    assert list(observation_words(loaded)) == [
        "2 rows recorded late (over 14 days after), by up to 546 days: rows 4, 9",
        "1 rows recorded before it happened, by up to 2 days: rows 5",
    ]
    assert "state      loaded, late (expected 2026-11-01 23:59 UTC)" in describe(loaded, {"wrong_type": 1})
    assert "rejected   1 by wrong_type" in list(describe(loaded, {"wrong_type": 1}))
    held = file(state=State.HELD, reason="x" * 200, lines=4)
    assert any("fleetflow partner approve 7" in line for line in describe(held, {}))
    assert len(file_row(held)["reason"]) == 70
