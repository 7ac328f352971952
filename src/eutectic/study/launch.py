"""Running a study on this machine: one step after the other, or side by side on several devices.

A step that another process is making is waited for and then found published. kill -9 at any moment costs at most the
work since the running step's last save.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from eutectic.artifacts import Record
from eutectic.context import Context, Progress, Silent
from eutectic.errors import InputError
from eutectic.store import Store
from eutectic.study import status
from eutectic.study.addresses import of_model, select
from eutectic.study.graph import Graph
from eutectic.study.make import make
from eutectic.study.nodes import Step
from eutectic.study.status import Standing
from eutectic.study.workers import side_by_side


class Watcher(Protocol):
    """Who follows a run."""

    def begin(self, step: Step, position: int, total: int) -> Progress:
        """A step begins; `position` counts from 1 among the `total` steps to do. Returns where it reports."""

    def end(self, step: Step, record: Record) -> None:
        """A step was published."""

    def notice(self, text: str) -> None:
        """Something worth a line: waiting for another process, a stale folder made again."""


@dataclass
class Outcome:
    """What a run did: steps made, steps found done, steps left out by `only`."""

    made: list[Record] = field(default_factory=list)
    found: int = 0


def wanted(graph: Graph, only: Iterable[str]) -> list[Step]:
    """The written steps to consider: all, or those whose address matches a pattern, with everything they need."""
    steps = list(graph.written())
    patterns = list(only)
    if not patterns:
        return steps
    addresses = [s.address for s in steps] + [of_model(s.address) for s in steps]
    chosen, empty = select(patterns, dict.fromkeys(addresses), graph.controls)
    if empty:
        raise InputError(f"the pattern {empty[0]!r} matches no step", place="--only", remedy="`eutectic plan` lists the addresses.")
    keys: set[str] = set()

    def take(step: Step) -> None:
        if step.key not in keys:
            keys.add(step.key)
            for parent in graph.before(step):
                take(parent)

    for step in steps:
        if step.address in chosen or of_model(step.address) in chosen:
            take(step)
    return [step for step in steps if step.key in keys]


def run(graph: Graph, store: Store, context: Context, watcher: Watcher, only: Iterable[str] = (), shard: int | None = None) -> Outcome:
    """Bring every wanted step to done; raises the first step's error after leaving all earlier ones published.

    With several devices steps that do not need each other are made side by side, one device each; training is spread over `shard` of
    them (all, where left out).
    """
    store.prepare()
    steps = wanted(graph, only)
    keys = {step.key for step in steps}
    here = [s for s in status.standings(graph, store) if s.step.key in keys]
    todo = [s for s in here if s.state != "done"]
    outcome = Outcome(found=len(here) - len(todo))
    one = len(context.devices) == 1
    made = _one_by_one(todo, store, context, watcher) if one else side_by_side(todo, graph, store, context, watcher, shard)
    for step, record in made:
        if record is None:
            outcome.found += 1
        else:
            outcome.made.append(record)
            watcher.end(step, record)
    store.digests.save()
    return outcome


def _one_by_one(todo: list[Standing], store: Store, context: Context, watcher: Watcher) -> Iterator[tuple[Step, Record | None]]:
    for position, item in enumerate(todo, 1):
        progress = watcher.begin(item.step, position, len(todo))
        yield item.step, make(item.step, item.reason, store, replace(context, progress=progress), watcher.notice)


class Unwatched:
    """A run that nobody follows."""

    def begin(self, step: Step, position: int, total: int) -> Progress:  # noqa: ARG002
        """Nothing is shown."""
        return Silent()

    def end(self, step: Step, record: Record) -> None:
        """Nothing is shown."""

    def notice(self, text: str) -> None:
        """Nothing is shown."""
