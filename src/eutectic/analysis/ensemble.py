"""The probability ensemble of models: what they would answer together, worked out from the log-likelihoods each one gave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eutectic.analysis.statistics import Floats


def ensemble(log_likelihoods: Sequence[Sequence[Sequence[float]]], tokens: Sequence[Sequence[Sequence[int]]]) -> NDArray[np.int64]:
    """Choice `[items]` of the probability ensemble of models: argmax over options of the models' mean option probability.

    Inputs are `[model][item][option]`, in nats and tokens. A model's option probabilities are the softmax over options of its mean
    log-likelihood a token, the quantity each model alone is ranked by, so the ensemble of one model is that model. Ties: first option.
    """
    total: Floats | float = 0.0
    for rows, counts in zip(log_likelihoods, tokens, strict=True):
        scores = _padded(rows) / np.maximum(_padded(counts, fill=1.0), 1.0)
        scores -= scores.max(axis=1, keepdims=True)
        odds = np.exp(scores)
        total = total + odds / odds.sum(axis=1, keepdims=True)
    return np.asarray(np.argmax(total, axis=1), np.int64)


def _padded(rows: Sequence[Sequence[float]], fill: float = -np.inf) -> Floats:
    """Rows of unequal length as one array `[rows, longest]`."""
    table = np.full((len(rows), max(map(len, rows), default=1)), fill)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
    return table
