"""Losses as pure functions of float32 log-probabilities. Natural logarithms; every result is one number a pair, `[pairs]`."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0 without cancellation (Mächler 2012, "Accurately computing log(1 - exp(-|a|))", eq. 7).

    The branch not taken is fed a harmless number, so that its gradient cannot be NaN. x = 0 gives -inf.
    """
    near = x > -math.log(2)
    small = torch.where(near, x, torch.full_like(x, -1.0))
    large = torch.where(near, torch.full_like(x, -1.0), x)
    return torch.where(near, torch.log(-torch.expm1(small)), torch.log1p(-torch.exp(large)))


def dpo(chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float) -> Tensor:
    """-log sigma(beta [(log p(y_w) - log p_ref(y_w)) - (log p(y_l) - log p_ref(y_l))]).

    Rafailov et al. 2023, arXiv 2305.18290, eq. 7. All inputs are summed log-probabilities of an answer, `[pairs]`.
    """
    return -logsigmoid(beta * ((chosen - reference_chosen) - (rejected - reference_rejected)))


def log_odds_ratio(chosen: Tensor, rejected: Tensor) -> Tensor:
    """The log odds ratio, log odds(y_w) - log odds(y_l), odds(y) = p / (1 - p), from mean log-probabilities a token, `[pairs]`.

    Hong et al. 2024, arXiv 2403.07691, eqs. 4-5. The means are kept a float32 step below 0, where the odds are finite.
    """
    ceiling = -torch.finfo(torch.float32).eps
    chosen, rejected = chosen.clamp(max=ceiling), rejected.clamp(max=ceiling)
    return (chosen - rejected) - (log1mexp(chosen) - log1mexp(rejected))


def orpo(chosen: Tensor, rejected: Tensor) -> Tensor:
    """L_OR = -log sigma(log odds ratio), the second term of ORPO (arXiv 2403.07691, eq. 7); the first is the likelihood of y_w, eq. 2."""
    return -logsigmoid(log_odds_ratio(chosen, rejected))
