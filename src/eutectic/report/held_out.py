"""Held-out rows before and after each stage, and what training cost elsewhere: forgetting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eutectic.report import figures
from eutectic.report.arms import ledger, metrics
from eutectic.report.blocks import Block, Figure, Figures, Table, Text, Value, headed, number
from eutectic.report.view import StepView

Range = tuple[float, float]
Row = tuple[str, str, float | None, float, Range | None]
Series = dict[str, tuple[list[float], list[float]]]
MEASURES = {
    "perplexity": "perplexity of held-out text",
    "loss": "loss on held-out text, nats a token",
    "answer_loss": "loss on held-out answers, nats a token",
    "pair_accuracy": "accuracy on held-out pairs",
    "margin": "margin on held-out pairs, nats",
    "chosen_logprob": "log-probability of chosen answers, nats",
    "rejected_logprob": "log-probability of rejected answers, nats",
    "kl": "KL to the model it started from, nats a token",
}
BASELINES = {"length_only": "taking the longer or shorter answer", "rejected_text_only": "a classifier that reads one answer only"}
HELD_OUT = (
    "Held-out rows (of groups in no training set) before and after each stage. Of a pair, summed log-probabilities of the answers are "
    "compared; log-probabilities and margin are means over the pairs. Intervals are over items, here pairs, groups kept whole."
)
DEV = "The same on rows of the dev groups, which settings are chosen on: where many settings were tried here, these figures flatter."
SMALLEST_RISE = 0.01  # a share of the perplexity; below it text is called kept


def changes(step: StepView, part: str = "held_out") -> list[Row]:
    """(model, measure, before, after, interval of the change in shares where pairs were counted one by one).

    `part` is `held_out` (what is reported) or `dev` (what settings are chosen on); `before` is None for what compares the model with its
    own start.
    """
    numbers = ledger(step).get(part) or {}
    before, after = numbers.get("before") or {}, numbers.get("after") or {}
    found: list[Row] = []
    for measure in MEASURES:
        if isinstance(after.get(measure), int | float) and (isinstance(before.get(measure), int | float) or measure == "kl"):
            change = pair_change(numbers) if measure == "pair_accuracy" else None
            earlier = float(before[measure]) if measure in before else None
            found.append((step.address, measure, earlier, float(after[measure]), change))
    return found


def pair_change(numbers: Mapping[str, Any]) -> Range | None:
    """The 95 % interval of the change of held-out pair accuracy, groups kept whole, as the stage itself measured it."""
    found = (numbers.get("change") or {}).get("interval")
    return (float(found[0]), float(found[1])) if found else None


def blocks(steps: Sequence[StepView]) -> list[Block]:
    """Everything measured on rows that no training set holds."""
    made: list[Block] = []
    if rows := [row for step in steps for row in changes(step)]:
        made += [_table("held_out", HELD_OUT, rows), *_pair_baselines(steps)]
    if chosen := [row for step in steps for row in changes(step, "dev")]:
        made.append(_table("dev", DEV, chosen))
    return [*made, *_forgetting(steps)]


def _table(name: str, caption: str, rows: Sequence[Row]) -> Table:
    columns = headed(
        "model",
        "measure",
        "before|number",
        "after|number",
        "change|number",
        "low|number",
        "high|number",
        "change [95 % over items]",
    )
    table: list[tuple[Value, ...]] = [
        (
            model,
            MEASURES[measure],
            before,
            after,
            None if before is None else after - before,
            change[0] if change else None,
            change[1] if change else None,
            f"[{number(change[0], 3, True)}, {number(change[1], 3, True)}]" if change else None,
        )
        for model, measure, before, after, change in rows
    ]
    return Table(name, caption, columns, table, hidden=frozenset({"low", "high"}))


def _pair_baselines(steps: Sequence[StepView]) -> list[Text]:
    found = []
    for step in steps:
        shares = (ledger(step).get("held_out") or {}).get("baselines") or {}
        told = [f"{words} {100 * shares[name]:.1f} %" for name, words in BASELINES.items() if isinstance(shares.get(name), int | float)]
        if told:
            found.append(f"{step.address}: {', '.join(told)}")
    return [Text(f"What held-out pairs give away without knowledge. {'; '.join(found)}.", "note")] if found else []


def probes(step: StepView) -> Series:
    """Tokens read (thousands) and perplexity of every text that was probed while training."""
    found: Series = {}
    for row in metrics(step):
        if "probe" in row and row.get("perplexity") is not None:
            x, y = found.setdefault(row["probe"], ([], []))
            x.append(row["tokens"] / 1000)
            y.append(row["perplexity"])
    return {name: series for name, series in found.items() if len(series[0]) > 1}


def _forgetting(steps: Sequence[StepView]) -> list[Block]:
    """The probed perplexities of each stage in one figure, and in words whether text was forgotten."""
    found = [(step, series) for step in steps if (series := probes(step))]
    if not found:
        return []
    panels: list[Figure] = [
        figures.lines(
            f"probe-{step.key[:8]}", f"{step.address}, held-out text", series, labels=("thousand tokens", "perplexity"), logs=True
        )
        for step, series in found
    ]
    caption = "Perplexity of held-out text while training. A curve that rises is text the model forgets while it learns other text."
    return [Figures(panels, caption), Text(forgetting({step.address: series for step, series in found}))]


def forgetting(found: Mapping[str, Series]) -> str:
    """Which probed texts became harder, which easier and which stayed, with perplexities at start and end."""
    told: dict[str, list[str]] = {"Forgotten": [], "Learned": [], "Kept": []}
    for address, series in found.items():
        for name, (_, y) in series.items():
            rise = y[-1] / y[0] - 1
            kind = "Kept" if abs(rise) <= SMALLEST_RISE else "Forgotten" if rise > 0 else "Learned"
            told[kind].append(f"{name} in {address} from {number(y[0])} to {number(y[-1])} ({number(100 * rise, 0, True)} %)")
    lead = {"Forgotten": "Forgotten, perplexity of held-out text rose", "Learned": "Learned, it fell", "Kept": "Kept within 1 %"}
    sentences = [f"{lead[kind]}: {'; '.join(parts)}." for kind, parts in told.items() if parts]
    return " ".join(sentences if told["Forgotten"] else ["Nothing that was probed was forgotten.", *sentences])
