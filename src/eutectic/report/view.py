"""What a report is a view of: the steps of a study with their addresses, states and folders. Built by `study`, read by every section."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from eutectic.artifacts import Record
from eutectic.specs.base import Spec

State = Literal["done", "stale", "todo"]
STARTS = ("model", "adopt")
MODELS = (*STARTS, "train", "merge", "winner")
EPOCH = re.compile(r"@\d+")


@dataclass(frozen=True)
class StepView:
    """One step of the study. `parents` are addresses by role; `folder` is None while it is to do, or for an unwritten merge.

    `reused` says that the latest run found it done and only used it.
    """

    kind: str
    address: str
    key: str
    folder: Path | None
    record: Record | None
    state: State
    parents: Mapping[str, tuple[str, ...]]
    spec: Spec
    reused: bool = False

    @property
    def readable(self) -> Path | None:
        """The folder if there is something in it to show; a stale step is shown too and marked so."""
        return self.folder if self.state != "todo" and self.folder is not None and self.folder.exists() else None


@dataclass(frozen=True)
class StudyView:
    """A study as the report sees it; `text` is the study file, `aliases` other addresses of steps that are one -> the address they have."""

    name: str
    seed: int
    text: str
    steps: tuple[StepView, ...] = field(default_factory=tuple)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def of(self, *kinds: str) -> Iterator[StepView]:
        """Steps of these kinds, in the order of the study."""
        return (step for step in self.steps if step.kind in kinds)

    def find(self, address: str, *kinds: str) -> StepView | None:
        """The first step of these kinds with an address."""
        return next((step for step in self.of(*kinds) if step.address == address), None)

    def model(self, address: str) -> StepView | None:
        """The step that makes the model of an address; a kept epoch is made by its stage."""
        return self.find(address, *MODELS) or self.find(EPOCH.sub("", address), "train")

    def measured(self, address: str) -> bool:
        """Whether a model was evaluated."""
        return any(step.address == address and step.state == "done" for step in self.of("evaluate", "rescore"))

    def controls(self) -> dict[str, str]:
        """Address of every control -> the merge it controls. A merge that is compared with its own parents is none."""
        merges = {address for step in self.of("synergy") for address in step.parents.get("merge", ())}
        return {
            control: step.parents["merge"][0]
            for step in self.of("synergy")
            for control in step.parents.get("controls", ())
            if control not in merges
        }

    def origin(self, step: StepView) -> StepView | None:
        """The model a trained or merged model is placed under: what it was trained from, or the first of the merged."""
        if step.kind in STARTS:
            return None
        for role in ("model", "models", "base"):
            if addresses := step.parents.get(role):
                return self.model(addresses[0])
        return None

    def start(self, address: str) -> StepView | None:
        """The start model that a model goes back to; None for one that is itself a start."""
        model = self.model(address)
        while model is not None and model.kind not in STARTS:
            model = self.origin(model)
        return model if model is not None and model.address != address else None
