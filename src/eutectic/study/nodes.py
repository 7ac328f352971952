"""Nodes of the graph: sources that enter by content, steps that are made, and kept epochs, which are views into a step's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from eutectic import fingerprint
from eutectic.artifacts import EPOCHS, Artifact
from eutectic.specs.base import Spec
from eutectic.study.work import WORK


@dataclass(frozen=True, eq=False)
class Source:
    """A base model's folder or a source file: its key is the digest of its content."""

    kind: str
    address: str
    path: Path
    key: str


@dataclass(frozen=True, eq=False)
class Step:
    """One step: a resolved spec and its parents by role. `written` is False for a merge that lives only in memory."""

    kind: str
    address: str
    spec: Spec
    parents: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    written: bool = True

    @cached_property
    def key(self) -> str:
        """Identity of the step: kind, revision, resolved spec, parents' keys."""
        revision = WORK[self.kind].revision
        keys = {role: [node.key for node in nodes] for role, nodes in self.parents.items() if nodes}
        return fingerprint.key(self.kind, revision, self.spec.identity(), keys)

    @property
    def artifact(self) -> str:
        """Kind of artifact the step writes."""
        return WORK[self.kind].artifact

    def all_parents(self) -> Iterator[Node]:
        """The parents of every role."""
        for nodes in self.parents.values():
            yield from nodes

    def needs(self) -> Iterator[Step]:
        """The written steps this one cannot begin without, seen through unwritten merges and kept epochs."""
        for node in self.all_parents():
            maker = node.step if isinstance(node, Kept) else node
            if isinstance(maker, Step):
                if maker.written:
                    yield maker
                else:
                    yield from maker.needs()


@dataclass(frozen=True, eq=False)
class Kept:
    """A checkpoint that a training step kept after an epoch before its last: a view into the step's folder, with a key of its own."""

    step: Step
    epoch: int
    address: str

    @cached_property
    def key(self) -> str:
        """Identity of the checkpoint: the step and the epoch."""
        return fingerprint.key("epoch", 1, {"epoch": self.epoch}, {"step": [self.step.key]})

    def inside(self, folder: Path) -> Path:
        """Where the checkpoint stands in the step's folder."""
        return folder / EPOCHS / str(self.epoch)


Node = Source | Step | Kept


def unmade(node: Source | Step) -> Artifact:
    """A node as a `check` door sees it before anything is made: a source's folder, or what a step is asked to be."""
    if isinstance(node, Source):
        return Artifact(node.kind, node.address, node.key, node.path)
    return Artifact(node.artifact, node.address, node.key, None, node.spec)
