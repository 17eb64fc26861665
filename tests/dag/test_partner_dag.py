"""A partner's DAG run by Airflow against a real SFTP server: waiting, loading, missing, and what the trigger tells."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleetflow.local import sftp
from fleetflow.local.process import alive, stop
from fleetflow.local.stack import up
from fleetflow.local.state import load as read_state
from fleetflow.partner_trigger import PartnerFilesTrigger
from fleetflow.settings import PROJECT_ROOT, Settings
from fleetflow.tasks.partners import PartnerFaultError, load_partner, look_for_files, wait_until
from tests.integration.partner_stack import Partner, lines, partner_stack, text

pytestmark = [
    pytest.mark.usefixtures("airflow_database"),
    pytest.mark.filterwarnings("ignore"),  # Airflow's own, while tasks run in here
]

FILE = PROJECT_ROOT / "dags" / "load__partners__files.py"
POLL_S = 0.1
EVERY_DAY = 'arrival: {times: ["06:00"], grace: 1 h}'


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("partners") / "home"
    with partner_stack(home) as found, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("FLEETFLOW_", "AWS_"))]:
            patch.delenv(name)
        patch.setenv("FLEETFLOW_HOME", str(home))
        yield found


@pytest.fixture
def partner(settings: Settings) -> Partner:
    return Partner(settings, more=EVERY_DAY)


def run(
    partner: Partner, at: datetime | None = None, **conf: Any
) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Run the partner's DAG once, due at `at`; return its state, those of its tasks, and what each returned."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(FILE))
    assert bag.import_errors == {}
    dag: Any = bag.dags[f"load__partner_{partner.name}__files"]
    dag.get_task("wait").poll_s = dag.get_task("load").poll_s = POLL_S
    for task in dag.tasks:
        task.retry_delay = timedelta(0)
        task.retries = 0
    moments = {} if at is None else {"run_after": at, "logical_date": at}
    done = dag.test(run_conf=conf or None, **moments)
    tasks = done.get_task_instances()
    returned = {task.task_id: task.xcom_pull(task_ids=task.task_id) for task in tasks}
    return str(done.state), {task.task_id: str(task.state) for task in tasks}, returned


def upload(partner: Partner, name: str, content: bytes) -> None:
    """As a partner does: under a temporary name, then renamed."""
    part = partner.directory / f"{name}.part"
    part.write_bytes(content)
    part.rename(partner.directory / name)


def watch(partner: Partner) -> None:
    """Let the partner be watched since three days ago."""
    begun = datetime.now(UTC) - timedelta(days=3)
    partner.sql(
        "insert into ops.partner_watch (partner, watched_from, judged_through, looked_at)"
        " values (%s, %s, %s, %s) returning partner",
        partner.name, begun, begun, begun,
    )  # fmt: skip


def test_a_run_that_does_not_wait_loads_holds_and_reports_what_is_missing(partner: Partner) -> None:
    watch(partner)
    upload(partner, "fuel_1.csv", text(lines(10)))
    upload(partner, "fuel_2.csv", text(lines(10), header="a;b;c;d;e;f;g"))
    state, tasks, returned = run(partner, wait=False)
    assert (state, set(tasks.values())) == ("success", {"success"})
    assert returned["wait"] == {"waited_s": 0.0}
    loaded = {"lines": 10, "accepted": 10, "rejected": 0, "held_or_refused": ["fuel_2.csv"]}
    assert returned["load"].items() >= loaded.items()
    assert (returned["load"]["files"]["loaded"], returned["load"]["files"]["held"]) == (1, 1)
    assert len(partner.landed()) == 10
    missing = partner.sql(
        "select expected_at from ops.partner_file where partner = %s and state = 'missing' order by 1",
        partner.name,
    )
    assert len(missing) >= 2
    assert returned["report_missing"]["expected_at"] == [at.isoformat() for (at,) in missing]


def test_a_run_waits_until_a_file_is_whole(partner: Partner) -> None:
    """The file is begun before the run, and renamed while it waits."""
    part = partner.directory / "fuel_1.csv.part"
    part.write_bytes(text(lines(5)))

    def finish() -> None:
        time.sleep(1)
        part.rename(partner.directory / "fuel_1.csv")

    thread = threading.Thread(target=finish)
    thread.start()
    state, _, returned = run(partner)
    thread.join()
    assert state == "success"
    assert returned["wait"]["names"] == ["fuel_1.csv"]
    assert returned["load"]["accepted"] == 5


def test_a_run_that_finds_something_else_still_waits_for_its_delivery(settings: Settings) -> None:
    """Yesterday's file lies there, late; today's comes while the run waits again."""
    due = datetime.now(UTC).replace(second=0, microsecond=0)
    partner = Partner(settings, more=f'arrival: {{times: ["{due:%H:%M}"], grace: 1 h}}')
    watch(partner)
    old = partner.directory / "fuel_1.csv"
    old.write_bytes(text(lines(4)))
    yesterday = (due - timedelta(hours=20)).timestamp()
    os.utime(old, (yesterday, yesterday))

    def send() -> None:
        while not partner.landed():
            time.sleep(0.1)
        upload(partner, "fuel_2.csv", text(lines(6, start=4)))

    thread = threading.Thread(target=send)
    thread.start()
    state, _, returned = run(partner, at=due)
    thread.join()
    assert state == "success"
    assert returned["wait"]["names"] == ["fuel_1.csv"]
    assert returned["load"]["accepted"] == 10
    assert returned["load"]["files"]["loaded"] == 2
    served = partner.sql(
        "select name, expected_at, is_late from ops.partner_file where partner = %s and state = 'loaded' order by 1",
        partner.name,
    )
    assert served == [("fuel_1.csv", due - timedelta(days=1), True), ("fuel_2.csv", due, False)]


def test_a_wrong_key_fails_the_wait_at_once(partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    other = partner.settings.home / "sftp" / "keys" / "nobody"
    monkeypatch.setenv(f"FLEETFLOW_SFTP_{partner.name.upper()}_KEY", str(other))
    state, tasks, _ = run(partner)
    assert (state, tasks["wait"], tasks["load"]) == ("failed", "failed", "upstream_failed")
    found = partner.sql(
        "select detail, runbook from ops.alert where subject = %s",
        f"load__partner_{partner.name}__files.wait",
    )
    assert str(other) in found[0][0]
    assert found[0][1] == "docs/runbooks/load__partners__files.md"


def test_a_declaration_at_fault_is_named_and_the_other_dags_stay(partner: Partner) -> None:
    from airflow.dag_processing.dagbag import DagBag

    broken = Partner(partner.settings)
    broken.declare(("line_key: [transaction_id]", "line_key: [nothing]"))
    (partner.settings.partners_dir / "garbage.yaml").write_text("arrival: [")
    bag = DagBag(str(FILE))
    assert bag.import_errors == {}
    assert {f"load__partner_{name}__files" for name in (partner.name, broken.name, "garbage")} <= set(
        bag.dags
    )
    for call in (
        lambda: wait_until(broken.name, datetime.now(UTC), scheduled=True),
        lambda: load_partner(broken.name),
    ):
        with pytest.raises(PartnerFaultError, match=rf"{broken.name}\.yaml: .*line_key.*nothing"):
            call()


# --- how long is waited


@pytest.mark.parametrize(
    ("due", "scheduled", "until"),
    [
        ("2026-03-02T06:00", True, "2026-03-02T07:00"),
        ("2026-03-02T06:01", True, None),  # a cron that fits more days than the partner's schedule
        ("2026-03-02T13:30", False, "2026-03-02T14:30"),
    ],
)
def test_until_when_a_run_waits(partner: Partner, due: str, scheduled: bool, until: str | None) -> None:
    moment = datetime.fromisoformat(due).replace(tzinfo=UTC)
    expected = None if until is None else datetime.fromisoformat(until).replace(tzinfo=UTC)
    assert wait_until(partner.name, moment, scheduled=scheduled) == expected


def test_without_a_schedule_nothing_is_waited_for(settings: Settings) -> None:
    free = Partner(settings)
    assert wait_until(free.name, datetime.now(UTC), scheduled=True) is None


# --- the trigger


def fire(partner: Partner, *, seconds: float = 30) -> dict[str, Any]:
    """Store the trigger as Airflow does, take it up again, and run it to its event."""
    from airflow.models.trigger import Trigger
    from airflow.sdk.module_loading import import_string

    until = datetime.now(UTC) + timedelta(seconds=seconds)
    given = PartnerFilesTrigger(partner.name, until.isoformat(), POLL_S)
    stored = Trigger.from_object(given)
    trigger = import_string(stored.classpath)(**stored.kwargs)
    assert trigger.serialize() == given.serialize()

    async def first() -> dict[str, Any]:
        async for event in trigger.run():
            payload: dict[str, Any] = event.payload
            return payload
        raise AssertionError("a trigger ends with an event")

    return asyncio.run(first())


def test_the_trigger_fires_for_what_a_load_would_take_and_for_nothing_else(partner: Partner) -> None:
    partner.drop("fuel_1.csv", text(lines(3)))
    partner.drop("fuel_\n2.csv", b"x")
    assert fire(partner)["names"] == ["fuel_1.csv", "fuel_<U+000A>2.csv"]
    partner.load()
    assert fire(partner, seconds=0)["names"] == [], "loaded and refused files are still there, and no news"
    partner.drop("fuel_1.csv", text(lines(4)), minutes=1)
    assert fire(partner)["names"] == ["fuel_1.csv"], "a corrected one is"


def test_the_trigger_looks_twice_at_a_file_that_may_still_grow(settings: Settings) -> None:
    stable = Partner(settings, completeness="{stable: true}")
    (stable.directory / "fuel_1.csv").write_bytes(text(lines(3)))
    assert fire(stable, seconds=0)["names"] == []
    assert fire(stable)["names"] == ["fuel_1.csv"]


def test_the_trigger_gives_up_when_the_time_is_over(partner: Partner) -> None:
    found = fire(partner, seconds=0.5)
    assert (found["names"], found["fault"]) == ([], None)
    assert found["waited_s"] >= 0.4


def test_a_server_that_is_away_for_a_while_is_waited_for(partner: Partner, settings: Settings) -> None:
    upload(partner, "fuel_1.csv", text(lines(3)))
    proc = read_state(settings.home).procs["sftp"]
    stop(proc, 5)
    assert not alive(proc)
    away = fire(partner, seconds=0)
    assert "check that the server runs" in away["fault"]
    assert away["fatal"] is False

    def start_again() -> None:
        time.sleep(0.5)
        up(settings.home, ("sftp",), env={})

    thread = threading.Thread(target=start_again)
    thread.start()
    assert fire(partner, seconds=60)["names"] == ["fuel_1.csv"]
    thread.join()
    assert sftp.ready(read_state(settings.home).ports["sftp"])


def test_an_unknown_partner_is_named(settings: Settings) -> None:
    with pytest.raises(PartnerFaultError, match="'stranger' is no declared partner"):
        asyncio.run(look_for_files("stranger", {}))
