"""Health probe: `probe.py URL [PART]` exits 0 when the address answers 200 within five seconds.

With a part, the answer is Airflow's health report, and that part's heartbeat must be healthy. This costs a fraction of
a second; `airflow jobs check` imports Airflow for it, every time. An ssh:// address is well when its server greets.
"""

from __future__ import annotations

import json
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request


def main(address: str, part: str | None = None) -> None:
    """Ask once, and exit 1 with one line if the answer is not what it should be."""
    try:
        if address.startswith("ssh://"):
            greet(address)
            return
        with urllib.request.urlopen(address, timeout=5) as answer:
            report = json.load(answer) if part else {}
    except (urllib.error.URLError, OSError, ValueError) as fault:
        sys.exit(f"{address}: {fault}")
    if part and (status := (report.get(part) or {}).get("status")) != "healthy":
        sys.exit(f"{part} is {status or 'unknown'}")


def greet(address: str) -> None:
    """Wait for an SSH server's first words; ValueError when somebody else speaks."""
    place = urllib.parse.urlsplit(address)
    with socket.create_connection((place.hostname, place.port), timeout=5) as line:
        if not line.recv(8).startswith(b"SSH-2.0-"):
            raise ValueError("not an SSH server")


if __name__ == "__main__":
    main(*sys.argv[1:])
