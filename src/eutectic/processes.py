"""Several processes at one work: how their progress comes back, how they share threads, and that none outlives who started it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eutectic.context import Progress


@dataclass(frozen=True)
class Relay:
    """Progress of another process: what is said goes into a queue that `relayed` empties where people look."""

    queue: Any  # a multiprocessing queue
    source: str = ""  # names the work among several

    def start(self, task: str, total: float, unit: str) -> None:
        """See `Progress`."""
        self.queue.put((self.source, "start", (task, total, unit)))

    def advance(self, amount: float, note: str = "") -> None:
        """See `Progress`."""
        self.queue.put((self.source, "advance", (amount, note)))


@contextlib.contextmanager
def relayed(queue: Any, progress: Mapping[str, Progress]) -> Iterator[None]:
    """While this lasts, what `Relay`s of other processes say is told to the progress of their source; who has none is not heard."""

    def listen() -> None:
        while (said := queue.get()) is not None:
            source, what, arguments = said
            if source in progress:
                getattr(progress[source], what)(*arguments)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        queue.put(None)
        listener.join()


def threads_each(threads: int, processes: int) -> int:
    """CPU threads of each of several processes that share `threads`."""
    return max(1, threads // max(1, processes))


def die_with(starter: int) -> None:
    """End this process when the one that started it is gone, kill -9 included: nobody may go on writing without the step's lock."""

    def watch() -> None:
        while os.getppid() == starter:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
