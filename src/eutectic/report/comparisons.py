"""Comparisons of models: the factor each is about, what the factor implies, what confounds it, and what it did to the benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eutectic.analysis.arms import Merge, Model, Pair, Stage, pairs
from eutectic.analysis.compare import Comparison, adjust
from eutectic.artifacts import read_json
from eutectic.errors import InputError
from eutectic.report import paired
from eutectic.report.arms import ledger
from eutectic.report.blocks import Block, Section, Table, Text, Value, headed, interval
from eutectic.report.results import Results
from eutectic.report.view import StepView, StudyView
from eutectic.specs.steps import MergeStep, TrainStep
from eutectic.train import objectives

CAPTION = (
    "Which comparisons this study holds: two models that differ by one factor. What the factor brings with it is implied; whatever else "
    "differs confounds the comparison, and such a row is marked. Accuracy: test split, difference in points with 95 % interval over "
    "items. A token-matched control has read as many tokens of the stage before instead of the added stage (`token_matched: true` on a "
    "chain)."
)
MERGED = "Merges against the models they are of; tests against the best parent stand under the merges."
TESTED = "The accuracies of these comparisons one by one: paired, groups kept whole, Holm over this table."


def section(view: StudyView, results: Results) -> Section:
    """Comparisons of trained models; folded, their tests and the merges."""
    found = pairs(models(view), merges(view))
    trained = [pair for pair in found if pair.factor != "merge"]
    merged = [pair for pair in found if pair.factor == "merge"]
    tests = [(pair, each) for pair in trained for each in results.against(pair.model, pair.against)]
    adjusted = adjust([each for _, each in tests])
    confounded = [pair for pair in trained if pair.confounds]
    blocks: list[Block] = [Text(_warning(confounded, trained), "warning")] if confounded else []
    if trained:
        blocks.append(_pairs("comparisons", CAPTION, trained, results))
    if tests:
        blocks.append(_tests([(pair, each) for (pair, _), each in zip(tests, adjusted, strict=True)]))
    if merged:
        blocks.append(_pairs("merge_comparisons", MERGED, merged, results, folded=True))
    return Section("comparisons", "Comparisons and their factors", blocks, "This study holds no two models that differ by one factor.")


def models(view: StudyView) -> list[Model]:
    """Start and trained models of a study as chains of stages."""
    found: dict[str, Model] = {}
    for step in view.of("model", "adopt"):
        found[step.address] = Model(step.address, step.address, (), _config(step))
    for step in view.of("train"):
        start = found.get(step.parents["model"][0])
        if start is not None and isinstance(step.spec, TrainStep):
            stages = (*start.stages, _stage(view, step, step.spec))
            found[step.address] = Model(step.address, start.start, stages, start.config, *step.parents.get("matched", ())[:1])
    return list(found.values())


def _stage(view: StudyView, step: StepView, spec: TrainStep) -> Stage:
    name = step.parents["dataset"][0]
    dataset = view.find(name, "dataset")
    parameters = objectives.find(spec.objective).settings(spec.parameters)
    return Stage(step.key, spec, parameters, name, dataset.key if dataset else name, ledger(step))


def _config(step: StepView) -> dict[str, Any]:
    """config.json of a start model; nothing where it is not there."""
    try:
        return read_json(step.folder / "config.json") if step.folder is not None else {}
    except InputError:
        return {}


def merges(view: StudyView) -> list[Merge]:
    """The merges of a study without those that only control another."""
    controls = view.controls()
    return [
        Merge(step.address, step.spec.method, step.parents.get("models", ()), next(iter(step.parents.get("base", ())), ""))
        for step in view.of("merge", "winner")
        if isinstance(step.spec, MergeStep) and step.address not in controls
    ]


def _pairs(name: str, caption: str, found: Sequence[Pair], results: Results, folded: bool = False) -> Table:
    columns = headed("model", "against|address", "factor|address", "accuracy, points|block", "confounded by|lines", "implied|lines")
    rows: list[tuple[Value, ...]] = [
        (
            pair.model,
            pair.against,
            pair.factor,
            "\n".join([*_accuracies(results.against(pair.model, pair.against)), *_control(pair, results)]),
            "\n".join(pair.confounds) or "nothing",
            "; ".join(pair.implied),
        )
        for pair in found
    ]
    return Table(name, caption, columns, rows, marks=["confounded" if pair.confounds else "" for pair in found], folded=folded)


def _accuracies(found: Sequence[Comparison]) -> list[str]:
    """One line a part: by likelihood where it was scored so, else in words."""
    forms = {each.part: each for each in reversed(found)}  # likelihood stands before greedy
    return [f"{each.part} {interval(each.difference, each.low, each.high, sign=True)}" for each in reversed(forms.values())]


def _control(pair: Pair, results: Results) -> list[str]:
    """The token-matched control of an added stage and its result: the stage minus the control."""
    if pair.control is None:
        return []
    if not pair.control:
        return ["no token-matched control"]
    lines = _accuracies(results.against(pair.model, pair.control))
    return [f"against {pair.control}:", *lines] if lines else [f"control {pair.control}: not evaluated"]


def _warning(confounded: Sequence[Pair], found: Sequence[Pair]) -> str:
    told = "; ".join(
        f"{pair.model} against {pair.against} ({pair.factor}, but also {', '.join(line.partition(':')[0] for line in pair.confounds)})"
        for pair in confounded
    )
    first = f"{len(confounded)} of {len(found)} comparisons {'is' if len(confounded) == 1 else 'are'} confounded"
    return f"{first}: {told}. What is seen there cannot be put down to the factor alone."


def _tests(tests: Sequence[tuple[Pair, Comparison]]) -> Table:
    leading = ("model", "against|address", "factor|address", "confounded|yes")
    rows = [((pair.model, pair.against, pair.factor, bool(pair.confounds)), each) for pair, each in tests]
    return paired.table("comparison_tests", TESTED, leading, rows, ("against", "model", "difference"), folded=True)
