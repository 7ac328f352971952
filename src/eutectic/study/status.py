"""Where every step of a study stands: done, stale or to do; and why a step's key is not one that was published."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from eutectic.artifacts import Artifact, Record
from eutectic.errors import EutecticError
from eutectic.store import Store
from eutectic.study.graph import Graph
from eutectic.study.nodes import Kept, Node, Source, Step
from eutectic.study.work import WORK

State = Literal["done", "stale", "todo", "unwritten"]


@dataclass(frozen=True)
class Standing:
    """A step and what the store holds of it. `reason` says why a step is stale."""

    step: Step
    state: State
    folder: Path | None = None
    record: Record | None = None
    reason: str = ""


def artifact(node: Node, store: Store) -> Artifact:
    """A node as workshops see it. The folder is None while a step is unwritten or not yet made."""
    if isinstance(node, Source):
        return Artifact(node.kind, node.address, node.key, node.path)
    if isinstance(node, Kept):
        whole = artifact(node.step, store)
        inside = node.inside(whole.folder) if whole.folder is not None else None
        return replace(whole, address=node.address, key=node.key, folder=inside)
    folder = store.find(node.artifact, node.key) if node.written else None
    parents = {role: tuple(artifact(parent, store) for parent in nodes) for role, nodes in node.parents.items()}
    return Artifact(node.artifact, node.address, node.key, folder, node.spec, parents)


def standing(step: Step, store: Store) -> Standing:
    """Where one step stands. A child whose parent's content changed since it was read is stale, and so is a damaged folder."""
    if not step.written:
        return Standing(step, "unwritten")
    folder = store.find(step.artifact, step.key)
    if folder is None:
        return Standing(step, "todo")
    record = store.record(folder)
    if store.content_digest(folder) != record.digest:
        return Standing(step, "stale", folder, record, "its files are not those that were published")
    for parent in step.needs():
        source = store.find(parent.artifact, parent.key)
        if source is not None and record.consumed.get(parent.key) != store.content_digest(source):
            return Standing(step, "stale", folder, record, f"{parent.kind} {parent.address} has changed since it was read")
    return Standing(step, "done", folder, record)


def standings(graph: Graph, store: Store) -> list[Standing]:
    """Where every step stands, parents first. What stands on something stale is stale itself."""
    found: dict[str, Standing] = {}
    for step in graph.steps:
        here = standing(step, store)
        bad = next((p for p in step.needs() if found[p.key].state == "stale"), None)
        if here.state == "done" and bad is not None:
            here = Standing(step, "stale", here.folder, here.record, f"{bad.kind} {bad.address} is stale")
        found[step.key] = here
    store.digests.save()
    return list(found.values())


def consumed(step: Step, store: Store) -> dict[str, str]:
    """Digests of the written parents as they are now, by key."""
    digests = {}
    for parent in step.needs():
        folder = store.find(parent.artifact, parent.key)
        assert folder is not None, f"{parent.address} is not published"
        digests[parent.key] = store.content_digest(folder)
    return digests


def parent_keys(step: Step) -> dict[str, tuple[str, ...]]:
    """Keys of all parents by role."""
    return {role: tuple(node.key for node in nodes) for role, nodes in step.parents.items() if nodes}


def now() -> str:
    """The time as ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def why(step: Step, store: Store) -> list[str]:
    """What separates a step from the published folder of the same kind and address, one difference a line."""
    if store.find(step.artifact, step.key) is not None:
        here = standing(step, store)
        return [f"{step.kind} {step.address} is {here.state}{f': {here.reason}' if here.reason else ''} (key {step.key[:16]})"]
    others = [r for r in _records(store) if r.address == step.address and r.step == step.kind]
    if not others:
        return [f"{step.kind} {step.address} was never made in this store"]
    old = max(others, key=lambda r: r.finished)
    lines = list(_differences(old.spec, step.spec.identity(), "spec"))
    if old.revision != WORK[step.kind].revision:
        lines.append(f"revision of {step.kind}: {old.revision} -> {WORK[step.kind].revision}")
    keys = parent_keys(step)
    for role in sorted(set(old.parents) | set(keys)):
        if old.parents.get(role, ()) != keys.get(role, ()):
            names = ", ".join(node.address for node in step.parents.get(role, ()))
            lines.append(
                f"parents `{role}` ({names}): {len(old.parents.get(role, ()))} keys -> {len(keys.get(role, ()))} keys, not the same"
            )
    return [f"{step.kind} {step.address}: key {old.key[:16]} (made {old.finished}) -> {step.key[:16]}", *lines]


def _records(store: Store) -> Iterator[Record]:
    for folder in store.folders():
        try:
            yield store.record(folder)
        except EutecticError:
            continue


def _differences(old: Any, new: Any, place: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(set(old) | set(new)):
            yield from _differences(old.get(name, "default"), new.get(name, "default"), f"{place}.{name}")
    elif old != new:
        yield f"{place}: {old} -> {new}"
