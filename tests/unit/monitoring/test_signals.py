"""The list of signals keeps to its own rules, and what is generated from it is up to date and whole."""

from __future__ import annotations

import json
import re
import shutil
import string
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleetflow.monitoring.dashboard import dashboard
from fleetflow.monitoring.exporter import LOOK_METRICS
from fleetflow.monitoring.generate import differences, main, targets, write
from fleetflow.monitoring.measure import _warehouse_names
from fleetflow.monitoring.model import Area, Level, Signal, Unit
from fleetflow.monitoring.probes import PROBES
from fleetflow.monitoring.signals import EVENTS, SIGNALS, UNSEEN
from fleetflow.settings import PROJECT_ROOT

RULES = PROJECT_ROOT / "infra" / "monitoring" / "alerts.yml"
TESTS = PROJECT_ROOT / "infra" / "monitoring" / "alerts_test.yml"
every_signal = pytest.mark.parametrize("signal", SIGNALS.values(), ids=lambda signal: signal.name)
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian package prometheus)"
)


def test_names_and_metrics_are_unique() -> None:
    assert len({signal.metric for signal in SIGNALS.values()}) == len(SIGNALS)
    assert all(name == signal.name for name, signal in SIGNALS.items())
    assert not {*EVENTS, UNSEEN} & set(SIGNALS)


@every_signal
def test_a_signal_is_well_formed(signal: Signal) -> None:
    assert signal.metric.startswith("fleetflow_")
    assert not {"severity", "part", "alertname", "job", "instance", "value", "detail"} & set(signal.labels)
    used = {name for _, name, _, _ in string.Formatter().parse(signal.words) if name}
    assert used <= {*signal.labels, "value", "detail"}
    assert used & {"detail", *signal.labels} or not signal.labels, "the words name what it is about"
    assert signal.measures[-1] not in ".:", "help texts have no full stop"
    assert signal.hold_s >= 0
    assert signal.resolve_s > 0


@every_signal
def test_a_signal_is_measured_by_something(signal: Signal) -> None:
    elsewhere = {"warehouse", "unmeasured"}
    assert signal.query or signal.probe in {*PROBES, *elsewhere} or signal.name in _warehouse_names()


def test_a_signal_that_makes_no_sense_is_refused() -> None:
    fine: dict[str, Any] = {
        "name": "x_y", "area": Area.MACHINE, "measures": "x", "unit": Unit.STATE, "labels": (),
        "levels": (Level("warn", 1), Level("error", 2)), "hold_s": 0, "words": "x", "query": "select 1",
    }  # fmt: skip
    assert Signal(**fine).metric == "fleetflow_x_y"
    with pytest.raises(ValueError, match="a query or a probe"):
        Signal(**{**fine, "probe": "disk"})
    with pytest.raises(ValueError, match="lowest limit up"):
        Signal(**{**fine, "levels": (Level("error", 2), Level("warn", 1))})
    with pytest.raises(ValueError, match="not a name"):
        Signal(**{**fine, "name": "X"})


def test_the_generated_files_are_up_to_date() -> None:
    assert differences(PROJECT_ROOT) == [], "run `make generate`"


def test_the_generator_writes_once_and_sees_each_difference(tmp_path: Path) -> None:
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert write(tmp_path) == list(targets())
    assert write(tmp_path) == []
    (tmp_path / "infra/monitoring/alerts.yml").write_text("edited")
    assert differences(tmp_path) == ["differs: infra/monitoring/alerts.yml"]
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


# What can fail in ingestion, transformation and loading, and from when on a person is to be told: what was promised,
# written down apart from the signals. A failure, its alert, the limits of a warning and of an error.
FAILURES = (
    ("stream lag", "stream_lag", 60, 150),
    ("shard without lease", "shard_without_lease", None, 60),
    ("slot lag", "slot_lag", 256 * 1024**2, 2 * 1024**3),
    ("retained WAL", "slot_retained_wal", 1024**3, 8 * 1024**3),
    ("rejects above share", "reject_share", 0.01, 0.05),
    ("partner file missing", "partner_file_missing", None, 0),
    ("partner file held", "partner_file_held", None, 0),
    ("micro-batch late", "microbatch_late", 120, 300),
    ("freshness over 3 min", "freshness", None, 3 * 60),
    ("check failed", "check_failed", None, 0),
    ("reconciliation open", "reconciliation_open", None, 0),
    ("disk", "disk_used", 0.85, 0.95),
    ("connections", "connections_used", 0.75, 0.9),
    ("Postgres stopped", "warehouse_unreachable", None, 0),
    ("S3 answers 500, Kinesis throttled to nothing", "aws_unreachable", None, 0),
    ("spool filled", "spool_waiting", 120, 900),
    ("slot lost", "slot_lost", None, 0),
    ("DAG cannot be imported", "dag_broken", None, 0),
)


@dataclass(frozen=True)
class Case:
    """A case of the rules' tests: first and last value of its series, and the severities that fire at each moment."""

    failure: str
    alert: str
    first: float
    last: float
    fires: tuple[frozenset[str], ...]


def cases() -> list[Case]:
    found = []
    for case in yaml.safe_load(TESTS.read_text())["tests"]:
        (series,) = case["input_series"]
        values = [float(part.partition("+")[0]) for part in series["values"].split()]
        (alert,) = {re.findall(r'alertname="(\w+)"', asked["expr"])[0] for asked in case["promql_expr_test"]}
        fires = tuple(
            frozenset(re.findall(r'severity="(\w+)"', str(asked["exp_samples"])))
            for asked in case["promql_expr_test"]
        )
        found.append(Case(case["name"].partition(":")[0], alert, values[0], values[-1], fires))
    return found


@pytest.mark.parametrize(("failure", "alert", "warn", "error"), FAILURES, ids=[row[0] for row in FAILURES])
def test_each_failure_fires_at_its_threshold_not_at_it_and_resolves(
    failure: str, alert: str, warn: float | None, error: float | None
) -> None:
    mine = [case for case in cases() if (case.failure, case.alert) == (failure, alert)]
    for severity, limit in (("warn", warn), ("error", error)):
        firing = [case for case in mine if severity in frozenset().union(*case.fires)]
        if limit is None:
            assert firing == []
            continue
        quiet = [case for case in mine if case.first == case.last == limit and case not in firing]
        assert len(quiet) == 1, f"nothing says that {alert} is no {severity} at {limit}"
        just_above = [case for case in firing if limit < case.first <= (limit * 1.1 or 1)]
        assert [case.fires[-1] for case in just_above if case.last <= limit] == [frozenset()]


def test_every_level_has_its_rule_and_every_rule_its_cases() -> None:
    wanted = [(s.name, level.severity) for s in SIGNALS.values() for level in s.levels]
    found = [(rule["alert"], rule["labels"]["severity"]) for rule in rules()]
    assert sorted(found) == sorted([*wanted, (UNSEEN, "error")])
    assert {(case.alert, severity) for case in cases() for fires in case.fires for severity in fires} == set(
        found
    )
    resolved = {case.alert for case in cases() if any(case.fires) and not case.fires[-1]}
    assert resolved == {name for name, _ in found}


@needs_promtool
@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=lambda words: "_".join(words[:2]),
)
def test_promtool_agrees(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *words], cwd=RULES.parent, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_would_see_a_wrong_limit(tmp_path: Path) -> None:
    text = RULES.read_text()
    assert "fleetflow_stream_lag_seconds > 60" in text
    (tmp_path / "alerts.yml").write_text(
        text.replace("fleetflow_stream_lag_seconds > 60", "fleetflow_stream_lag_seconds > 61")
    )
    tests = yaml.safe_load(TESTS.read_text())
    tests["tests"] = [case for case in tests["tests"] if case["name"].startswith("stream lag:")]
    (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump(tests))
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts_test.yml"],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def test_every_signal_has_its_panel_with_its_limits() -> None:
    queries = {target["expr"]: panel for panel in panels() for target in panel["targets"]}
    for signal in SIGNALS.values():
        steps = queries[signal.metric]["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert [step["value"] for step in steps] == [None, *(level.above for level in signal.levels)]
        assert signal.runbook in queries[signal.metric]["description"]


def test_the_page_is_one_that_grafana_lays_out() -> None:
    page = json.loads((PROJECT_ROOT / "infra/monitoring/dashboards/fleetflow.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in page["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, f"{panel['title']} lies over another panel"
        assert place["x"] + place["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in page["panels"]]
    assert ids == sorted(set(ids))
    assert page["schemaVersion"] >= 39
    assert {target["datasource"]["uid"] for panel in panels() for target in panel["targets"]} == {"${source}"}


def test_alertmanagers_example_inhibits_by_labels_that_exist() -> None:
    example = yaml.safe_load((RULES.parent / "alertmanager.example.yml").read_text())
    receivers = {receiver["name"] for receiver in example["receivers"]}
    routes = [example["route"], *example["route"]["routes"]]
    assert {route["receiver"] for route in routes} == receivers
    labels = {label for signal in SIGNALS.values() if len(signal.levels) > 1 for label in signal.labels}
    assert labels <= set(example["inhibit_rules"][0]["equal"])


def test_metrics_of_a_look_are_named_like_the_others() -> None:
    assert all(name.startswith("fleetflow_") for name in LOOK_METRICS)
    assert not set(LOOK_METRICS) & {signal.metric for signal in SIGNALS.values()}
