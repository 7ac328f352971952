"""The verdict: five sentences on top of the page, none stronger than its test."""

from __future__ import annotations

from collections.abc import Sequence

from eutectic.analysis.compare import Comparison
from eutectic.analysis.synergy import cell_name, points
from eutectic.report import picked, strategies
from eutectic.report.arms import ledger
from eutectic.report.blocks import duration
from eutectic.report.held_out import changes
from eutectic.report.results import Results
from eutectic.report.training import stage_effects
from eutectic.report.view import StepView, StudyView
from eutectic.specs.rows import form_of


def sentences(view: StudyView, results: Results) -> list[str]:
    """What merging bought, and the best merge; what training did to benchmarks and to held-out rows; what was made; how far it reaches."""
    return [
        merged(results) + picked.sentence(results),
        learned(view, results),
        trained(view),
        made(view),
        strategies.sentence(view, results),
    ]


def made(view: StudyView) -> str:
    """Steps, tokens and time."""
    done = sum(step.state == "done" for step in view.steps)
    stale = sum(step.state == "stale" for step in view.steps)
    models = [step for step in view.of("train") if step.readable is not None]
    controls = view.controls()
    merges = sum(
        step.address not in controls and (step.folder is not None or view.measured(step.address)) for step in view.of("merge", "winner")
    )
    tokens = sum(int(ledger(step).get("tokens") or 0) for step in models)
    spent = sum(step.record.seconds for step in view.steps if step.record)
    state = f"{done} of {len(view.steps)} steps are done" + (f" and {stale} are stale" if stale else "")
    what = f"{_count(len(models), 'model')} trained on {tokens:,} tokens in all, {_count(merges, 'merge')}"
    return f"{state}: {what}, {duration(spent)} of work."


def trained(view: StudyView) -> str:
    """What each stage did to held-out rows, in the numbers measured before and after it."""
    steps = [step for step in view.of("train") if step.readable is not None and not step.parents.get("matched")]
    parts = [part for step in steps for part in _change(step)]
    if not parts:
        return "Held-out rows: not measured yet."
    return f"On held-out rows, of groups in no training set: {'; '.join(parts)}."


def _change(step: StepView) -> list[str]:
    """One stage's main held-out measure in words; pair accuracy is called raised only where its interval excludes zero."""
    found = {measure: (before, after, change) for _, measure, before, after, change in changes(step) if before is not None}
    for measure, words in (("perplexity", "perplexity"), ("answer_loss", "answer loss")):
        if measure in found:
            before, after, _ = found[measure]
            digits = 1 if measure == "perplexity" else 2
            return [f"{step.address} took {words} from {before:.{digits}f} to {after:.{digits}f}"]
    if "pair_accuracy" in found:
        before, after, change = found["pair_accuracy"]
        told = f"{step.address} took pair accuracy from {100 * before:.1f} to {100 * after:.1f} %"
        if change is None:
            return [told]
        sure = "" if change[0] > 0 or change[1] < 0 else ", a change that chance could make"
        return [f"{told} (95 % interval of the change over items {points(change[0], True)} to {points(change[1], True)} points{sure})"]
    return []


def learned(view: StudyView, results: Results) -> str:
    """What stages changed in the benchmarks, as far as their family of tests shows it."""
    effects = stage_effects(view, results)
    if not effects:
        return "Benchmarks before and after training: not run yet."
    told = [
        f"this checkpoint of {model} {'gained' if each.difference > 0 else 'lost'} {points(abs(each.difference))} points on "
        f"{cell_name(each.part, each.form)}"
        for model, each in effects
        if each.outcome in ("gain", "loss")
    ]
    stages = len({model for model, _ in effects})
    if not told:
        first = (
            f"No stage is shown to change its accuracy on a benchmark (Holm over {len(effects)} comparisons of {_count(stages, 'stage')})"
        )
    else:
        first = f"Against the model it started from, {'; '.join(told)}; no other change of the {len(effects)} tested is shown"
    return f"{first}{broken(view, results)}."


def broken(view: StudyView, results: Results) -> str:
    """Stages shown to change how often the asked-for answer format is broken, as the end of a sentence."""
    told = [
        f"{model} ({each.part}) from {100 * each.reference:.0f} to {100 * each.accuracy:.0f} %"
        for model, each in stage_effects(view, results, "format_failure")
        if each.outcome in ("gain", "loss")
    ]
    return f"; answers that break the asked-for format went, at {', '.join(told)}" if told else ""


def merged(results: Results) -> str:
    """Whether any merge beats every one of its parents, as far as the declared family of claims shows it."""
    if not results.synergies:
        return "Merges against their parents: not run yet."
    claims = results.claims()
    if not claims:
        return "Merges against their parents: none of them is in the study's family of claims, so they are described only."
    merges = len({name for name, _ in claims})
    gains = [(name, each) for name, each in claims if each.outcome == "gain"]
    losses = len({name for name, each in claims if each.outcome == "loss"})
    below = f"; {_count(losses, 'merge')} {'is' if losses == 1 else 'are'} below at least one parent somewhere" if losses else ""
    if not gains:
        first = f"None of {_count(merges, 'merge')} is shown to beat every one of its parents ({tested(results)})"
        return f"{first}; {_unseen([each for _, each in claims])}{below}."
    told = "; ".join(
        f"this checkpoint of {name} by {points(each.difference)} points on {cell_name(each.part, each.form)} (p = {each.p_adjusted:.2g})"
        for name, each in gains
    )
    winners = len({name for name, _ in gains})
    beat = "is shown to beat every one of its parents" if winners == 1 else "are shown to beat every one of their parents"
    first = f"{winners} of {_count(merges, 'merge')} {beat}"
    return f"{first} ({tested(results)}): {told}; no other gain is shown{below}."


def tested(results: Results) -> str:
    """How the claims were tested together: `one family of 45 claims, max-T`."""
    sizes = [int(each["size"]) for each in results.families]
    if len(sizes) == 1:
        return f"one family of {_count(sizes[0], 'claim')}, max-T"
    return f"{len(sizes)} families of {' and '.join(map(str, sizes))} claims, max-T within each"


def _unseen(family: Sequence[Comparison]) -> str:
    """The largest effect that could have escaped, by cell of option likelihood (of all where none is scored so)."""
    kept = [each for each in family if form_of(each.form) == "cloze"] or list(family)
    worst: dict[tuple[str, str], float] = {}
    for each in kept:
        worst[each.part, each.form] = max(worst.get((each.part, each.form), 0.0), each.detectable)
    told = " or ".join(f"{points(size)} points on {cell_name(*cell)}" for cell, size in worst.items())
    return f"a gain of less than {told} could not have been seen reliably"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
