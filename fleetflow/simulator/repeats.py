"""Sends some lines twice: half of the repeats follow at once, half some seconds later."""

from __future__ import annotations

import heapq
from math import log
from random import Random

from fleetflow.simulator.wire import Event

LATEST_MS = 12_000


class Repeater:
    """Holds the repeats that are not due yet, for any number of streams (numbered from 0)."""

    def __init__(self, share: float, rng: Random, streams: int = 2) -> None:
        self._share, self._rng = share, rng
        self._waiting: list[list[tuple[int, int, Event]]] = [[] for _ in range(streams)]
        self._count = 0
        self._skip = [self._gap() for _ in range(streams)]

    def mix(self, stream: int, events: list[Event], now_ms: int) -> list[Event]:
        """The events, with the repeats that are due by now."""
        if not self._share:
            return events
        due, at = list(events), self._skip[stream]
        while at < len(events):
            self._repeat(stream, events[at], now_ms, due)
            at += 1 + self._gap()
        self._skip[stream] = at - len(events)
        waiting = self._waiting[stream]
        while waiting and waiting[0][0] <= now_ms:
            due.append(heapq.heappop(waiting)[2])
        return due

    def rest(self, stream: int) -> list[Event]:
        """What is still due at the end."""
        rest = [event for _, _, event in sorted(self._waiting[stream], key=lambda entry: entry[:2])]
        self._waiting[stream].clear()
        return rest

    def _repeat(self, stream: int, event: Event, now_ms: int, due: list[Event]) -> None:
        feed, key, line, mark = event
        again = (feed, key, line, mark._replace(repeat=True))
        if self._rng.random() < 0.5:
            due.append(again)
            return
        self._count += 1
        after = now_ms + 1 + int(self._rng.random() * LATEST_MS)
        heapq.heappush(self._waiting[stream], (after, self._count, again))

    def _gap(self) -> int:
        """How many lines go by before the next repeat (geometric: one draw a repeat, not one a line)."""
        if self._share >= 1.0 or not self._share:
            return 0
        return int(log(1.0 - self._rng.random()) / log(1.0 - self._share))
