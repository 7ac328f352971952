"""What every training arm of a study reads, learns and costs: from its ledger where it is done, else counted from its dataset.

Counting means tokenising the dataset, so what was counted is kept in the store's cache under the step's key.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import eutectic
from eutectic.artifacts import write_json
from eutectic.errors import EutecticError
from eutectic.specs.steps import TrainStep
from eutectic.store import Store
from eutectic.study.nodes import Node, Step
from eutectic.study.status import Standing, artifact


@dataclass(frozen=True)
class Arm:
    """A training step and its counts by the names they have in a ledger. `note` says why there are none: nothing to count yet
    (`unknown`), or a fault that would stop the training too (`fault`).
    """

    step: Step
    known: Literal["ledger", "outline", "unknown", "fault"]
    counts: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def arms(plan: Sequence[Standing], store: Store, tell: Callable[[str], None]) -> list[Arm]:
    """The training arms of a study, parents first. `tell` hears of every dataset that has to be tokenised."""
    standing = {each.step.key: each for each in plan}
    found: dict[str, Arm] = {}
    for each in plan:
        if each.step.kind == "train":
            found[each.step.key] = _arm(each, standing, found, store, tell)
    return list(found.values())


def warnings(arms: Sequence[Arm], store: Store) -> list[str]:
    """What a user should know before these arms are trained: datasets that training will refuse, stages too small to move the weights.

    Where neither the study nor a made dataset says how many updates there will be, nothing is said of the second.
    """
    from eutectic.train.precision_check import median_weight, warning

    weights: dict[Path, float] = {}
    found = [f"{arm.step.address}: {arm.note}" for arm in arms if arm.known == "fault"]
    for arm in arms:
        spec, start = arm.step.spec, _readable(arm.step.parents["model"][0], store)
        assert isinstance(spec, TrainStep)
        updates = arm.counts.get("updates", spec.updates)
        if start is not None and updates is not None:
            weights[start] = weights[start] if start in weights else median_weight(start)
            found.append(warning(arm.step.address, spec, updates, weights[start]))
    return [sentence for sentence in found if sentence]


def _arm(here: Standing, plan: Mapping[str, Standing], others: Mapping[str, Arm], store: Store, tell: Callable[[str], None]) -> Arm:
    step = here.step
    if here.state == "done" and here.record is not None:
        return Arm(step, "ledger", here.record.ledger)
    dataset = plan[step.parents["dataset"][0].key]
    if dataset.state != "done" or dataset.folder is None:
        return Arm(step, "unknown", note="known when the dataset is made")
    start = _readable(step.parents["model"][0], store)
    if start is None:
        return Arm(step, "unknown", note="known when the model it starts from is made")
    spec = step.spec
    assert isinstance(spec, TrainStep)
    for matched in step.parents.get("matched", ()):
        tokens = others[matched.key].counts.get("tokens")
        if tokens is None:
            return Arm(step, "unknown", note=f"known when the tokens of {matched.address} are")
        spec = spec.model_copy(update={"tokens": tokens, "epochs": None, "updates": None})
    try:
        return Arm(step, "outline", _counted(step, spec, start, dataset.folder, store, tell))
    except EutecticError as error:
        return Arm(step, "fault", note=str(error))


def _readable(model: Node, store: Store) -> Path | None:
    """The nearest folder with the tokenizer and the shapes of a model: its own, or of what it is trained from, which keeps both."""
    folder = artifact(model, store).folder
    if folder is not None or not isinstance(model, Step) or model.kind != "train":
        return folder
    return _readable(model.parents["model"][0], store)


def _counted(step: Step, spec: TrainStep, start: Path, dataset: Path, store: Store, tell: Callable[[str], None]) -> dict[str, Any]:
    """The outline of a step, from the cache if this version has counted it before. A store that cannot be written simply forgets."""
    file = store.root / ".cache" / "outlines" / f"{step.key}.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if kept["version"] == eutectic.__version__:
            return dict(kept["counts"])
    from eutectic.train.outline import outline

    tell(f"counting the tokens of {step.address}")
    counts = outline(spec, start, dataset)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"version": eutectic.__version__, "counts": counts})
    return counts
