"""Reads a slot ahead of what applies it: round after round, through a temporary copy of the slot.

A round is at most so many changes, in whole transactions; one round is one transaction in the warehouse. The server
decodes a round before it gives out the first message, so a thread of its own asks for the next one while the warehouse
still writes the last. Memory: what PORTIONS_AHEAD portions of a few MiB take.
"""

from __future__ import annotations

from collections.abc import Iterator
from queue import Empty, Queue
from threading import Thread
from types import TracebackType
from typing import Any

import psycopg

from ingestion.cdc import slot

Connection = psycopg.Connection[tuple[Any, ...]]

PORTIONS_AHEAD = 12


class _RoundEnd:
    """Stands in the queue after a round's last portion."""


class Reader:
    """A slot's messages from where it stands up to a position; leaves the slot as it is.

    The connection that reads has a thread of its own, from entering the context to leaving it.
    """

    def __init__(
        self,
        source: Connection,
        slot_name: str,
        publication: str,
        upto_lsn: int,
        round_changes: int,
        *,
        binary: bool,
    ) -> None:
        self._source = source
        self._slot = slot_name
        self._publication = publication
        self._upto = upto_lsn, round_changes
        self._binary = binary
        self._queue: Queue[list[bytes] | _RoundEnd | BaseException] = Queue(PORTIONS_AHEAD)
        self._thread = Thread(target=self._work, name="cdc-reader", daemon=True)
        self._connection: Connection | None = None
        self._is_left = False

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_left = True
        while self._thread.is_alive():
            if self._connection is not None and not self._connection.closed:
                self._connection.cancel_safe(timeout=1)
            try:
                self._queue.get(timeout=0.05)
            except Empty:
                continue

    def read_round(self) -> Iterator[list[bytes]]:
        """Give the portions of the next round; waits for them.

        Raises:
            CdcError, psycopg.Error: what befell the reading connection.
        """
        while not isinstance(item := self._queue.get(), _RoundEnd):
            if isinstance(item, BaseException):
                raise item
            yield item

    def _work(self) -> None:
        info = self._source.info
        try:
            with psycopg.connect(info.dsn, password=info.password, autocommit=True) as connection:
                self._connection = connection
                name = slot.copy_temporarily(connection, self._slot)
                while not self._is_left and self._read(connection, name):
                    self._queue.put(_RoundEnd())
                self._queue.put(_RoundEnd())
        except BaseException as fault:
            self._queue.put(fault)

    def _read(self, connection: Connection, name: str) -> bool:
        """Read a round; return whether there may be another."""
        messages = 0
        for portion in slot.take(connection, name, self._publication, self._upto, binary=self._binary):
            messages += len(portion)
            self._queue.put(portion)
            if self._is_left:
                return False
        return messages >= self._upto[1]
