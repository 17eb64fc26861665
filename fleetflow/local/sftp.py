"""The SFTP server as a part of the stack: its accounts and keys, its process, how it is.

Below `<home>/sftp`: `roots/<account>` (all that an account sees), `keys/<account>` (its private key, 0600; `.pub`
beside it), `host_key`, `known_hosts`, by which clients know the server, and `pgp/<key>.asc`, the OpenPGP keys that
declarations name (`.pub.asc` is what the partner encrypts to). An account is made for every partner
that is declared; `fleetflow up` adds those that came since, and the running server takes them at once.
`python -m fleetflow.local.sftp` is the process (see `sftp_server`).
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from fleetflow.local.errors import StackError
from fleetflow.local.process import LOOPBACK, Proc, await_ready, spawn
from fleetflow.local.state import write_private

_ACCOUNT = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_START_S = 120.0


def address(port: int) -> str:
    """Return the server's address."""
    return f"sftp://{LOOPBACK}:{port}"


def base(home: Path) -> Path:
    """Return where the server keeps everything."""
    return home / "sftp"


def log(home: Path) -> Path:
    """Return where the server's process writes."""
    return home / "logs" / "sftp.log"


def provision(
    directory: Path, accounts: Mapping[str, Iterable[str]], places: Iterable[tuple[str, int]]
) -> None:
    """Make what is missing: host key, one key pair and root per account, `known_hosts` for the given places.

    `accounts` maps a name to the directories that its root gets; `places` are the hosts and ports under which
    clients reach the server. Keys that are there stay.

    Raises:
        StackError: the name of an account or a directory cannot be used, or a file cannot be written.
    """
    try:
        for path in (directory, directory / "keys", directory / "roots"):
            path.mkdir(mode=0o700, exist_ok=True)
        host_key = _key_pair(directory / "host_key")
        lines = (f"{_host(name, port)} {host_key}\n" for name, port in places)
        write_private(directory / "known_hosts", "".join(lines))
        for account, folders in accounts.items():
            if not _ACCOUNT.fullmatch(account):
                raise StackError(f"{account!r} cannot be an SFTP account: use 1-32 of a-z 0-9 _ -")
            _key_pair(directory / "keys" / account)
            root = directory / "roots" / account
            for folder in ("", *folders):
                _inside(root, folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"cannot prepare {directory} for SFTP: {error.strerror} ({error.filename})"
        ) from error


def provision_pgp(directory: Path, names: Iterable[str]) -> None:
    """Make the OpenPGP key pairs of these names that are missing; those that are there stay.

    Raises:
        StackError: the name of a key cannot be used, or a file cannot be written.
    """
    try:
        (directory / "pgp").mkdir(mode=0o700, exist_ok=True)
        for name in names:
            if not _ACCOUNT.fullmatch(name):
                raise StackError(f"{name!r} cannot be the name of a PGP key: use 1-32 of a-z 0-9 _ -")
            if not pgp_key(directory, name).exists():
                from pysequoia import Tsk

                pair = Tsk.generate(f"{name} <{name}@fleetflow.invalid>")
                write_private(directory / "pgp" / f"{name}.pub.asc", str(pair.extract_certificate()))
                write_private(pgp_key(directory, name), str(pair))
    except OSError as error:
        raise StackError(
            f"cannot prepare {directory} for PGP: {error.strerror} ({error.filename})"
        ) from error


def pgp_key(directory: Path, name: str) -> Path:
    """Return where the secret key of a name is."""
    return directory / "pgp" / f"{name}.asc"


def launch(home: Path, port: int, env: Mapping[str, str]) -> Proc:
    """Start the server's process.

    Raises:
        StackError: it cannot be started.
    """
    command = [sys.executable, "-m", "fleetflow.local.sftp", "--root", str(base(home)), "--port", str(port)]
    return spawn(command, log(home), env)


def await_up(home: Path, proc: Proc, port: int) -> None:
    """Wait until the server answers.

    Raises:
        StackError: it ended or did not answer in time; the last line of its log is in the message.
    """
    await_ready("The SFTP server", proc, lambda: ready(port), _START_S, log(home))


def ready(port: int) -> bool:
    """Return whether an SSH server answers on this port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2) as probe:
            probe.settimeout(2)
            return probe.recv(8).startswith(b"SSH-2.0-")
    except OSError:
        return False


def main(arguments: list[str] | None = None) -> None:
    """Run the server in this process until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m fleetflow.local.sftp", description=main.__doc__)
    parser.add_argument("--root", type=Path, required=True, help="where keys and roots are kept")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--address", default=LOOPBACK, help="what to listen on")
    parser.add_argument("--partners", type=Path, help="make what the partners declared here need, then serve")
    parser.add_argument(
        "--host", action="append", default=[], help="a name that clients know it by; repeatable"
    )
    chosen = parser.parse_args(arguments)
    from fleetflow.local.sftp_server import serve

    try:
        if chosen.partners:
            from fleetflow.partners import read_accounts, read_pgp_names

            chosen.root.mkdir(parents=True, exist_ok=True)
            places = [(name, chosen.port) for name in chosen.host or [LOOPBACK]]
            provision(chosen.root, read_accounts(chosen.partners), places)
            provision_pgp(chosen.root, read_pgp_names(chosen.partners))
        serve(chosen.root, chosen.address, chosen.port)
    except StackError as fault:
        sys.exit(str(fault))
    except OSError as error:
        sys.exit(f"{os.strerror(error.errno or 0)}: {error.filename or f'port {chosen.port}'}")


def _key_pair(path: Path) -> str:
    """Return the public key of the pair at `path`, made if it is not there."""
    public = path.with_name(path.name + ".pub")
    if not path.exists():
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
            PublicFormat,
        )

        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
        shown = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        write_private(
            public, f"{shown} {path.name}\n"
        )  # first: a private key is never without its public one
        write_private(path, private)
    return " ".join(public.read_text().split()[:2])


def _host(name: str, port: int) -> str:
    return name if port == 22 else f"[{name}]:{port}"


def _inside(root: Path, folder: str) -> Path:
    parts = [part for part in folder.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise StackError(f"{folder!r} leaves the account's root")
    return root.joinpath(*parts)


if __name__ == "__main__":
    main()
