"""Decrypts one OpenPGP file in a process of its own, whose output cannot grow beyond a limit: messages are compressed.

Run as a script: the job comes as JSON on standard input (so no key is ever an argument or on disk), the answer goes
to standard output as JSON: `signatures`, or `fault` in one line.
"""

from __future__ import annotations

import base64
import json
import resource
import signal
import sys
from typing import Any


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Do one job: decrypt `source` to `target`, with `secret`, holding signatures against `signers` if `signed`."""
    from pysequoia import Cert, Tsk, decrypt_file

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit"], job["limit"]))
    try:
        secret = Tsk.from_bytes(base64.b64decode(job["secret"]))
        decryptor = secret.decryptor(job["password"]) if job["password"] else secret.decryptor()
        certs = [Cert.from_bytes(base64.b64decode(signer)) for signer in job["signers"]]
    except Exception as fault:
        return {"fault": f"key: {_line(fault)}"}
    store = (lambda ids: certs) if job["signed"] else None
    try:
        found = decrypt_file(job["source"], job["target"], decryptor=decryptor, store=store)
    except Exception as fault:
        return {"fault": _line(fault)}
    return {"signatures": len(found.valid_sigs)}


def _line(fault: Exception) -> str:
    return (str(fault).splitlines() or [type(fault).__name__])[0]


if __name__ == "__main__":
    json.dump(work(json.load(sys.stdin)), sys.stdout)
