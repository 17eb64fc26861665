"""Tries again what S3 refuses for a while."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 120.0
_LONGEST_S = 5.0

log = logging.getLogger("ingestion.lake")


def persist(call: Callable[[], T], what: str, patience_s: float = PATIENCE_S) -> T:
    """Return what the call returns; faults of storage are tried again, with growing pauses, for `patience_s` seconds.

    Raises:
        FileNotFoundError: the object is not there; waiting would not help.
        OSError: storage refused for longer than that.
    """
    give_up, pause = time.monotonic() + patience_s, 0.2
    while True:
        try:
            return call()
        except FileNotFoundError:
            raise
        except OSError as fault:
            if time.monotonic() + pause > give_up:
                raise
            log.warning("%s: %s; trying again in %.1f s", what, str(fault).splitlines()[0][:200], pause)
        time.sleep(pause * random.uniform(0.8, 1.2))
        pause = min(pause * 2, _LONGEST_S)
