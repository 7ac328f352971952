"""What a stage bought, measured on rows of groups that no training set holds, before and after it.

For preferences also what a classifier can do that never sees the question: where the length of an answer, or its words alone, tell
chosen from rejected, a high pair accuracy says little about the model.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence as Several
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from transformers import PreTrainedModel

from eutectic.artifacts import read_rows
from eutectic.errors import WorkError
from eutectic.fingerprint import stream_seed
from eutectic.models.logprobs import completion_logprobs, mean_loss
from eutectic.specs.rows import PreferenceRow
from eutectic.train.examples import Examples
from eutectic.train.objectives import Objective

RESAMPLES = 2000


def measure(model: PreTrainedModel, examples: Examples, objective: Objective) -> dict[str, Any]:
    """Held-out figures of a model: perplexity of text, loss of answers, or how often the chosen answer is the likelier one.

    Of a pair the summed log-probabilities of the answers are compared (nats), whatever the objective learns: `chosen_logprob` and
    `rejected_logprob` are their means over pairs, `margin` is the difference of these, `correct` 0 or 1 a pair. Raises `WorkError` for
    a figure that is no finite number.
    """
    if not examples.sequences:
        return {}
    if objective.pairs:
        sums, _ = completion_logprobs(model, examples.sequences, 2)
        chosen, rejected = sums.double().mean(0).tolist()
        _finite(chosen + rejected)
        correct = [int(m > 0) for m in (sums[:, 0] - sums[:, 1]).tolist()]
        logprobs = {"margin": chosen - rejected, "chosen_logprob": chosen, "rejected_logprob": rejected}
        return {"pair_accuracy": sum(correct) / len(correct), "n": len(correct), **logprobs, "correct": correct}
    loss, tokens = mean_loss(model, examples.sequences)
    _finite(loss)
    if objective.rows == "text":
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "tokens": tokens}
    return {"answer_loss": loss, "tokens": tokens}


def _finite(value: float) -> None:
    if not math.isfinite(value):
        raise WorkError(
            "the model's log-probabilities of the held-out rows are no finite numbers",
            remedy="Look for NaN or infinity in its weights (`eutectic verify`), or lower `learning_rate`.",
        )


def change(before: Several[int], after: Several[int], groups: Several[str], seed: int) -> dict[str, Any]:
    """Difference of two accuracies on the same pairs: 95 % bootstrap interval over groups, and McNemar's exact test.

    Pairs of one group stand or fall together, so groups are drawn, not pairs (Miller 2024, arXiv 2411.00640, sec. 2.2). The test asks
    whether as many pairs were broken as mended (McNemar 1947).
    """
    delta = np.array(after) - np.array(before)
    names, place = np.unique(np.array(groups), return_inverse=True)
    sums, sizes = np.bincount(place, delta), np.bincount(place)
    drawn = np.random.default_rng(stream_seed(seed, "held-out bootstrap")).integers(len(names), size=(RESAMPLES, len(names)))
    differences = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(differences, [0.025, 0.975])
    mended, broken = int((delta > 0).sum()), int((delta < 0).sum())
    p = float(binomtest(mended, mended + broken).pvalue) if mended + broken else 1.0
    return {"difference": float(delta.mean()), "interval": [float(low), float(high)], "mended": mended, "broken": broken, "p": p}


def baselines(train: Path, held_out: Path) -> dict[str, float]:
    """Accuracy on held-out pairs of two classifiers that never see the question, fitted to the training pairs.

    `length_only` takes the longer answer, or the shorter one if that is right more often in training (ties count half);
    `rejected_text_only` is naive Bayes on words and word pairs of the answers.
    """
    fitted, tested = _answers(train), _answers(held_out)
    longer = _share([len(c) - len(r) for c, r in fitted])
    direction = 1 if longer >= 0.5 else -1
    weights = _log_odds(fitted)
    scores = [_score(weights, c) - _score(weights, r) for c, r in tested]
    return {"length_only": _share([direction * (len(c) - len(r)) for c, r in tested]), "rejected_text_only": _share(scores)}


def _answers(file: Path) -> list[tuple[str, str]]:
    rows = read_rows(file, PreferenceRow)
    return [(" ".join(m.content for m in row.chosen), " ".join(m.content for m in row.rejected)) for row in rows]


def _share(values: Several[float]) -> float:
    """Share of positive values, zeros counting half."""
    return sum((v > 0) + 0.5 * (v == 0) for v in values) / len(values)


def _features(text: str) -> Counter[str]:
    words = re.findall(r"\w+", text.lower())
    return Counter(words) + Counter(map(" ".join, itertools.pairwise(words)))


def _log_odds(pairs: Several[tuple[str, str]]) -> dict[str, float]:
    """Naive Bayes weights of words and word pairs with add-one smoothing."""
    chosen, rejected = Counter[str](), Counter[str]()
    for c, r in pairs:
        chosen.update(_features(c))
        rejected.update(_features(r))
    names = chosen.keys() | rejected.keys()
    shift = math.log((rejected.total() + len(names)) / (chosen.total() + len(names)))
    return {name: math.log((chosen[name] + 1) / (rejected[name] + 1)) + shift for name in names}


def _score(weights: dict[str, float], text: str) -> float:
    return sum(weights.get(name, 0.0) * count for name, count in _features(text).items())
