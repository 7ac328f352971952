"""Running a study on this machine: one step after the other, each published before the next begins.

A step that another process is making is waited for and then found published. kill -9 at any moment costs at most the
work since the running step's last save.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from eutectic.artifacts import Record
from eutectic.context import Context
from eutectic.errors import EutecticError, InputError, WorkError
from eutectic.store import Store, full_disk_is_an_error, slug
from eutectic.study import footprint, status
from eutectic.study.addresses import select
from eutectic.study.graph import Graph
from eutectic.study.guards import Guard
from eutectic.study.nodes import Step
from eutectic.study.work import WORK


class Watcher(Protocol):
    """Who follows a run."""

    def begin(self, step: Step, position: int, total: int) -> None:
        """A step begins; `position` counts from 1 among the `total` steps to do."""

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
    addresses = [s.address for s in steps] + [s.address.partition("@")[2] for s in steps]
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
        if step.address in chosen or step.address.partition("@")[2] in chosen:
            take(step)
    return [step for step in steps if step.key in keys]


def run(graph: Graph, store: Store, context: Context, watcher: Watcher, only: Iterable[str] = ()) -> Outcome:
    """Bring every wanted step to done; raises the first step's error after leaving all earlier ones published."""
    store.prepare()
    steps = wanted(graph, only)
    keys = {step.key for step in steps}
    here = [s for s in status.standings(graph, store) if s.step.key in keys]
    todo = [s for s in here if s.state != "done"]
    guard = Guard(graph, store, steps)
    outcome = Outcome(found=len(here) - len(todo))
    for position, item in enumerate(todo, 1):
        guard.check()
        watcher.begin(item.step, position, len(todo))
        record = _make(item, store, context, watcher)
        if record is None:
            outcome.found += 1
        else:
            outcome.made.append(record)
            watcher.end(item.step, record)
    store.digests.save()
    return outcome


def _make(item: status.Standing, store: Store, context: Context, watcher: Watcher) -> Record | None:
    """Make one step under its lock; None when another process published it meanwhile."""
    step = item.step
    with store.lock(
        step.key, lambda owner: watcher.notice(f"{step.kind} {step.address} is being made by another process ({owner}); waiting")
    ):
        now = status.standing(step, store)
        if now.state == "done":  # made meanwhile, or stale only through a parent that came out the same again
            return None
        if now.folder is not None:
            watcher.notice(f"{step.kind} {step.address} is stale ({item.reason or now.reason}); making it again")
            shutil.rmtree(now.folder)
        return _build(step, store, context)


def _build(step: Step, store: Store, context: Context) -> Record:
    """Open the workshop's door on a partial folder and publish what it wrote."""
    partial = store.partial(step.key)
    context = replace(context, track_folder=context.track_folder / f"{slug(step.address)}-{step.key[:16]}")
    with full_disk_is_an_error(store.root):
        partial.mkdir(parents=True, exist_ok=True)
        consumed = status.consumed(step, store)
        parents = {role: tuple(status.artifact(node, store) for node in nodes) for role, nodes in step.parents.items()}
        footprint.reset_peak()
        begun = time.monotonic()
        try:
            ledger = WORK[step.kind].build(step.spec, parents, partial, context)
        except EutecticError as error:
            raise error.at(place=f"{step.kind} {step.address}") from error
        except MemoryError as error:
            raise WorkError(f"{step.kind} {step.address} ran out of memory", remedy="Use a smaller `batch` or `sequence`.") from error
        record = Record(
            kind=step.artifact,
            step=step.kind,
            address=step.address,
            key=step.key,
            revision=WORK[step.kind].revision,
            spec=step.spec.identity(),
            parents=status.parent_keys(step),
            consumed=consumed,
            digest="",
            versions=footprint.versions(),
            device=context.device,
            threads=context.threads,
            seconds=round(time.monotonic() - begun, 3),
            peak_memory=footprint.peak_memory(),
            finished=status.now(),
            ledger=ledger,
        )
        record = record.model_copy(update={"digest": store.content_digest(partial)})
        store.publish(partial, record)
        return record


class Unwatched:
    """A run that nobody follows."""

    def begin(self, step: Step, position: int, total: int) -> None:
        """Nothing is shown."""

    def end(self, step: Step, record: Record) -> None:
        """Nothing is shown."""

    def notice(self, text: str) -> None:
        """Nothing is shown."""
