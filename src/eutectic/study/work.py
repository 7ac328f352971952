"""The one table that names every workshop: kind of step -> artifact it writes, revision of the kind, front door.

A revision is bumped when the same spec and parents would now give another result; keys change with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from eutectic.artifacts import Parents
from eutectic.context import Context
from eutectic.specs.base import Spec


@dataclass(frozen=True)
class Work:
    """What stands behind a kind of step. Modules are imported when a door is opened, not before."""

    artifact: str
    module: str
    revision: int = 1
    door: str = "build"
    live_module: str = ""  # door for a model parent that is an unwritten merge
    live_door: str = ""

    def build(self, spec: Spec, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
        """Do the step: write its files into `out` and return the ledger."""
        model = parents.get("model", ())
        unwritten = bool(model) and model[0].folder is None
        module, door = (self.live_module, self.live_door) if unwritten else (self.module, self.door)
        build: Callable[..., dict[str, Any]] = getattr(import_module(module), door)
        return build(spec, parents, out, context)

    def check(self, spec: Spec, parents: Parents) -> None:
        """What the workshop can say about a step before any work."""
        module = import_module(self.module)
        module.check(spec, parents)


WORK: dict[str, Work] = {
    "corpus": Work("corpus", "eutectic.data.corpus", revision=2),
    "dataset": Work("dataset", "eutectic.data.datasets", revision=3),
    "benchmark": Work("benchmark", "eutectic.data.benchmarks", revision=2),
    "contamination": Work("contamination", "eutectic.data.contamination"),
    "adopt": Work("checkpoint", "eutectic.train.adopt"),
    "reference": Work("reference_logprobs", "eutectic.train.reference"),
    "train": Work("checkpoint", "eutectic.train.tune", revision=4),
    "merge": Work("checkpoint", "eutectic.merge.stream"),
    "search": Work("search", "eutectic.search.tune"),
    "winner": Work("checkpoint", "eutectic.search.winner"),
    "geometry": Work("geometry", "eutectic.merge.geometry", revision=2),
    "evaluate": Work("evaluation", "eutectic.evaluate.score", revision=3, live_module="eutectic.search.unwritten", live_door="evaluate"),
    "rescore": Work("evaluation", "eutectic.evaluate.rescore", revision=3, live_module="eutectic.search.unwritten", live_door="rescore"),
    "canary": Work("canary", "eutectic.evaluate.canary"),
    "general": Work("general", "eutectic.evaluate.general", live_module="eutectic.search.unwritten", live_door="general"),
    "converse": Work("transcript", "eutectic.converse.interview"),
    "image_prompts": Work("image_prompts", "eutectic.converse.image_prompts"),
    "family": Work("family", "eutectic.analysis.family"),
    "synergy": Work("synergy", "eutectic.analysis.synergy", revision=5),
}
