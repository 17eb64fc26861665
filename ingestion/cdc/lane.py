"""One thread that works off jobs in order, so that decoding goes on while the warehouse writes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

_AHEAD = 2


class Lane:
    """Jobs that use one connection: one after the other, and at most two ahead of the caller.

    Whoever uses that connection directly calls `drain` before. Leaving the context waits for the job at work and
    drops those that wait, so that the caller may roll back.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cdc")
        self._jobs: deque[Future[None]] = deque()

    def __enter__(self) -> Lane:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=kind is not None)

    def submit(self, job: Callable[[], None]) -> None:
        """Add a job; wait for an older one if too many are ahead, and raise what it raised."""
        while len(self._jobs) >= _AHEAD:
            self._jobs.popleft().result()
        self._jobs.append(self._thread.submit(job))

    def drain(self) -> None:
        """Wait until every job is done; raise what the first failing one raised."""
        while self._jobs:
            self._jobs.popleft().result()
