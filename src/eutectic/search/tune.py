"""The front door of merge search: parents and first candidates choose the items, two searchers try candidates, the best are scored again.

Everything is scored on dev items of a merge that lives in memory only. A searcher's best score is the largest of many on few items and so
too good; what the winner is worth is measured on the test split, by an evaluation like any other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from eutectic.artifacts import POINTS, SUMMARY, Artifact, Parents, one, write_json
from eutectic.context import Context
from eutectic.errors import EutecticError, WorkError
from eutectic.merge import stream
from eutectic.merge.folder import everyone, giving
from eutectic.merge.sweep import Sweep
from eutectic.models import device, loading
from eutectic.search.items import DevItems, telling
from eutectic.search.journal import Journal
from eutectic.search.searchers import Cma, Name, Random, Searcher
from eutectic.search.space import Space
from eutectic.specs.rows import Point
from eutectic.specs.steps import SearchStep

POOL = 4  # times the items of a candidate: dev items that parents, first candidates and finalists are scored on
PROBES = 8  # random candidates that choose the items, together with the parents
FINALISTS = 3  # of each searcher
SEARCHERS: dict[Name, Callable[[int, int], Searcher]] = {"random": Random, "cma": Cma}


def check(spec: SearchStep, parents: Parents) -> None:
    """Raise `InputError` for a space that cannot be searched, and for parents that exist and do not fit."""
    space = Space(spec, len(parents["models"]), has_base=bool(parents.get("base")))
    for index in range(space.choices):
        middle = (*[0.5] * len(space.axes), (index + 0.5) / space.choices)
        stream.check(space.merge(middle), merged(space, parents, middle))


def build(spec: SearchStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Search; writes `points.jsonl` while it goes on and `summary.json` at the end, returns the ledger."""
    trial = Trial(spec, parents, context)
    journal = Journal(out / POINTS)
    everything = range(len(trial.items.items))
    known = everyone(parents)
    context.progress.start("parents and first candidates", len(known) + PROBES, "candidates")
    for parent in known:
        journal.take(Point(number=0, by="parent", model=parent.address), lambda asked: trial.run(asked, everything))
    probes = Random(trial.space.dimension, spec.seed, "search probes")
    for _ in range(PROBES):
        journal.take(trial.asked("probe", probes.ask()), lambda asked: trial.run(asked, everything))
    chosen = telling([point.right for point in journal.points if not point.failed], spec.items)
    for name, searcher in SEARCHERS.items():
        context.progress.start(f"merge search, {name}", spec.budget, "candidates")
        _search(name, searcher(trial.space.dimension, spec.seed), spec.budget, trial, journal, chosen)
    best = [point for name in SEARCHERS for point in leading(journal.points, name)]
    context.progress.start("the best on all dev items", len(best), "candidates")
    for point in best:
        journal.take(trial.asked("final", point.place), lambda asked: trial.run(asked, everything))
    write_json(out / SUMMARY, summary(trial, journal.points, chosen, best))
    scored = [point for point in journal.points if point.by in SEARCHERS]
    return {
        "candidates": len(scored),
        "failed": sum(bool(point.failed) for point in scored),
        "dev_items": len(everything),
        "items": len(chosen),
        "candidate_seconds": round(sum(point.seconds for point in scored) / len(scored), 3),
    }


def _search(name: Name, searcher: Searcher, budget: int, trial: Trial, journal: Journal, chosen: Sequence[int]) -> None:
    """Let a searcher spend its budget."""
    for _ in range(budget):
        point = journal.take(trial.asked(name, searcher.ask()), lambda asked: trial.run(asked, chosen))
        searcher.tell(point.score)


def leading(points: Sequence[Point], name: Name) -> list[Point]:
    """The best candidates of a searcher, of equals the first."""
    found = sorted((point for point in points if point.by == name and not point.failed), key=lambda point: (-point.score, point.number))
    return found[:FINALISTS]


def merged(space: Space, parents: Parents, place: Sequence[float]) -> Parents:
    """What is merged at a place."""
    models = (parents["models"][space.choice(place)],) if space.spec.one_of else parents["models"]
    return {"models": models, **({"base": parents["base"]} if parents.get("base") else {})}


class Trial:
    """A live model that becomes one candidate after the other."""

    def __init__(self, spec: SearchStep, parents: Parents, context: Context) -> None:
        where = device.prepare(context)
        self.parents, self.context = parents, context
        self.space = Space(spec, len(parents["models"]), has_base=bool(parents.get("base")))
        home = giving(parents)
        self.model = loading.load(home, device.compute_dtype(where), where)
        self.items = DevItems(one(parents, "benchmark"), self.model, loading.tokenizer(home), POOL * spec.items)
        self._sweep = Sweep(context)
        self._memory = loading.live(self.model)

    def asked(self, by: str, place: tuple[float, ...]) -> Point:
        """A candidate that is still to be scored."""
        model = self._parent(place).address if self.space.spec.one_of else ""
        return Point.model_validate({"number": 0, "by": by, "place": place, "parameters": self.space.parameters(place), "model": model})

    def _parent(self, place: Sequence[float]) -> Artifact:
        return self.parents["models"][self.space.choice(place)]

    def run(self, asked: Point, which: Sequence[int]) -> Point:
        """Score a parent or a candidate on items by their index. What cannot be merged or scored fails; of a parent that is an error."""
        begun = time.monotonic()
        try:
            loading.swap(self.model, self._tensors(asked))
            scored = self.items.score(self.model, which, self.context)
            found: dict[str, Any] = {
                "score": round(sum(scored.right) / len(scored.right), 9),
                "accuracy": scored.accuracy,
                "right": scored.right,
            }
        except EutecticError as error:
            if asked.by == "parent":
                raise error.at(place=asked.model) from error
            found = {"failed": str(error)}
        self.context.progress.advance(1, f"score {found.get('score', 0.0):.4f}")
        return asked.model_copy(update={**found, "seconds": round(time.monotonic() - begun, 3)})

    def _tensors(self, asked: Point) -> Iterator[tuple[str, torch.Tensor]]:
        if asked.by == "parent":
            parent = next(each for each in everyone(self.parents) if each.address == asked.model)
            return self._sweep.parent(parent, self._memory)
        return self._sweep.tensors(self.space.merge(asked.place), merged(self.space, self.parents, asked.place), self._memory)


def summary(trial: Trial, points: Sequence[Point], chosen: Sequence[int], best: Sequence[Point]) -> dict[str, Any]:
    """The winner and where it comes from. Of finalists with one score the first wins; raises `WorkError` when no candidate worked."""
    finals = [point for point in points if point.by == "final" and not point.failed]
    if not finals:
        reason = next((point.failed for point in points if point.failed), "")
        raise WorkError(f"no candidate could be merged and scored: {reason}", remedy="Narrow the `space`.")
    winner = max(finals, key=lambda point: (point.score, -point.number))
    source = next(point for point in best if point.place == winner.place)
    return {
        "axes": [{"name": axis.name, "low": axis.low, "high": axis.high} for axis in trial.space.axes],
        "benchmark": one(trial.parents, "benchmark").address,
        "chosen": list(chosen),
        "items": [trial.items.items[i].id for i in chosen],
        "dev_items": len(trial.items.items),
        "winner": {
            "number": winner.number,
            "by": source.by,
            "choice": trial.space.choice(winner.place),
            "model": winner.model,
            "parameters": winner.parameters,
            "score": winner.score,
            "accuracy": winner.accuracy,
        },
    }
