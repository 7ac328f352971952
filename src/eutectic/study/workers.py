"""Steps side by side: each in a process of its own on one of the devices, training over several of them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eutectic.artifacts import Record
from eutectic.context import Context, Progress, Silent
from eutectic.errors import InputError, WorkError
from eutectic.processes import Relay, die_with, relayed
from eutectic.store import Store
from eutectic.study.graph import Graph
from eutectic.study.make import make
from eutectic.study.nodes import Step
from eutectic.study.status import Standing

if TYPE_CHECKING:
    from eutectic.study.launch import Watcher

SPREAD = {"train"}  # kinds of step that use several devices at once
Made = tuple[Record | None, list[str]]  # a step's record and what is to be told of it
_QUEUE: list[Any] = []  # of this worker process: where progress goes


def side_by_side(
    todo: list[Standing], graph: Graph, store: Store, context: Context, watcher: Watcher, shard: int | None
) -> Iterator[tuple[Step, Record | None]]:
    """Make steps as soon as what they need is made and devices are free, in the order of the graph: a step that must wait for devices
    is not overtaken. The first error is raised when the steps that are running have ended; no other is begun.
    """
    size = shard or len(context.devices)
    if not 1 <= size <= len(context.devices):
        raise InputError(f"{size} devices for a training stage of {len(context.devices)} given", place="--shard")
    spawning = multiprocessing.get_context("spawn")
    queue, progress = spawning.Queue(), dict[str, Progress]()
    pool = ProcessPoolExecutor(len(context.devices), mp_context=spawning, initializer=_begin, initargs=(queue, os.getpid()))
    with relayed(queue, progress), pool:
        free, waiting, begun = list(context.devices), list(todo), 0
        running: dict[Future[Made], tuple[Step, list[str]]] = {}
        failed: BaseException | None = None
        while running or (waiting and failed is None):
            while failed is None and (item := _next(graph, waiting, running)) is not None:
                count = size if item.step.kind in SPREAD else 1
                if count > len(free):
                    break
                devices, free = free[:count], free[count:]
                waiting.remove(item)
                begun += 1
                progress[item.step.key] = watcher.begin(item.step, begun, len(todo))
                threads = max(1, context.threads * count // len(context.devices))
                machine = replace(context, devices=tuple(devices), threads=threads, progress=Silent())
                running[pool.submit(_work, item.step, item.reason, store.root, machine)] = (item.step, devices)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step, devices = running.pop(future)
                free = sorted({*free, *devices}, key=context.devices.index) if len(set(context.devices)) > 1 else free + devices
                try:
                    record, told = future.result()
                except Exception as error:  # told below, when the others have ended
                    failed = failed or _dead(error, step)
                    continue
                for text in told:
                    watcher.notice(text)
                yield step, record
        if failed is not None:
            raise failed


def _next(graph: Graph, waiting: list[Standing], running: dict[Future[Made], tuple[Step, list[str]]]) -> Standing | None:
    """The first step whose needs are all made."""
    unmade = {item.step.key for item in waiting} | {step.key for step, _ in running.values()}
    return next((item for item in waiting if not any(need.key in unmade for need in graph.before(item.step))), None)


def _dead(error: Exception, step: Step) -> Exception:
    """A worker that was killed, in words; other errors as they are."""
    if not isinstance(error, BrokenProcessPool):
        return error
    return WorkError(
        f"{step.kind} {step.address} or a step beside it was killed", remedy="If memory ran out give fewer devices; then run again."
    )


def _begin(queue: Any, starter: int) -> None:
    """A worker process begins."""
    die_with(starter)
    _QUEUE.append(queue)


def _work(step: Step, reason: str, root: Path, context: Context) -> Made:
    """One step, in a worker process."""
    told: list[str] = []
    store = Store(root)
    record = make(step, reason, store, replace(context, progress=Relay(_QUEUE[0], step.key)), told.append)
    store.digests.save()
    return record, told
