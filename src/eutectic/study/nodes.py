"""Nodes of the graph: sources that enter by content, and steps that are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from eutectic import fingerprint
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
        """The written steps this one cannot begin without, seen through unwritten merges."""
        for node in self.all_parents():
            if isinstance(node, Step):
                if node.written:
                    yield node
                else:
                    yield from node.needs()


Node = Source | Step
