"""The probability ensemble of models: what they would answer together, worked out from the log-likelihoods each one gave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eutectic.analysis.statistics import Floats
from eutectic.specs.rows import ItemScore


def ensemble(models: Sequence[Sequence[ItemScore]]) -> Floats:
    """Scores `[items]` of the probability ensemble of models in a cell whose options are ranked; `models` are `[model][item]`.

    An item counts the share of its rotations (one, in cloze form) in which the right option has the highest probability as a mean over
    models; of equals the first. The ensemble of one model is that model.
    """
    return np.array([_score(rows) for rows in zip(*models, strict=True)])


def _score(rows: Sequence[ItemScore]) -> float:
    together = np.mean([_probabilities(row) for row in rows], axis=0)
    return float(np.mean(together.argmax(axis=1) == rows[0].answer))


def _probabilities(row: ItemScore) -> Floats:
    """`[rotations, options]`: the softmax over options of what the model alone ranks them by."""
    if row.rotated:
        values = np.array(row.rotated)
    elif row.priors:
        values = np.array([row.log_likelihoods]) - np.array(row.priors)
    else:
        values = np.array([row.log_likelihoods]) / np.array(row.tokens)
    odds = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
