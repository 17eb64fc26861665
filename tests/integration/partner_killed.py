"""A partner's load that kills itself, as kill -9 does, when it comes to a step for the nth time."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.context import ForkServerContext
from pathlib import Path

from fleetflow.partner_load import load
from fleetflow.partners import read_partner
from fleetflow.settings import load_settings

PRELOADED = [
    __name__,
    "ingestion.partners.load",
    "ingestion.landing.ledger",
    "boto3",
    "ingestion.partners.fetch.remote",
]


def preloaded() -> ForkServerContext:
    """A server of fresh processes that have everything imported: a kill costs no start of Python."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def load_until(home: str, name: str, step: str, times: int, scratch: str) -> None:
    """Load in this process; at the nth time of a step, die."""
    left = times

    def watch(reached: str) -> None:
        nonlocal left
        left -= reached == step
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = load_settings(Path(home), {})
    load(settings, read_partner(settings, name), step=watch, scratch=Path(scratch))
