"""The texts that are derived from a feed: dbt sources, suites, contracts, the reference page."""

from __future__ import annotations

from typing import Any

import pytest

from domain.contracts import ENTITIES, FEEDS
from domain.contracts.dbt_sources import SMALL_ENTITIES, bounds, describe, sources
from domain.contracts.expectations import suite
from domain.contracts.model import Choice, Column, Feed, Float, Integer, Rule, Text, Timestamp
from domain.contracts.open_data_contract import contract
from domain.contracts.reference import RULES, page, reject_rules

PING = Feed(
    name="ping",
    doc="A sign of life.",
    stream="gps",
    key=("event_id",),
    event_time="seen_at",
    entity_key="vehicle_id",
    minor=2,
    together=(("lat", "lon"),),
    columns=(
        Column("event_id", Text(36), "The key"),
        Column("vehicle_id", Text(), "The vehicle"),
        Column("seen_at", Timestamp(), "When"),
        Column("speed_kmh", Float(), "Speed", unit="km/h", between=(0, 250)),
        Column("count", Integer(32), "Counter", nullable=True, between=(1, None)),
        Column("kind", Choice(("a", "b|c")), "What"),
        Column("lat", Float(), "Latitude", nullable=True),
        Column("lon", Float(), "Longitude", nullable=True),
    ),
)


@pytest.mark.parametrize(
    ("between", "words"),
    [
        ((0, 250), "0 to 250"),
        ((-0.5, None), "from -0.5"),
        ((None, 9000), "up to 9000"),
        ((0, 2**63 - 1), "0 to 9223372036854775807"),
    ],
)
def test_bounds_read_as_people_write_them(between: tuple[float | None, float | None], words: str) -> None:
    assert bounds(between) == words


def test_description_has_unit_range_and_words() -> None:
    assert describe(PING.column("speed_kmh")) == "Speed; unit: km/h; range: 0 to 250"
    assert describe(PING.column("kind")) == "What; one of: a, b|c"


def test_new_feed_appears_in_the_sources() -> None:
    (landing, _, _) = sources({"ping": PING}, {})["sources"]
    (table,) = landing["tables"]
    assert table["name"] == "ping"
    assert table["config"]["loaded_at_field"] == "arrived_at"
    assert [c["name"] for c in table["columns"]] == [*PING.names, "batch_id", "line", "arrived_at"]


def test_sources_have_mirror_and_history_of_each_entity_without_personal_data() -> None:
    (_, mirrors, _) = sources(FEEDS, ENTITIES)["sources"]
    assert [t["name"] for t in mirrors["tables"]] == [n for e in ENTITIES for n in (e, f"{e}_history")]
    described = {c["name"] for table in mirrors["tables"] for c in table["columns"]}
    assert described.isdisjoint({"full_name", "phone", "licence_number", "plate", "vin"})


def test_tests_stand_on_small_tables_only_and_not_on_what_postgres_holds() -> None:
    tested = {
        (source["name"], table["name"], column["name"])
        for source in sources(FEEDS, ENTITIES)["sources"]
        for table in source["tables"]
        for column in table["columns"]
        if "data_tests" in column
    }
    assert {(source, table) for source, table, _ in tested} == {("source", name) for name in SMALL_ENTITIES}
    assert ("source", "sites", "region") in tested
    assert not {("source", "sites", "site_id"), ("source", "sites", "tenant_id")} & tested


def expected(feed: Feed, kind: str) -> list[dict[str, Any]]:
    return [e["kwargs"] for e in suite(feed)["expectations"] if e["type"] == kind]


def test_suite_expects_what_landing_enforces() -> None:
    between = expected(PING, "expect_column_values_to_be_between")
    assert between == [
        {"column": "speed_kmh", "min_value": 0, "max_value": 250},
        {"column": "count", "min_value": 1},
    ]
    assert expected(PING, "expect_column_values_to_be_in_set") == [
        {"column": "kind", "value_set": ["a", "b|c"]}
    ]
    assert {"column": "event_id", "min_value": 1, "max_value": 36} in expected(
        PING, "expect_column_value_lengths_to_be_between"
    )
    conditional = [k for k in expected(PING, "expect_column_values_to_not_be_null") if "row_condition" in k]
    assert [(k["column"], k["row_condition"]["column"]["name"]) for k in conditional] == [
        ("lat", "lon"),
        ("lon", "lat"),
    ]


def test_suite_of_a_stream_allows_repeats_and_that_of_an_entity_does_not() -> None:
    assert expected(PING, "expect_column_values_to_be_unique") == []
    assert expected(ENTITIES["sites"], "expect_column_values_to_be_unique") == [{"column": "site_id"}]


def test_contract_marks_keys_and_personal_data() -> None:
    (table,) = contract(ENTITIES["drivers"])["schema"]
    personal = {p["name"] for p in table["properties"] if p["classification"] == "personal"}
    keys = {p["name"]: p["primaryKeyPosition"] for p in table["properties"] if p.get("primaryKey")}
    assert personal == {"full_name", "phone", "licence_number"}
    assert keys == {"driver_id": 1}


def test_contract_id_is_stable_and_its_version_semantic() -> None:
    assert contract(PING)["version"] == "1.2.0"
    assert contract(PING)["id"] == contract(PING)["id"]
    assert contract(PING)["id"] != contract(FEEDS["gps_location"])["id"]


def test_page_shows_each_column_once_and_escapes_pipes() -> None:
    text = page({"ping": PING}, {})
    assert "| `speed_kmh` | float | km/h | 0 to 250 |  |  | Speed |" in text
    assert "a, b\\|c" in text
    assert "Both or neither: `lat`, `lon`." in text
    assert "`FLEETFLOW_GPS_STREAM`" in text


def test_page_marks_personal_columns() -> None:
    assert "| `phone` | text, 1 to 64 |  |  |  | yes | Phone |" in page(FEEDS, ENTITIES)


def test_every_rule_is_explained_and_belongs_to_a_feed_or_a_record() -> None:
    assert set(RULES) == set(Rule)
    used = {rule for feed in FEEDS.values() for rule in reject_rules(feed)}
    assert used == set(Rule) - {Rule.CORRUPT_RECORD}


def test_position_rule_only_where_columns_stand_together() -> None:
    assert Rule.POSITION_INCOMPLETE in reject_rules(FEEDS["shipment_event"])
    assert Rule.POSITION_INCOMPLETE not in reject_rules(FEEDS["gps_location"])
