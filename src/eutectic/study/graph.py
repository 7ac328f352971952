"""From a study file to the graph of its steps: every shared prefix one step, every reference an edge.

`build.py` goes through the file from top to bottom and enters nodes into a `Draft`. Two addresses whose steps have the same key are
one step under two names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from eutectic.fingerprint import DigestCache
from eutectic.study.file import StudyFile
from eutectic.study.nodes import Node, Source, Step
from eutectic.yaml_file import Place


@dataclass
class Graph:
    """Steps in an order in which each comes after its parents, and the nodes behind every address."""

    steps: list[Step] = field(default_factory=list)  # one for each key
    by_key: dict[str, Step] = field(default_factory=dict)
    models: dict[str, Node] = field(default_factory=dict)  # address -> model, trained model or merge
    controls: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # every merge's address -> (control name, its address)
    matched: dict[str, str] = field(default_factory=dict)  # address of a stage -> address of its token-matched control arm
    plainest: dict[str, str] = field(default_factory=dict)  # address of the linear control a merge may turn out to equal -> merge
    aliases: dict[str, str] = field(default_factory=dict)  # address -> address of the step that stands for it
    guards: dict[str, tuple[Step, ...]] = field(default_factory=dict)  # key of a training or evaluation -> contamination steps it waits for

    def add(self, step: Step) -> Step:
        """Enter a step; one that equals an earlier step in key is that step."""
        known = self.by_key.get(step.key)
        if known is None:
            self.by_key[step.key] = step
            self.steps.append(step)
            return step
        if known.address != step.address:
            self.aliases[step.address] = known.address
        return known

    def before(self, step: Step) -> Iterator[Step]:
        """The written steps that must be done before a step begins: what it is made from, and its guards."""
        yield from step.needs()
        yield from self.guards.get(step.key, ())

    def written(self) -> Iterator[Step]:
        """The steps that publish a folder, parents first."""
        return (step for step in self.steps if step.written)


@dataclass
class Draft:
    """A graph being built from a file: what later parts of the study refer to by name."""

    file: StudyFile
    digests: DigestCache
    graph: Graph = field(default_factory=Graph)
    corpora: dict[str, Step] = field(default_factory=dict)
    datasets: dict[str, Step] = field(default_factory=dict)
    benchmarks: dict[str, Step] = field(default_factory=dict)


def source_files(draft: Draft, place: Place, patterns: str | tuple[str, ...]) -> tuple[Source, ...]:
    """The files that glob patterns match, in order of digest; a pattern that matches nothing is an error."""
    found: dict[str, Source] = {}
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        paths = [p for p in _glob(draft.file.folder, pattern) if p.is_file()]
        if not paths:
            raise draft.file.error(
                place, f"{pattern!r} matches no file in {draft.file.folder}", "Check the path; patterns are relative to the study file."
            )
        for path in paths:
            digest = draft.digests.digest(path)
            found.setdefault(digest, Source("file", path.name, path, digest))
    return tuple(found[digest] for digest in sorted(found))


def _glob(folder: Path, pattern: str) -> list[Path]:
    """Files of an absolute or relative pattern."""
    whole = Path(pattern).expanduser()
    if whole.is_absolute():
        anchor = Path(whole.anchor)
        return sorted(anchor.glob(str(whole.relative_to(anchor))))
    return sorted(folder.glob(pattern))
