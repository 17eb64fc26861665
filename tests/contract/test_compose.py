"""docker-compose.yml without an engine: the specification's schema, and that everything it names exists."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import psycopg
import pytest
import yaml

from fleetflow.local import aws, postgres
from fleetflow.local.pgsql import choose_place
from fleetflow.local.process import pick_port, wait_until
from fleetflow.migrations import apply
from fleetflow.partner_load import pgp_variable
from fleetflow.partners import read_pgp_names
from fleetflow.settings import PROJECT_ROOT, Settings, default_home, load_settings
from ingestion.partners.fetch.remote import Address, Remote
from tests.contract.conftest import PASSWORD, running

FILE = PROJECT_ROOT / "docker-compose.yml"
DOCKER = PROJECT_ROOT / "infra" / "docker"
IMAGE_ROOT = "/opt/fleetflow"
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::(-|\?)([^}]*))?\}")
# Variables of the images that we take from others, as their documentation names them.
FOREIGN = {
    "postgres": {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "POSTGRES_INITDB_ARGS"},
}
STANDARD = {
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AIRFLOW_HOME",
}
PGP_KEYS = {pgp_variable(name) for name in read_pgp_names(Settings.partners_dir)}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `make_env.py` generates, as compose would read it."""
    directory = tmp_path_factory.mktemp("env")
    shutil.copy(DOCKER / "make_env.py", directory)
    subprocess.run([sys.executable, directory / "make_env.py"], check=True, capture_output=True, timeout=30)
    path = directory / ".env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def interpolate(node: Any, environment: dict[str, str]) -> Any:
    """Fill in variables as compose does; a required one that is missing fails."""
    if isinstance(node, dict):
        return {key: interpolate(value, environment) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolate(value, environment) for value in node]
    if not isinstance(node, str):
        return node

    def fill(match: re.Match[str]) -> str:
        name, how, default = match.groups()
        return environment[name] if how != "-" else environment.get(name, default)

    return VARIABLE.sub(fill, node).replace("$$", "$")


@pytest.fixture(scope="module")
def compose(environment: dict[str, str]) -> dict[str, Any]:
    document: dict[str, Any] = interpolate(yaml.safe_load(FILE.read_text()), environment)
    return document


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def ours(services: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services.items() if "build" in service}


def test_keeps_to_the_specification(compose: dict[str, Any]) -> None:
    schema = json.loads((Path(__file__).parent / "data" / "compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [f"{e.json_path}: {e.message}" for e in validator.iter_errors(compose)] == []
    broken = {"services": {"a": {"imagee": "x"}}}
    assert not validator.is_valid(broken)


def test_every_part_is_there(services: dict[str, dict[str, Any]]) -> None:
    airflow = {f"airflow-{part}" for part in ("api", "scheduler", "dag-processor", "triggerer")}
    assert set(services) == {"postgres", "aws", "sftp", "prepare", "land", "cli"} | airflow


def test_images_are_pinned(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", service["image"]), name
    bases = re.findall(r"^FROM (\S+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert bases
    assert all(re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*", base) for base in bases)


def test_postgres_is_the_embedded_stacks_major_version(services: dict[str, dict[str, Any]]) -> None:
    assert services["postgres"]["image"].startswith(f"postgres:{postgres.MAJOR}.")
    assert "wal_level=logical" in services["postgres"]["command"]
    # From 18 on the image keeps its data below this directory, and refuses a volume at the old one.
    assert "postgres-data:/var/lib/postgresql" in services["postgres"]["volumes"]


def test_nothing_runs_as_root(services: dict[str, dict[str, Any]]) -> None:
    assert re.findall(r"^USER (\S+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)[-1] == "10001:10001"
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        if "build" not in service:
            assert service["user"] == "postgres", name


def test_ports_are_published_on_the_loopback_only(services: dict[str, dict[str, Any]]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 4
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)


def test_no_secret_is_in_a_file_of_the_tree() -> None:
    text = FILE.read_text()
    for line in text.splitlines():
        if (
            re.search(r"PASSWORD|SECRET|_KEY\b", line.split(":")[0])
            and "AWS_" not in line
            and "_FILE" not in line
            and not line.endswith("FLEETFLOW_SFTP_KEY: /var/lib/fleetflow/sftp/keys")  # a directory
        ):
            assert re.search(r"\$\{\w+:\?run infra/docker/make_env.py\}$", line), line
        if "://" in line and "@" in line:
            assert re.search(r"://\w+:\$\{\w+:\?[^}]+\}@", line), line


def test_every_variable_is_generated_or_has_a_default(environment: dict[str, str]) -> None:
    used = {name: how for name, how, _ in VARIABLE.findall(FILE.read_text())}
    assert {name for name, how in used.items() if how == "?"} == set(environment)
    assert set(used.values()) == {"?", "-"}


def test_env_file_is_kept_out_of_git_and_of_the_image() -> None:
    done = subprocess.run(["git", "check-ignore", "-q", "infra/docker/.env"], cwd=PROJECT_ROOT, check=False)
    assert done.returncode == 0
    assert "infra/docker/.env" in (DOCKER / "Dockerfile.dockerignore").read_text().split()


def test_dependencies_are_on_healthy_or_finished_services(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for other, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in services[other], (name, other)
            else:
                assert wanted["condition"] == "service_completed_successfully", (name, other)
                assert services[other]["restart"] == "no", (name, other)
    assert all("healthcheck" in s for n, s in services.items() if n not in {"prepare", "cli"})


def test_named_volumes_are_declared_and_used(compose: dict[str, Any]) -> None:
    mounts = [v for s in compose["services"].values() for v in s.get("volumes", [])]
    named = {mount.split(":")[0] for mount in mounts if not mount.startswith(".")}
    assert named == set(compose["volumes"])
    bound = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    assert all((PROJECT_ROOT / path).exists() for path in bound)


def test_build_files_exist(services: dict[str, dict[str, Any]]) -> None:
    for service in ours(services).values():
        assert (PROJECT_ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    copied = re.findall(r"^!(\S+)", (DOCKER / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert [path for path in copied if not (PROJECT_ROOT / path).exists()] == []


def test_the_sftp_server_makes_and_serves_what_the_settings_name(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Its own command line, but for the place and the port; a client of the settings gets in."""
    command = services["sftp"]["command"]
    options = dict(zip(command[3::2], command[4::2], strict=True))
    settings = services["land"]["environment"]
    assert f"sftp://sftp:{options['--port']}" == settings["FLEETFLOW_SFTP_URL"]
    for name in ("KEY", "KNOWN_HOSTS"):
        assert Path(settings[f"FLEETFLOW_SFTP_{name}"]).parent == Path(options["--root"])
    port = str(pick_port(None, None, "FLEETFLOW_SFTP_PORT"))
    moved = {options["--root"]: str(tmp_path / "sftp"), "0.0.0.0": "127.0.0.1", options["--port"]: port}
    moved[options["--partners"]] = str(PROJECT_ROOT / Path(options["--partners"]).relative_to(IMAGE_ROOT))
    line = [sys.executable, *(moved.get(word, word) for word in command[1:])]
    server = subprocess.Popen(line, cwd=PROJECT_ROOT)
    try:
        probe = [sys.executable, str(DOCKER / "probe.py"), f"ssh://127.0.0.1:{port}"]
        assert wait_until(
            lambda: subprocess.run(probe, capture_output=True, check=False).returncode == 0, 60, 0.5
        )
        hosts = (tmp_path / "sftp" / "known_hosts").read_text()
        assert [line.split()[0] for line in hosts.splitlines()] == [f"[sftp]:{port}", f"[127.0.0.1]:{port}"]
        key, known = tmp_path / "sftp" / "keys" / "torque", tmp_path / "sftp" / "known_hosts"
        with Remote(Address("127.0.0.1", int(port), "torque", str(key), str(known)), "/outbox") as remote:
            assert remote.list() == []
    finally:
        server.terminate()
        assert server.wait(timeout=30) == 0
    pgp = settings["FLEETFLOW_PGP_SWIFTLINE"].removeprefix(options["--root"])
    assert (tmp_path / "sftp" / pgp.lstrip("/")).is_file()


# --- commands


def commands(services: dict[str, dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Every command line of our image: of compose, of its health checks, of the scripts that it calls."""
    for name, service in ours(services).items():
        line = [*service.get("entrypoint", []), *service["command"]]
        yield name, line
        if "healthcheck" in service:
            kind, *check = service["healthcheck"]["test"]
            assert kind == "CMD"
            yield name, check
        if line[0].endswith(".sh"):
            yield from ((line[0], words) for words in script_lines(PROJECT_ROOT / line[0]))


def script_lines(path: Path) -> Iterator[list[str]]:
    assert os.access(path, os.X_OK), path
    subprocess.run(["sh", "-n", str(path)], check=True, timeout=10)
    for line in path.read_text().splitlines():
        words = shlex.split(line.removesuffix("&"), comments=True)
        if words and words[0] in {"fleetflow", "airflow", "python", "socat"}:
            yield words


def test_every_command_exists(services: dict[str, dict[str, Any]]) -> None:
    found = list(commands(services))
    assert {words[0] for _, words in found} >= {"fleetflow", "airflow", "python", "infra/docker/aws.sh"}
    for where, words in found:
        match words:
            case ["fleetflow", *rest]:
                check_fleetflow(rest)
            case ["airflow", *rest]:
                check_airflow(rest)
            case ["python", "-m", module, *_]:
                assert importlib.util.find_spec(module), (where, module)
            case ["python", script, *_]:
                assert (PROJECT_ROOT / script).is_file(), (where, script)
            case ["socat", *_]:
                assert " socat" in (DOCKER / "Dockerfile").read_text()
            case _:
                assert (PROJECT_ROOT / words[0]).is_file(), (where, words)


def check_fleetflow(words: list[str]) -> None:
    """The command resolves in the program, and takes these options."""
    import typer

    from fleetflow.cli import app

    program: Any = typer.main.get_command(app)
    if words != ["--help"]:
        context = program.make_context("fleetflow", list(words))
        name, command, rest = program.resolve_command(context, list(words))
        assert command is not None, words
        command.make_context(name, rest, parent=context)


@pytest.mark.parametrize(
    ("report", "part", "says"),
    [
        ({"scheduler": {"status": "healthy"}}, "scheduler", ""),
        ({"scheduler": {"status": "unhealthy"}}, "scheduler", "scheduler is unhealthy"),
        ({"triggerer": None}, "triggerer", "triggerer is unknown"),
    ],
)
def test_probe_reads_airflows_health_report(report: dict[str, Any], part: str, says: str) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(report).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [sys.executable, str(DOCKER / "probe.py"), f"http://127.0.0.1:{server.server_port}/", part]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        server.shutdown()
    assert (done.returncode, done.stderr.strip()) == (int(bool(says)), says)


def test_probe_of_nobody_fails_in_one_line() -> None:
    port = pick_port(None, None, "FLEETFLOW_AWS_PORT")
    command = [sys.executable, str(DOCKER / "probe.py"), f"http://127.0.0.1:{port}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_a_command_that_is_not_there_is_seen() -> None:
    for words in (["landd"], ["land", "--no-such-option"]):
        with pytest.raises(Exception, match="No such"):
            check_fleetflow(words)
    with pytest.raises(SystemExit):
        check_airflow(["webserver"])


def check_airflow(words: list[str]) -> None:
    """Airflow's own parser takes the words."""
    from airflow.cli import cli_parser

    cli_parser.get_parser().parse_args(words)


# --- environment


def test_every_variable_that_is_set_is_known(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for variable in service.get("environment", {}):
            if name in FOREIGN:
                scripts = "".join(path.read_text() for path in (DOCKER / "postgres").iterdir())
                assert variable in FOREIGN[name] or f" {variable}\n" in scripts, (name, variable)
            elif variable.startswith("AIRFLOW__"):
                assert airflow_knows(variable), variable
            else:
                known = variable in STANDARD | PGP_KEYS or reads_setting(service["environment"], variable)
                assert known or variable == "AIRFLOW_ADMIN_PASSWORD", (name, variable)


def reads_setting(variables: dict[str, str], name: str) -> bool:
    """Whether another value of the variable gives other settings."""

    def facts(changed: dict[str, str]) -> object:
        home = default_home(changed)
        return replace(load_settings(home / "no-stack", changed), environment={}, home=home)

    return facts(variables) != facts({**variables, name: variables[name] + "x"})


def airflow_knows(variable: str) -> bool:
    from airflow.configuration import conf

    _, section, key = variable.split("__", 2)
    options = conf.configuration_description.get(section.lower(), {}).get("options", {})
    return key.lower() in options


def test_settings_are_read_as_they_are_set(services: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    settings = load_settings(tmp_path, services["land"]["environment"])
    for role, user in [("owner", "fleet_admin"), ("loader", "fleet_loader"), ("analyst", "fleet_analyst")]:
        address = urlsplit(settings.dsn(role))
        assert (address.username, address.hostname, address.path) == (user, "postgres", "/warehouse")
    assert urlsplit(settings.orders_cdc_dsn.reveal()).username == "orders_cdc"
    assert settings.aws_endpoint_url == "http://aws:4566"
    assert len(settings.pseudonym_key) >= 32


# --- what the scripts do, on a real Postgres


@pytest.fixture
def initialised(environment: dict[str, str], tmp_path: Path) -> Iterator[int]:
    """A Postgres on which the image's start script ran, as the image runs it."""
    script = DOCKER / "postgres" / "10-create-databases.sql"
    with running(tmp_path) as port:
        psql = choose_place(tmp_path).programs / "psql"
        admin = postgres.dsn(port, postgres.ADMIN, PASSWORD, "postgres")
        command = [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(script), admin]
        subprocess.run(command, env={**os.environ, **environment}, check=True, timeout=60)
        yield port


def test_prepared_databases_serve_migration_and_cdc(
    initialised: int, environment: dict[str, str], tmp_path: Path
) -> None:
    port = initialised
    warehouse = postgres.dsn(port, postgres.ADMIN, PASSWORD, "postgres")
    addresses = {
        "OWNER": warehouse,
        "LOADER": postgres.dsn(port, "fleet_loader", environment["FLEETFLOW_LOADER_PASSWORD"], "postgres"),
        "ORDERS": postgres.dsn(port, "orders_owner", environment["FLEETFLOW_ORDERS_PASSWORD"], "orders"),
        "ORDERS_CDC": postgres.dsn(port, "orders_cdc", environment["FLEETFLOW_CDC_PASSWORD"], "orders"),
    }
    login = tmp_path / "passwords.json"
    variables = {
        **os.environ,
        **{f"FLEETFLOW_{name}_DSN": address for name, address in addresses.items()},
        "FLEETFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(login),
        "AIRFLOW_ADMIN_PASSWORD": environment["AIRFLOW_ADMIN_PASSWORD"],
    }
    for _ in range(2):
        command = [sys.executable, "infra/docker/prepare.py"]
        variables["PYTHONPATH"] = str(PROJECT_ROOT)
        subprocess.run(command, cwd=PROJECT_ROOT, env=variables, check=True, timeout=60)
    assert json.loads(login.read_text()) == {"admin": environment["AIRFLOW_ADMIN_PASSWORD"]}
    assert stat.S_IMODE(login.stat().st_mode) == 0o600
    apply(warehouse, PROJECT_ROOT / "sql" / "migrations")
    with psycopg.connect(addresses["ORDERS_CDC"]) as cdc:
        assert cdc.execute("select driver_id from drivers").fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            cdc.execute("select full_name from drivers")
    with psycopg.connect(addresses["LOADER"]) as loader:
        assert loader.execute("select count(*) from landing.gps_location").fetchone() == (0,)


def test_stand_in_is_filled_as_the_settings_name_things(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    port = pick_port(None, None, "FLEETFLOW_AWS_PORT")
    started = [sys.executable, "-m", "fleetflow.local.aws", "--root", str(tmp_path), "--port", str(port)]
    server = subprocess.Popen(started, cwd=PROJECT_ROOT)
    variables = {**os.environ, **services["aws"]["environment"], "PYTHONPATH": str(PROJECT_ROOT)}
    try:
        for _ in range(2):
            command = [sys.executable, "infra/docker/fill_aws.py", str(port)]
            subprocess.run(command, cwd=PROJECT_ROOT, env=variables, check=True, timeout=90)
        probe = [sys.executable, "infra/docker/probe.py", f"{aws.endpoint(port)}/_fleetflow/health"]
        subprocess.run(probe, cwd=PROJECT_ROOT, check=True, timeout=30)
        settings = services["land"]["environment"]
        streams = aws.client(port, "kinesis").list_streams()["StreamNames"]
        topics = [t["TopicArn"] for t in aws.client(port, "sns").list_topics()["Topics"]]
    finally:
        server.terminate()
        server.wait(timeout=30)
    assert set(streams) == {settings[f"FLEETFLOW_{name}_STREAM"] for name in ("GPS", "STATUS", "TELEMETRY")}
    assert topics == [settings["FLEETFLOW_ALERT_TOPIC_ARN"]]
