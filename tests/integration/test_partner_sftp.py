"""The SFTP server of the stack and the client of the loads, against each other."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import asyncssh
import psutil
import pytest

from fleetflow.local import sftp, stack
from fleetflow.local.errors import StackError
from fleetflow.local.process import alive, wait_until
from fleetflow.local.state import load
from fleetflow.partners import address_of, read_accounts
from fleetflow.settings import load_settings
from ingestion.partners.declare.model import Completeness, CsvFormat, Declaration
from ingestion.partners.fetch.arrival import find_whole
from ingestion.partners.fetch.remote import (
    AccessFault,
    Address,
    ConnectionFault,
    FileChanged,
    FileGone,
    FileTooLarge,
    Patience,
    Remote,
    UnsafeFile,
)
from tests.integration.partner_server import Server, as_partner, breaking_line, lying_server

BRISK = Patience(connect_s=20, stall_s=20, tries=2, pause_s=0.01)
LIMIT = 1 << 40
MIB = 1 << 20


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("declared")
    (directory / "alpha.yaml").write_text("account: alpha\ndirectory: /out\n")
    (directory / "beta.yaml").write_text("account: beta\ndirectory: outgoing/fuel\n")
    return directory


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, declared: Path) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("sftp") / "home"
    with stack.running(home, ("sftp",), env={"FLEETFLOW_PARTNERS_DIR": str(declared)}):
        yield Server(home, load(home).ports["sftp"])


@pytest.fixture
def out(server: Server) -> Iterator[Path]:
    """The directory of alpha, empty."""
    directory = server.root("alpha") / "out"
    yield directory
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def remote(server: Server, account: str = "alpha", directory: str = "/out") -> Remote:
    return Remote(server.address(account), directory, BRISK)


# --- the part


def test_each_partner_has_an_account_a_key_and_a_root(server: Server, declared: Path) -> None:
    assert (server.root("beta") / "outgoing" / "fuel").is_dir()
    for account in ("alpha", "beta"):
        key = server.base / "keys" / account
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert key.with_suffix(".pub").read_text().startswith("ssh-ed25519 ")
    assert stat.S_IMODE((server.base / "host_key").stat().st_mode) == 0o600
    settings = load_settings(server.home, {})
    declaration = replace(declaration_of(), account="beta")
    assert address_of(settings, declaration) == server.address("beta")


def test_it_listens_on_the_loopback_only_and_is_well(server: Server) -> None:
    part = next(one for one in stack.status(server.home) if one.part == "sftp")
    assert (part.running, part.problem, part.address) == (True, None, f"sftp://127.0.0.1:{server.port}")
    assert part.pid is not None
    listening = [
        one for one in psutil.Process(part.pid).net_connections() if one.status == psutil.CONN_LISTEN
    ]
    assert {one.laddr.ip for one in listening} == {"127.0.0.1"}


def test_up_again_lets_a_new_partner_in_at_once(server: Server, declared: Path) -> None:
    before = load(server.home).procs["sftp"]
    keys = {path.name: path.read_bytes() for path in (server.base / "keys").iterdir()}
    (declared / "gamma.yaml").write_text("directory: here\n")
    stack.up(server.home, ("sftp",), env={"FLEETFLOW_PARTNERS_DIR": str(declared)})
    assert load(server.home).procs["sftp"] == before
    assert {
        path.name: path.read_bytes() for path in (server.base / "keys").iterdir() if path.name in keys
    } == keys
    with remote(server, "gamma", "here") as files:
        assert files.list() == []


def test_killed_it_comes_back_with_the_same_host_key(server: Server, declared: Path) -> None:
    proc = load(server.home).procs["sftp"]
    os.kill(proc.pid, signal.SIGKILL)
    assert wait_until(lambda: not alive(proc), 10)
    assert next(one for one in stack.status(server.home) if one.part == "sftp").problem == "not running"
    stack.up(server.home, ("sftp",), env={"FLEETFLOW_PARTNERS_DIR": str(declared)})
    with remote(server) as files:
        assert files.list() == []


@pytest.mark.parametrize("account", ["../up", "Alpha", "a" * 40, ""])
def test_an_account_that_is_no_name_is_refused(tmp_path: Path, account: str) -> None:
    with pytest.raises(StackError, match="cannot be an SFTP account"):
        sftp.provision(tmp_path, {account: ()}, [("127.0.0.1", 22)])


def test_a_directory_that_leaves_the_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="leaves the account's root"):
        sftp.provision(tmp_path, {"alpha": ("in/../../x",)}, [("127.0.0.1", 22)])


def test_partners_that_share_an_account_share_its_directories(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("account: shared\ndirectory: a\n")
    (tmp_path / "two.yaml").write_text("account: shared\ndirectory: b\n")
    (tmp_path / "broken.yaml").write_text("account: [")
    assert read_accounts(tmp_path) == {"broken": ("",), "shared": ("a", "b")}


# --- who gets in


def test_another_accounts_key_is_refused_with_the_way_out(server: Server) -> None:
    wrong = replace(server.address("alpha"), key=server.address("beta").key)
    with pytest.raises(AccessFault) as caught, Remote(wrong, patience=BRISK):
        pass
    for word in (f"sftp://alpha@127.0.0.1:{server.port}", wrong.key, "ssh-keygen -y", "FLEETFLOW_SFTP_KEY"):
        assert word in str(caught.value)


def test_an_unknown_account_is_refused(server: Server) -> None:
    with (
        pytest.raises(AccessFault, match="stranger"),
        Remote(replace(server.address("alpha"), account="stranger"), patience=BRISK),
    ):
        pass


def test_a_server_with_another_host_key_is_refused(server: Server, tmp_path: Path) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    hosts = tmp_path / "known_hosts"
    hosts.write_text(f"[127.0.0.1]:{server.port} {other}")
    with (
        pytest.raises(AccessFault, match=r"does not show a host key that .*known_hosts holds.*ssh-keyscan"),
        Remote(replace(server.address("alpha"), known_hosts=str(hosts)), patience=BRISK),
    ):
        pass


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"key": "/nowhere/key"},
            "the key /nowhere/key .* cannot be read .*No such file.*FLEETFLOW_SFTP_KEY",
        ),
        ({"key": "-----BEGIN RUBBISH-----\nxyz"}, "the key of the settings .* cannot be read"),
        ({"known_hosts": "/nowhere/hosts"}, "the host keys /nowhere/hosts .*FLEETFLOW_SFTP_KNOWN_HOSTS"),
    ],
)
def test_what_is_wrong_with_key_or_host_keys_is_named(
    server: Server, change: dict[str, str], words: str
) -> None:
    with (
        pytest.raises(AccessFault, match=words),
        Remote(replace(server.address("alpha"), **change), patience=BRISK),
    ):
        pass


def test_a_key_given_as_text_gets_in(server: Server) -> None:
    address = server.address("alpha")
    text = Path(address.key).read_text()
    with Remote(replace(address, key=text), "/out", BRISK) as files:
        assert files.list() == []
    assert text not in repr(replace(address, key=text))


def test_nobody_there_is_said_with_the_address(server: Server) -> None:
    nobody = replace(server.address("alpha"), port=1)
    with (
        pytest.raises(ConnectionFault, match=r"alpha@127\.0\.0\.1:1: cannot be reached.*FLEETFLOW_SFTP_URL"),
        Remote(nobody, patience=BRISK),
    ):
        pass


async def _shell(address: Address) -> None:
    async with asyncssh.connect(
        address.host, address.port, username=address.account, client_keys=[address.key],
        known_hosts=address.known_hosts, config=None, agent_path=None,
    ) as conn:  # fmt: skip
        for attempt in (conn.run("id"), conn.create_process(), conn.open_connection("127.0.0.1", 22)):
            with pytest.raises((asyncssh.ChannelOpenError, asyncssh.ProcessError)):
                await attempt
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect(
            address.host, address.port, username=address.account, client_keys=[], password="alpha",
            known_hosts=address.known_hosts, config=None, agent_path=None,
        )  # fmt: skip


def test_there_is_no_shell_no_forwarding_and_no_password(server: Server) -> None:
    asyncio.run(_shell(server.address("alpha")))


# --- nobody gets out


WAYS_OUT = (
    "../../keys/alpha", "/../../host_key", "/etc/passwd", "out/../../beta/secret", "dirlink/secret", "filelink",
)  # fmt: skip


@pytest.mark.parametrize("path", WAYS_OUT)
def test_an_account_reaches_nothing_beyond_its_root(server: Server, out: Path, path: str) -> None:
    """Dots end at the root, links are not followed: nothing outside is read, made, changed or moved."""
    root, secret = server.root("alpha"), server.root("beta") / "secret"
    secret.write_text("secret")
    (root / "dirlink").symlink_to(server.root("beta"))
    (root / "filelink").symlink_to(secret)
    outside = snapshot(server)
    read: list[bytes] = []

    async def read_it(client: asyncssh.SFTPClient) -> None:
        async with client.open(path, "rb", encoding=None) as file:
            read.append(bytes(await file.read()))

    async def write_it(client: asyncssh.SFTPClient) -> None:
        async with client.open(path, "wb") as file:
            await file.write("mine")

    async def try_all(client: asyncssh.SFTPClient) -> None:
        for attempt in (
            read_it(client), client.listdir(path), client.readlink(path), client.truncate(path, 0),
            client.rmtree(path), client.rename(path, "out/mine"), client.utime(path, (1, 1)),
            client.mkdir(path + "/x"), write_it(client),
        ):  # fmt: skip
            with suppress(asyncssh.SFTPError):
                await attempt

    as_partner(server.address("alpha"), try_all)
    assert read == []
    assert snapshot(server) == outside
    for entry in root.iterdir():
        if entry != out:
            entry.unlink() if entry.is_symlink() or entry.is_file() else shutil.rmtree(entry)


def snapshot(server: Server) -> dict[Path, tuple[float, bytes]]:
    """Every file of the server's that is not alpha's, and one that is nobody's."""
    files = [
        path for path in server.base.rglob("*") if server.root("alpha") not in path.parents and path.is_file()
    ]
    return {path: (path.stat().st_mtime, path.read_bytes()) for path in (*files, Path("/etc/passwd"))}


@pytest.mark.parametrize("path", ["dirlink/secret", "filelink"])
def test_links_that_lie_there_are_refused(server: Server, out: Path, path: str) -> None:
    root = server.root("alpha")
    (server.root("beta") / "secret").write_text("secret")
    (root / "dirlink").symlink_to(server.root("beta"))
    (root / "filelink").symlink_to(server.root("beta") / "secret")

    async def work(client: asyncssh.SFTPClient) -> None:
        with pytest.raises(asyncssh.SFTPError):
            await client.open(path, "rb")
        with pytest.raises(asyncssh.SFTPError):
            await client.listdir("dirlink")

    try:
        as_partner(server.address("alpha"), work)
    finally:
        (root / "dirlink").unlink()
        (root / "filelink").unlink()


def test_links_owners_and_permissions_are_not_the_clients(server: Server, out: Path) -> None:
    async def work(client: asyncssh.SFTPClient) -> None:
        async with client.open("out/a.csv", "wb", asyncssh.SFTPAttrs(permissions=0o777)) as file:
            await file.write(b"1,2\n")
        await client.setstat(
            "out/a.csv", asyncssh.SFTPAttrs(permissions=0o4777, uid=0, gid=0, atime=5, mtime=5)
        )
        for attempt in (client.symlink("/etc/passwd", "out/l"), client.link("out/a.csv", "out/b.csv")):
            with pytest.raises(asyncssh.SFTPError):
                await attempt
        await client.mkdir("out/in")
        assert await client.realpath("out/../out/in") == "/out/in"

    as_partner(server.address("alpha"), work)
    found = (out / "a.csv").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o600, 5)
    assert sorted(path.name for path in out.iterdir()) == ["a.csv", "in"]


# --- listing and fetching


def test_a_listing_shows_files_and_what_is_odd_about_them(server: Server, out: Path) -> None:
    (out / "fuel_2.csv").write_text("two")
    (out / "fuel_1.csv").write_text("one!")
    os.utime(out / "fuel_1.csv", (1_700_000_000, 1_700_000_000))
    (out / "fuel_dir.csv").mkdir()
    (out / "fuel_link.csv").symlink_to("fuel_1.csv")
    (out / "fuel_\n.csv").write_text("")
    (out / "other.txt").write_text("")
    with remote(server) as files:
        found = {file.name: file for file in files.list("fuel_*.csv")}
        with pytest.raises(UnsafeFile, match="symbolic link"):
            files.fetch("fuel_link.csv", out.parent / "x", LIMIT)
    assert sorted(found) == ["fuel_1.csv", "fuel_2.csv", "fuel_<U+000A>.csv", "fuel_link.csv"]
    assert (found["fuel_1.csv"].size, found["fuel_1.csv"].unsafe) == (4, None)
    assert found["fuel_1.csv"].modified_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert found["fuel_link.csv"].unsafe == "it is a symbolic link"
    assert "control" in str(found["fuel_<U+000A>.csv"].unsafe)


def test_a_server_that_lies_about_names_is_not_believed(tmp_path: Path) -> None:
    names = [
        b"fuel_1.csv",
        b"../fuel_2.csv",
        b"/etc/fuel_3.csv",
        b"..",
        b"fuel_\xff.csv",
        b"f" * 300 + b".csv",
    ]
    with lying_server(names, tmp_path) as address, Remote(address, ".", BRISK) as files:
        found = files.list("f*.csv")
        assert [file.name for file in found if file.unsafe is None] == ["fuel_1.csv"]
        assert len(found) == 5
        for name in ("../fuel_2.csv", "/etc/fuel_3.csv", "..", ""):
            with pytest.raises(UnsafeFile, match="is not fetched"):
                files.fetch(name, tmp_path / "x", LIMIT)
    assert not (tmp_path / "x").exists()


def test_a_big_file_is_streamed_with_its_hash(server: Server, out: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256()
    with (out / "big.bin").open("wb") as file:
        for _ in range(96):
            block = os.urandom(MIB)
            digest.update(block)
            file.write(block)
    process, told, peak = psutil.Process(), [], 0
    before = process.memory_info().rss

    def tell(done: int, size: int) -> None:
        nonlocal peak
        told.append((done, size))
        peak = max(peak, process.memory_info().rss)

    with remote(server) as files:
        assert files.fetch("big.bin", tmp_path / "big.bin", LIMIT, tell) == digest.hexdigest()
    assert (tmp_path / "big.bin").stat().st_size == 96 * MIB
    assert told[-1] == (96 * MIB, 96 * MIB)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert peak - before < 48 * MIB


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 7])
def test_every_size_comes_whole(server: Server, out: Path, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (out / "a.bin").write_bytes(data)
    with remote(server) as files:
        assert files.fetch("a.bin", tmp_path / "a", size) == hashlib.sha256(data).hexdigest()
        assert files.read_small("a.bin", size) == data
        if size:
            for read in (
                lambda: files.fetch("a.bin", tmp_path / "b", size - 1),
                lambda: files.read_small("a.bin", size - 1),
            ):
                with pytest.raises(
                    FileTooLarge, match=f"holds {size:,} bytes; at most {size - 1:,} are declared"
                ):
                    read()
    assert (tmp_path / "a").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("how", ["grows", "shrinks", "is replaced", "goes"])
def test_a_file_that_changes_while_it_is_fetched_is_not_whole(
    server: Server, out: Path, tmp_path: Path, how: str
) -> None:
    path = out / "a.bin"
    path.write_bytes(os.urandom(30 * MIB))

    def meddle(done: int, size: int) -> None:
        if done > MIB:
            return
        match how:
            case "grows":
                with path.open("ab") as file:
                    file.write(b"more")
            case "shrinks":
                os.truncate(path, 20 * MIB)
            case "is replaced":
                (out / "new").write_bytes(b"x" * (30 * MIB))
                os.utime(out / "new", (5, 5))
                (out / "new").replace(path)
            case "goes":
                path.unlink()

    with remote(server) as files, pytest.raises(FileGone if how == "goes" else FileChanged):
        files.fetch("a.bin", tmp_path / "a", LIMIT, meddle)
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_breaks_in_the_middle_of_a_fetch_is_taken_up_anew(
    server: Server, out: Path, tmp_path: Path
) -> None:
    data = os.urandom(12 * MIB)
    (out / "a.bin").write_bytes(data)
    told: list[int] = []
    with (
        breaking_line(server.address("alpha"), [4 * MIB, 6 * MIB], tmp_path) as address,
        Remote(address, "/out", replace(BRISK, tries=3)) as files,
    ):
        fetched = files.fetch("a.bin", tmp_path / "a", LIMIT, lambda done, _: told.append(done))
    assert fetched == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "a").read_bytes() == data
    assert told.count(told[0]) == 3, "each try begins at the first byte"


def test_a_line_that_keeps_breaking_leaves_nothing_behind(server: Server, out: Path, tmp_path: Path) -> None:
    (out / "a.bin").write_bytes(os.urandom(8 * MIB))
    with (
        breaking_line(server.address("alpha"), [2 * MIB] * 9, tmp_path) as address,
        Remote(address, "/out", BRISK) as files,
        pytest.raises(ConnectionFault, match=r"cannot fetch /out/a\.bin.*check that the server runs"),
    ):
        files.fetch("a.bin", tmp_path / "a", LIMIT)
    assert [path.name for path in tmp_path.iterdir()] == ["known_hosts"]


def test_a_server_that_is_killed_in_the_middle_of_a_fetch(
    server: Server, declared: Path, out: Path, tmp_path: Path
) -> None:
    """It dies under the reader, comes back, and the reader ends with the whole file."""
    data = os.urandom(20 * MIB)
    (out / "a.bin").write_bytes(data)
    killed = []

    def kill(done: int, size: int) -> None:
        if not killed:
            proc = load(server.home).procs["sftp"]
            killed.append(proc.pid)
            os.kill(proc.pid, signal.SIGKILL)
            assert wait_until(lambda: not alive(proc), 10)
            stack.up(server.home, ("sftp",), env={"FLEETFLOW_PARTNERS_DIR": str(declared)})

    with remote(server) as files:
        assert files.fetch("a.bin", tmp_path / "a", LIMIT, kill) == hashlib.sha256(data).hexdigest()
    assert load(server.home).procs["sftp"].pid != killed[0]


def test_files_are_moved_and_removed_and_nothing_is_written_over(server: Server, out: Path) -> None:
    with remote(server) as files:
        for text in ("one", "two"):
            (out / "a.csv.gz").write_text(text)
            files.move("a.csv.gz", "loaded/a.csv.gz")
        assert files.move("a.csv.gz", "loaded/a.csv.gz") == "loaded/a.csv.gz", "done by an earlier try"
        (out / "b.csv").write_text("b")
        files.remove("b.csv")
        files.remove("b.csv")
        with pytest.raises(UnsafeFile):
            files.move("a.csv", "../a.csv")
        with pytest.raises(UnsafeFile):
            files.remove("../a.csv")
        assert files.list() == []
    moved = {path.name: path.read_text() for path in (out / "loaded").iterdir()}
    assert moved == {"a.csv.gz": "one", "a~2.csv.gz": "two"}


def test_a_directory_that_is_not_there_is_named(server: Server) -> None:
    with remote(server, directory="nowhere") as files, pytest.raises(FileGone, match="cannot list nowhere"):
        files.list()


# --- arrival, as partners do it


def declaration_of(**rules: object) -> Declaration:
    return Declaration(
        name="alpha", tenant_id="acme", feed="fuel_purchase", account="alpha", directory="/out", pattern="fuel_*",
        format=CsvFormat(), columns={}, line_key=(), completeness=Completeness(**rules),  # type: ignore[arg-type]
    )  # fmt: skip


STEPS: dict[str, tuple[dict[str, object], list[tuple[str, str]], list[bool]]] = {
    "upload, then rename": ({}, [("put", "fuel_1.csv.part"), ("rename", "fuel_1.csv")], [False, True]),
    "marker": ({"done": "{name}.done"}, [("put", "fuel_1.csv"), ("put", "fuel_1.csv.done")], [False, True]),
    "checksum": ({"checksum": "{name}.sha256"}, [("put", "fuel_1.csv"), ("put", "fuel_1.csv.sha256")], [False, True]),
    "manifest": ({"manifest": "MANIFEST.txt"}, [("put", "fuel_1.csv"), ("put", "MANIFEST.txt")], [False, True]),
    "two looks": (
        {"stable": True},
        [("put", "fuel_1.csv"), ("append", "fuel_1.csv"), ("nothing", ""), ("append", "fuel_1.csv"), ("nothing", "")],
        [False, False, True, False, True],
    ),
    "trailer": (
        {"trailer": True},
        [("put", "fuel_1.csv"), ("append", "fuel_1.csv"), ("nothing", "")],
        [False, False, True],
    ),
}  # fmt: skip


@pytest.mark.parametrize("convention", STEPS)
def test_arrival_by_convention(server: Server, out: Path, convention: str) -> None:
    rules, steps, whole = STEPS[convention]
    declaration = declaration_of(**rules)
    looks: dict[str, tuple[int, datetime]] = {}
    found = []
    with remote(server) as files:
        for step, name in steps:
            as_partner(server.address("alpha"), lambda client, s=step, n=name: play(client, s, n))
            listing = files.list()
            found.append([one.file.name for one in find_whole(listing, declaration, looks)] == ["fuel_1.csv"])
            looks = {file.name: (file.size, file.modified_at) for file in listing}
    assert found == whole


async def play(client: asyncssh.SFTPClient, step: str, name: str) -> None:
    match step:
        case "put":
            async with client.open(f"out/{name}", "wb") as file:
                await file.write(b"1,2,3\n")
        case "append":
            async with client.open(f"out/{name}", "ab") as file:
                await file.write(b"4,5,6\n")
        case "rename":
            await client.rename(f"out/{name}.part", f"out/{name}")
        case _:
            return
