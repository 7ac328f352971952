"""Training: loss curves, what held-out text, answers and pairs say before and after, and what each stage changed in the benchmarks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from eutectic.analysis.compare import Comparison, adjust, compare
from eutectic.analysis.table import Measure
from eutectic.artifacts import LEDGER, METRICS, read_json
from eutectic.report import figures
from eutectic.report.blocks import Block, Figure, Figures, Section, Table, Text, Value, headed, interval, number
from eutectic.report.results import Results
from eutectic.report.view import StepView, StudyView
from eutectic.specs.steps import TrainStep

Range = tuple[float, float]
MEASURES = {
    "perplexity": "perplexity of held-out text",
    "loss": "loss on held-out text, nats a token",
    "answer_loss": "loss on held-out answers, nats a token",
    "pair_accuracy": "accuracy on held-out pairs",
    "margin": "margin on held-out pairs, nats",
}
BASELINES = {"length_only": "taking the longer or shorter answer", "rejected_text_only": "a classifier that reads one answer only"}
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
    panels = [panel for step in steps for panel in _curves(step)]
    blocks: list[Block] = [Figures(panels, "Training loss of every update as it was (thin) and smoothed (bold).")] if panels else []
    blocks.append(_stages(steps))
    if rows := [row for step in steps for row in held_out(step)]:
        blocks += [_held_out(rows), *_pair_baselines(steps)]
    if effects := stage_effects(view, results):
        blocks.append(_effects("stage_effects", effects, "accuracy", EFFECTS))
        if broken := stage_effects(view, results, "format_failure"):
            blocks.append(_effects("format_failures", broken, "broken", BROKEN))
    return Section("training", "Training", blocks)


def ledger(step: StepView) -> Mapping[str, Any]:
    """Counted numbers of a training step: `ledger.json`, else what its record kept."""
    if step.readable is not None and (step.readable / LEDGER).exists():
        return read_json(step.readable / LEDGER)
    return step.record.ledger if step.record else {}


def metrics(step: StepView) -> list[dict[str, Any]]:
    """Rows of `metrics.jsonl`; a line that was torn by a crash ends the list."""
    found: list[dict[str, Any]] = []
    file = step.readable / METRICS if step.readable is not None else None
    if file is None or not file.exists():
        return found
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def _curves(step: StepView) -> list[Figure]:
    """Loss panel of a stage, and one of its perplexity probes if it has any."""
    rows, name = metrics(step), f"loss-{step.key[:8]}"
    losses = [(row["update"], row["loss"]) for row in rows if row.get("loss") is not None]
    panels: list[Figure] = []
    if len(losses) > 1:
        panels.append(figures.curve(name, step.address, *zip(*losses, strict=True), labels=("update", "loss, nats")))
    probes: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        if "probe" in row:
            x, y = probes.setdefault(row["probe"], ([], []))
            x.append(row["tokens"] / 1000)
            y.append(row["perplexity"])
    if any(len(x) > 1 for x, _ in probes.values()):
        panels.append(
            figures.lines(f"probe-{step.key[:8]}", f"{step.address}, held-out text", probes, labels=("thousand tokens", "perplexity"))
        )
    return panels


def _stages(steps: list[StepView]) -> Table:
    columns = headed(
        "model",
        "objective",
        "from|address",
        "learning rate|sci",
        "epochs|sci",
        "batch|count",
        "updates|count",
        "tokens|count",
        "learned tokens|count",
        "tokens/s|count",
        "weights unchanged, %|percent",
        "adapters",
        "seed|count",
    )
    rows: list[tuple[Value, ...]] = []
    for step in steps:
        numbers, spec = ledger(step), step.spec
        assert isinstance(spec, TrainStep)
        seconds = numbers.get("seconds") or (step.record.seconds if step.record else 0)
        rate = numbers.get("tokens", 0) / seconds if seconds else None
        rows.append(
            (
                step.address,
                spec.objective,
                ", ".join(step.parents.get("model", ())),
                spec.learning_rate,
                spec.epochs,
                spec.batch,
                numbers.get("updates"),
                numbers.get("tokens"),
                numbers.get("loss_tokens"),
                rate,
                numbers.get("unchanged_share"),
                f"LoRA, rank {spec.lora.rank}" if spec.lora else "none",
                spec.seed,
            )
        )
    caption = "The stages. Weights unchanged: share of weights that are the same after rounding to the published precision."
    return Table("stages", caption, columns, rows, hidden=frozenset({"seed"}))


def held_out(step: StepView) -> list[tuple[str, str, float, float, Range | None]]:
    """(model, measure, before, after, interval of the change in shares where pairs were counted one by one)."""
    numbers = ledger(step).get("held_out") or {}
    before, after = numbers.get("before") or {}, numbers.get("after") or {}
    found = []
    for measure in MEASURES:
        if isinstance(before.get(measure), int | float) and isinstance(after.get(measure), int | float):
            change = pair_change(numbers) if measure == "pair_accuracy" else None
            found.append((step.address, measure, float(before[measure]), float(after[measure]), change))
    return found


def pair_change(numbers: Mapping[str, Any]) -> Range | None:
    """The 95 % interval of the change of held-out pair accuracy, groups kept whole, as the stage itself measured it."""
    found = (numbers.get("change") or {}).get("interval")
    return (float(found[0]), float(found[1])) if found else None


def _held_out(rows: list[tuple[str, str, float, float, Range | None]]) -> Table:
    columns = headed(
        "model",
        "measure",
        "before|number",
        "after|number",
        "change|number",
        "low|number",
        "high|number",
        "95 % interval of the change",
    )
    table: list[tuple[Value, ...]] = [
        (
            model,
            MEASURES[measure],
            before,
            after,
            after - before,
            change[0] if change else None,
            change[1] if change else None,
            f"[{number(change[0], 3, True)}, {number(change[1], 3, True)}]" if change else None,
        )
        for model, measure, before, after, change in rows
    ]
    caption = (
        "Held-out rows (of groups in no training set) before and after each stage. Intervals are of answers to the same pairs, groups "
        "kept whole."
    )
    return Table("held_out", caption, columns, table, hidden=frozenset({"low", "high"}))


def _pair_baselines(steps: list[StepView]) -> list[Text]:
    found = []
    for step in steps:
        shares = (ledger(step).get("held_out") or {}).get("baselines") or {}
        told = [f"{words} {100 * shares[name]:.1f} %" for name, words in BASELINES.items() if isinstance(shares.get(name), int | float)]
        if told:
            found.append(f"{step.address}: {', '.join(told)}")
    return [Text(f"What held-out pairs give away without knowledge. {'; '.join(found)}.", "note")] if found else []


def stage_effects(view: StudyView, results: Results, measure: Measure = "correct") -> list[tuple[str, Comparison]]:
    """Each trained model against the model it was trained from, all cells of all stages as one Holm family."""
    found: list[tuple[str, Comparison]] = []
    for step in view.of("train"):
        start = next(iter(step.parents.get("model", ())), "")
        if step.address in results.scores and start in results.scores:
            found += [(step.address, each) for each in compare(results.scores[step.address], results.scores[start], measure)]
    adjusted = adjust([each for _, each in found])
    return [(model, each) for (model, _), each in zip(found, adjusted, strict=True)]


def _effects(name: str, effects: list[tuple[str, Comparison]], what: str, caption: str) -> Table:
    columns = headed(
        "model",
        "against|address",
        "part",
        "scored by",
        "items|count",
        "groups|count",
        f"{what} before, %|percent",
        "after, %|percent",
        "change, points [95 %]|span",
        "change|points",
        "low|points",
        "high|points",
        "p|p",
        "p (Holm)|p",
        "seen from, points|percent",
    )
    rows: list[tuple[Value, ...]] = [
        (
            model,
            each.names[0],
            each.part,
            each.form,
            each.n,
            each.clusters,
            each.reference,
            each.accuracy,
            interval(each.difference, each.low, each.high, sign=True),
            each.difference,
            each.low,
            each.high,
            each.p,
            each.p_adjusted,
            each.detectable,
        )
        for model, each in effects
    ]
    marks = [each.outcome if what == "accuracy" else "" for _, each in effects]
    return Table(name, caption, columns, rows, marks=marks, hidden=frozenset({"change", "low", "high", "groups"}))
