"""Who proposes candidates: CMA-ES, and random search as its control. Both are told scores and are the same again for the same ones."""

from __future__ import annotations

import math
from typing import Literal, Protocol

import numpy as np

from eutectic.fingerprint import stream_seed

Place = tuple[float, ...]
Name = Literal["random", "cma"]
STEP = 0.25  # first standard deviation of CMA-ES, in a unit cube: both ends lie two of them from the middle


class Searcher(Protocol):
    """Proposes places in the unit cube."""

    def ask(self) -> Place:
        """The next place to try."""

    def tell(self, score: float) -> None:
        """What the place just asked for scored; larger is better."""


class Random:
    """Places drawn uniformly."""

    def __init__(self, dimension: int, seed: int, purpose: str = "search random") -> None:
        self._dimension = dimension
        self._draw = np.random.default_rng(stream_seed(seed, purpose))

    def ask(self) -> Place:
        """The next place."""
        return tuple(self._draw.random(self._dimension).tolist())

    def tell(self, _: float) -> None:
        """Nothing is learned."""


class Cma:
    """CMA-ES in the unit cube (Hansen & Ostermeier 2001, the `cma` package); begun anew at a random place when it has converged.

    The package leaves one dimension to others, so there a second one without effect is added.
    """

    def __init__(self, dimension: int, seed: int) -> None:
        self._dimension = dimension
        self._draw = np.random.default_rng(stream_seed(seed, "search cma"))
        self._begin([0.5] * max(2, dimension))

    def _begin(self, start: list[float]) -> None:
        import cma

        options = {
            "bounds": [0.0, 1.0],
            "randn": lambda *shape: self._draw.standard_normal(shape),  # its own way draws from numpy's one stream for all
            "seed": math.nan,
            "verbose": -9,
            "verb_log": 0,
        }
        self._strategy = cma.CMAEvolutionStrategy(start, STEP, options)
        self._asked: list[np.ndarray] = self._strategy.ask()
        self._scores: list[float] = []

    def ask(self) -> Place:
        """The next place of the generation."""
        return tuple(self._asked[len(self._scores)][: self._dimension].tolist())

    def tell(self, score: float) -> None:
        """Learn from a generation when all of it is scored."""
        self._scores.append(score)
        if len(self._scores) < len(self._asked):
            return
        self._strategy.tell(self._asked, [-score for score in self._scores])
        if self._strategy.stop():
            self._begin(self._draw.random(max(2, self._dimension)).tolist())
        else:
            self._asked, self._scores = self._strategy.ask(), []
