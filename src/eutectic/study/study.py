"""`Study`: the Python door. The command's verbs are thin wrappers of these methods."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.store import Store
from eutectic.study import addresses, build, file, graph, launch, outlines, status
from eutectic.study.nodes import Step


class Study:
    """A study file with its graph and its store.

    `Study.load("study.yaml").run()` does everything the study names; finished steps are found in the store and not made again.
    """

    def __init__(self, study_file: file.StudyFile, store: Store) -> None:
        self.file = study_file
        self.store = store

    @classmethod
    def load(cls, path: str | Path = "study.yaml", store: str | Path | None = None) -> Study:
        """Read a study file (or the folder of a `study.yaml`). Raises `InputError` with file, line and key for what is wrong in it.

        The store is `store`, else `$EUTECTIC_STORE`, else `.eutectic/store` beside the study.
        """
        study_file = file.load(Path(path))
        place = store or os.environ.get("EUTECTIC_STORE") or study_file.folder / ".eutectic" / "store"
        return cls(study_file, Store(Path(place)))

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.file.spec.study

    @cached_property
    def graph(self) -> graph.Graph:
        """All steps with their keys. Raises `InputError` for names, patterns, files and parameters that do not fit."""
        return build.build(self.file, self.store.digests)

    def plan(self) -> list[status.Standing]:
        """Every step with its state, parents first; nothing is run."""
        return status.standings(self.graph, self.store)

    def arms(self, plan: list[status.Standing] | None = None, tell: Callable[[str], None] = lambda _: None) -> list[outlines.Arm]:
        """What every training arm reads, learns and costs, as far as is known; `tell` hears of each dataset tokenised for it."""
        return outlines.arms(self.plan() if plan is None else plan, self.store, tell)

    def run(
        self,
        context: Context | None = None,
        watcher: launch.Watcher | None = None,
        only: Iterable[str] = (),
        shard: int | None = None,
    ) -> launch.Outcome:
        """Bring every step (or those matching `only`, with what they need) to done.

        With several devices in `context` independent steps run side by side, and training is spread over `shard` of them (default: all).
        """
        beside = replace(context or Context(), track_folder=self.file.folder / ".eutectic" / "track")
        return launch.run(self.graph, self.store, beside, watcher or launch.Unwatched(), only, shard)

    def status(self) -> dict[str, int]:
        """How many written steps are done, stale and to do."""
        states = [s.state for s in self.plan()]
        return {state: states.count(state) for state in ("done", "stale", "todo")}

    def why(self, address: str) -> list[str]:
        """Why each step at an address has the key it has: what differs from what was published before."""
        steps = [s for s in self.graph.written() if address in (s.address, addresses.of_model(s.address), s.key[: len(address)])]
        if not steps:
            raise InputError(f"no step has the address {address!r}", remedy="`eutectic plan` lists the addresses.")
        return [line for step in steps for line in status.why(step, self.store)]

    def model_folder(self, address: str) -> Path:
        """The folder of a model, trained model or kept merge; raises `InputError` when there is none (yet)."""
        self.file.known(("models",), address, self.graph.models, "model")
        found = status.artifact(self.graph.models[address], self.store)
        if found.folder is None:
            node = self.graph.models[address]
            unwritten = isinstance(node, Step) and not node.written
            remedy = "Set `keep: true` on the merge and run the study." if unwritten else "Run the study first: `eutectic run`."
            raise InputError(f"{address} has no folder yet", remedy=remedy)
        return found.folder
