"""The list of signals keeps to its own rules, and what is generated from it is up to date and whole."""

from __future__ import annotations

import json
import shutil
import string
import subprocess
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


def test_every_level_has_its_rule_and_every_rule_its_two_cases() -> None:
    wanted = [(s.name, level.severity) for s in SIGNALS.values() for level in s.levels]
    found = [(rule["alert"], rule["labels"]["severity"]) for rule in rules()]
    assert sorted(found) == sorted([*wanted, (UNSEEN, "error")])
    fires, quiet = set(), set()
    for case in yaml.safe_load(TESTS.read_text())["tests"]:
        for moment in case["alert_rule_test"]:
            expected = {alert["exp_labels"]["severity"] for alert in moment["exp_alerts"]}
            fires |= {(moment["alertname"], severity) for severity in expected}
        if not any(moment["exp_alerts"] for moment in case["alert_rule_test"]):
            quiet |= {moment["alertname"] for moment in case["alert_rule_test"]}
    assert fires == set(found)
    assert quiet == {name for name, _ in found}


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
        ["promtool", *words], cwd=RULES.parent, capture_output=True, text=True, timeout=60, check=False
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
    tests["tests"] = [case for case in tests["tests"] if case["name"].startswith("stream_lag ")]
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
