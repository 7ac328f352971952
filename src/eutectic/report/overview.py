"""What was run: the models as a tree of who came from whom, with their cost, and every other step in one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eutectic.report.arms import ledger
from eutectic.report.blocks import Block, Section, Table, Text, Value, headed
from eutectic.report.view import MODELS, StepView, StudyView
from eutectic.specs.steps import MergeStep, TrainStep

MEASURING = ("evaluate", "rescore")
TALKING = ("converse", "image_prompts")
STATES = {"done": "done", "stale": "stale", "todo": "not run yet"}


def section(view: StudyView) -> Section:
    """The tree of models, then the other steps folded."""
    if not view.steps:
        return Section("run", "What was run")
    blocks: list[Block] = [_tree(view), _steps(view)]
    if any(step.state == "stale" for step in view.steps):
        blocks.append(Text("Stale: something it was made from has changed since; run the study again before quoting it.", "warning"))
    return Section("run", "What was run", blocks)


def state(view: StudyView, step: StepView) -> str:
    """State in words, with whether the latest run only used it. An unwritten merge is made where it is needed."""
    if step.kind == "model":
        return "given"
    if step.kind == "merge" and step.folder is None and step.state == "done":
        return "in memory" if view.measured(step.address) else STATES["todo"]
    return "done, reused" if step.state == "done" and step.reused else STATES[step.state]


def _walk(view: StudyView) -> Iterator[tuple[StepView, int]]:
    """Models in the order of the tree with their depth: trained models under what they were trained from, merges under what they merge."""
    controls = view.controls()
    children: dict[str, list[StepView]] = {}
    roots: list[StepView] = []
    for step in view.of(*MODELS):
        if step.address not in controls:
            origin = view.origin(step)
            (children.setdefault(origin.address, []) if origin is not None else roots).append(step)

    def below(step: StepView, depth: int) -> Iterator[tuple[StepView, int]]:
        yield step, depth
        for child in sorted(children.get(step.address, ()), key=lambda each: each.kind != "merge"):
            yield from below(child, depth + 1)

    for root in roots:
        yield from below(root, 0)


def _tree(view: StudyView) -> Table:
    columns = headed(
        "model",
        "made by|address",
        "tokens|count",
        "time|seconds",
        "peak memory|memory",
        "scoring|seconds",
        "talking|seconds",
        "state|address",
    )
    rows: list[tuple[Value, ...]] = []
    depths, marks = [], []
    for step, depth in _walk(view):
        record = step.record
        cost = (record.seconds, record.peak_memory or None) if record else (None, None)
        asked = _seconds(view, step.address, MEASURING), _seconds(view, step.address, TALKING)
        rows.append((step.address, _maker(view, step), ledger(step).get("tokens"), *cost, *asked, state(view, step)))
        depths.append(depth)
        marks.append(step.state)
    caption = (
        "The models and what they cost. A merge stands under the model it merges; controls are left out here and stand in the table below."
    )
    return Table("models", caption, columns, rows, depths=depths, marks=marks)


def _maker(view: StudyView, step: StepView) -> str:
    """How a model was made; a merge stands under one of its models and names the others."""
    if isinstance(step.spec, TrainStep):
        return f"{step.spec.objective} on {', '.join(step.parents.get('dataset', ()))}"
    if isinstance(step.spec, MergeStep):
        origin = view.origin(step)
        others = [
            each for each in (*step.parents.get("base", ()), *step.parents.get("models", ())) if origin is None or each != origin.address
        ]
        return f"{step.spec.method} with {' and '.join(others)}" if others else step.spec.method
    return f"start model, template of {', '.join(step.parents['template'])}" if step.kind == "adopt" else "start model"


def _seconds(view: StudyView, address: str, kinds: Sequence[str]) -> float | None:
    """Seconds of the finished steps of these kinds that ask a model; None if there are none."""
    spent = [step.record.seconds for step in view.of(*kinds) if step.record and address in (step.address, *step.parents.get("model", ()))]
    return sum(spent) if spent else None


def _steps(view: StudyView) -> Table:
    columns = headed(
        "step",
        "of|address",
        "state|address",
        "tokens|count",
        "time|seconds",
        "peak memory|memory",
        "finished",
        "key|key",
    )
    rows: list[tuple[Value, ...]] = []
    for step in view.steps:
        record = step.record
        tokens = record.ledger.get("tokens") if record else None
        cost = (record.seconds, record.peak_memory or None, record.finished[:16].replace("T", " ")) if record else (None, None, None)
        rows.append((step.kind.replace("_", " "), step.address, state(view, step), tokens, *cost, step.key))
    done = sum(step.state == "done" for step in view.steps)
    return Table(
        "steps", f"All {len(rows)} steps, {done} of them done.", columns, rows, folded=True, marks=[step.state for step in view.steps]
    )
