"""Training: how the stages were set and what they cost, loss curves, held-out rows, benchmarks."""

from __future__ import annotations

from eutectic.analysis.compare import Comparison, adjust
from eutectic.analysis.table import Measure
from eutectic.report import arms, figures, held_out, paired
from eutectic.report.blocks import Block, Figure, Figures, Section, Table
from eutectic.report.results import Results
from eutectic.report.view import StepView, StudyView

EFFECTS = (
    "What each stage changed in the benchmarks, test split, against the model it started from: paired, groups kept whole, Holm over this "
    "table. Seen from: the smallest change that this comparison would show four times in five."
)
BROKEN = "Answers in words from which no answer of the asked-for kind could be read, before and after each stage; tested in the same way."


def section(view: StudyView, results: Results) -> Section:
    """Everything that was measured while and around training."""
    steps = [step for step in view.of("train") if step.readable is not None]
    if not steps:
        return Section("training", "Training")
    panels = [panel for step in steps for panel in _curve(step)]
    blocks: list[Block] = [Figures(panels, "Training loss of every update as it was (thin) and smoothed (bold).")] if panels else []
    blocks += [arms.settings(steps), arms.counted(steps), *held_out.blocks(steps)]
    if effects := stage_effects(view, results):
        blocks.append(_effects("stage_effects", EFFECTS, effects, "accuracy"))
        if broken := stage_effects(view, results, "format_failure"):
            blocks.append(_effects("format_failures", BROKEN, broken, "broken"))
    return Section("training", "Training", blocks)


def _curve(step: StepView) -> list[Figure]:
    """Loss panel of a stage."""
    losses = [(row["update"], row["loss"]) for row in arms.metrics(step) if row.get("loss") is not None]
    if len(losses) < 2:
        return []
    return [figures.curve(f"loss-{step.key[:8]}", step.address, *zip(*losses, strict=True), labels=("update", "loss, nats"))]


def stage_effects(view: StudyView, results: Results, measure: Measure = "score") -> list[tuple[str, Comparison]]:
    """Each trained model against the model it was trained from, all cells of all stages as one Holm family. Token-matched arms are
    controls and stand beside the stages they control (`report.comparisons`).
    """
    found: list[tuple[str, Comparison]] = []
    for step in view.of("train"):
        start = "" if step.parents.get("matched") else next(iter(step.parents.get("model", ())), "")
        found += [(step.address, each) for each in results.against(step.address, start, measure)]
    adjusted = adjust([each for _, each in found])
    return [(model, each) for (model, _), each in zip(found, adjusted, strict=True)]


def _effects(name: str, caption: str, effects: list[tuple[str, Comparison]], share: str) -> Table:
    tests = [((model, each.names[0]), each) for model, each in effects]
    words = (f"{share} before", "after", "change")
    return paired.table(name, caption, ("model", "against|address"), tests, words, marked=share == "accuracy")
