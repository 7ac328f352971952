"""Strategies over training seeds: the same merge, or the same stage, with every seed that a chain was trained with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eutectic.analysis import strategy
from eutectic.analysis.compare import Comparison
from eutectic.analysis.strategy import SEED, SEEDS, Strategy
from eutectic.analysis.synergy import cell_name, points
from eutectic.report import paired
from eutectic.report.blocks import Section, Table, Text
from eutectic.report.results import Results
from eutectic.report.view import StudyView

TITLE = "Strategies over training seeds"
CAPTION = (
    f"Strategies with at least {SEEDS} training seeds against the best of what they are made from with the same seeds: merges against "
    "their parents, trained models against the model their last stage started from. Test split; 95 % t intervals over items and seeds, so "
    "these lines speak of the strategy and not of a checkpoint. Holm over this table."
)
FEW = f"With fewer than {SEEDS} training seeds (`seeds` of a chain) nothing is said of a strategy: every sentence is about checkpoints."


def found(view: StudyView, results: Results) -> list[Strategy]:
    """Every strategy that was trained with several seeds, however few, with what it is compared with, paired by seed."""
    members: dict[tuple[str, tuple[str, ...]], list[tuple[str, str, tuple[str, ...]]]] = {}
    for name, parents in _compared(view, results):
        seeds = set(SEED.findall(name))
        if len(seeds) != 1 or not {name, *parents} <= set(results.scores) or not set(SEED.findall(" ".join(parents))) <= seeds:
            continue
        members.setdefault((SEED.sub("", name), tuple(SEED.sub("", each) for each in parents)), []).append((*seeds, name, parents))
    return [
        Strategy(
            name,
            against,
            tuple(seed.removeprefix("#") for seed, _, _ in of),
            tuple(results.scores[model] for _, model, _ in of),
            tuple(tuple(results.scores[each] for each in parents) for _, _, parents in of),
        )
        for (name, against), of in members.items()
        if len(of) > 1
    ]


def _compared(view: StudyView, results: Results) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Merges with their parents, and trained models with the model their last stage started from."""
    for each in results.counted():
        yield str(each["merge"]), tuple(each["parents"])
    for step in view.of("train"):
        if not step.parents.get("matched"):
            yield step.address, step.parents["model"]


def section(view: StudyView, results: Results) -> Section:
    """The table of strategies; with too few seeds, that nothing is said of them."""
    tests = strategy.compare(found(view, results))
    return Section("strategies", TITLE, [_table(tests)] if tests else [Text(FEW, "note")])


def _table(tests: Sequence[tuple[Strategy, Comparison]]) -> Table:
    rows = [((each.name, one.names[0], ", ".join(each.seeds)), one) for each, one in tests]
    words = ("against", "strategy", "difference")
    return paired.table("strategies", CAPTION, ("strategy|address", "against|address", "seeds"), rows, words)


def sentence(view: StudyView, results: Results) -> str:
    """How far the verdict reaches: to these checkpoints, or where there are seeds enough to strategies."""
    strategies = found(view, results)
    most = max((len(each.seeds) for each in strategies), default=1)
    if most < SEEDS:
        seeds = "one training seed" if most == 1 else f"{most} training seeds, where a sentence about a strategy needs {SEEDS}"
        return (
            f"All of this is about these checkpoints: {seeds}, intervals over items and not over training runs, so nothing is said of a "
            "strategy."
        )
    tests = strategy.compare(strategies)
    told = [
        f"the strategy {each.name} is {'above all' if one.outcome == 'gain' else 'below one'} of {', '.join(each.against)} by "
        f"{points(abs(one.difference))} points on {cell_name(one.part, one.form)} ({len(each.seeds)} seeds, 95 % interval over items and "
        f"seeds {points(one.low, True)} to {points(one.high, True)}, adjusted p = {one.p_adjusted:.2g})"
        for each, one in tests
        if one.outcome in ("gain", "loss")
    ]
    shown = "; ".join(told) if told else "no strategy is shown to be above what it is made from, or below it"
    return (
        f"Over training seeds, paired by seed, {shown} (Holm over {len(tests)} comparisons of strategies). Every other sentence is about "
        "these checkpoints, with intervals over items and not over training runs."
    )
