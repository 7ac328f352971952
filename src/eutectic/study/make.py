"""Making one step: under its lock, in a partial folder, published whole."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace

from eutectic.artifacts import Record
from eutectic.context import Context
from eutectic.errors import EutecticError, WorkError
from eutectic.store import Store, full_disk_is_an_error, slug
from eutectic.study import footprint, status
from eutectic.study.nodes import Step
from eutectic.study.work import WORK


def make(step: Step, reason: str, store: Store, context: Context, notice: Callable[[str], None]) -> Record | None:
    """Make one step under its lock; None when another process published it meanwhile. `reason` says why it was found stale."""
    with store.lock(step.key, lambda owner: notice(f"{step.kind} {step.address} is being made by another process ({owner}); waiting")):
        now = status.standing(step, store)
        if now.state == "done":  # made meanwhile, or stale only through a parent that came out the same again
            return None
        if now.folder is not None:
            notice(f"{step.kind} {step.address} is stale ({reason or now.reason}); making it again")
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
            processes=len(context.devices),
            seconds=round(time.monotonic() - begun, 3),
            peak_memory=footprint.peak_memory(),
            finished=status.now(),
            ledger=ledger,
        )
        record = record.model_copy(update={"digest": store.content_digest(partial)})
        store.publish(partial, record)
        return record
