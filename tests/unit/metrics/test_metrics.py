"""The metrics layer: what is asked becomes a statement of the definition's names, with values as parameters."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from fleetflow.faults import UserError
from fleetflow.metrics import Base, Metric, Question, compile_metric, find, load_metrics, parse_members

SHARE = Metric(
    "share",
    "Share",
    "A share.",
    "fct",
    "sum(a)",
    "share 0 to 1",
    "day_of",
    ("region", "carrier_id"),
    "sum(b)",
    "is_good",
)
WHOLE = "name: a, label: l, description: d, model: m, numerator: n, unit: u, time: t, dimensions: []"
NASTY = "north'; drop table marts.fct; --"


def compiled(metric: Metric, question: Question) -> tuple[str, dict[str, object]]:
    statement, parameters = compile_metric(metric, question)
    return statement.as_string(), parameters


def test_a_question_becomes_a_statement() -> None:
    statement, parameters = compiled(
        SHARE, Question(("region", "week"), {"carrier_id": NASTY}, date(2026, 3, 1), date(2026, 3, 31))
    )
    assert statement == (
        'select "region" as "region", date_trunc(\'week\', "day_of"::timestamp)::date as "week", sum(a) as "numerator",'
        ' sum(b) as "denominator", (sum(a))::double precision / nullif(sum(b), 0) as "value" from "marts"."fct"'
        ' where (is_good) and "carrier_id"::text = %(member_0)s and "day_of" >= %(from_day)s::date'
        ' and "day_of" < %(to_day)s::date + 1 group by 1, 2 order by 1, 2'
    )
    assert parameters == {"member_0": NASTY, "from_day": date(2026, 3, 1), "to_day": date(2026, 3, 31)}


def test_a_metric_without_a_denominator_is_its_numerator() -> None:
    total = Metric("total", "Total", "A sum.", "fct", "sum(a)", "units", "day_of", ())
    assert compiled(total, Question())[0] == (
        'select sum(a) as "numerator", null::bigint as "denominator", (sum(a))::double precision as "value"'
        ' from "marts"."fct"'
    )


def test_a_denominator_of_another_mart_is_measured_by_itself() -> None:
    rate = Metric(
        "rate", "Rate", "Per day.", "fct", "count(*)", "per day", "at", ("driver_key",), "count(*)", "is_proven",
        Base("fct_day", "started_at"),
    )  # fmt: skip
    statement, parameters = compiled(rate, Question(("driver_key",), {"driver_key": NASTY}, date(2026, 3, 1)))
    assert statement == (
        'select "driver_key", coalesce(sum(numerator), 0) as numerator, coalesce(sum(denominator), 0) as denominator,'
        " coalesce(sum(numerator), 0)::double precision / nullif(sum(denominator), 0) as value from ("
        'select "driver_key" as "driver_key", count(*) as "numerator", null::bigint as "denominator" from "marts"."fct"'
        ' where (is_proven) and "driver_key"::text = %(member_0)s and "at" >= %(from_day)s::date group by 1'
        ' union all select "driver_key" as "driver_key", null::bigint as "numerator", count(*) as "denominator"'
        ' from "marts"."fct_day" where "driver_key"::text = %(member_0)s and "started_at" >= %(from_day)s::date'
        " group by 1) as parts group by 1 order by 1"
    )
    assert parameters == {"member_0": NASTY, "from_day": date(2026, 3, 1)}


@pytest.mark.parametrize(
    "question", [Question(by=(NASTY,)), Question(by=("tenant_id",)), Question(members={"week": "2026"})]
)
def test_what_the_metric_does_not_have_is_refused(question: Question) -> None:
    with pytest.raises(UserError, match="it has region, carrier_id"):
        compile_metric(SHARE, question)


def test_an_unknown_metric_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="there are share"):
        find({"share": SHARE}, "shares")


def test_pairs_are_read() -> None:
    assert parse_members(["region=north", "reason=a=b"]) == {"region": "north", "reason": "a=b"}
    with pytest.raises(UserError, match="NAME=VALUE"):
        parse_members(["region"])


def test_the_projects_definitions_are_read() -> None:
    metrics = load_metrics()
    assert {"on_time_share", "exceptions_per_100_shipments", "delay_cost_minor"} <= set(metrics)
    for metric in metrics.values():
        assert metric.model.startswith("fct_")
        compile_metric(metric, Question(by=("month", *metric.dimensions)))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("metrics: [{name: a}]", "lacks"),
        (
            f"metrics: [{{{WHOLE}, x: 1}}]",
            "unknown",
        ),
        (f"metrics: [{{{WHOLE}, denominator: x, over: {{model: m}}}}]", "over.time"),
        (f"metrics: [{{{WHOLE}, over: {{model: m, time: t}}}}]", "denominator"),
        (f"metrics: [{{{WHOLE}, denominator: x, over: {{model: m, time: t, y: 1}}}}]", "over.y"),
        (
            f"metrics: [&a {{{WHOLE}}}, *a]",
            "twice",
        ),
    ],
)
def test_a_bad_definition_is_named(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "bad.yml").write_text(text)
    with pytest.raises(UserError, match=fault):
        load_metrics(tmp_path)
