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


def log_ratio_difference(chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor) -> Tensor:
    """How much further than the reference the policy parts a pair: log p(y_w) / p_ref(y_w) - log p(y_l) / p_ref(y_l), nats."""
    return (chosen - reference_chosen) - (rejected - reference_rejected)


def dpo(chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float) -> Tensor:
    """-log sigma(beta [(log p(y_w) - log p_ref(y_w)) - (log p(y_l) - log p_ref(y_l))]).

    Rafailov et al. 2023, arXiv 2305.18290, eq. 7. All inputs are summed log-probabilities of an answer, `[pairs]`.
    """
    return -logsigmoid(beta * log_ratio_difference(chosen, rejected, reference_chosen, reference_rejected))


def hinge(chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float) -> Tensor:
    """max(0, 1 - beta [(log p(y_w) - log p_ref(y_w)) - (log p(y_l) - log p_ref(y_l))]).

    The calibration loss of SLiC-HF (Zhao et al. 2023, arXiv 2305.10425), max(0, delta - log p(y_w) + log p(y_l)), of log-probabilities
    relative to the reference and divided by delta = 1 / beta, as in RSO (Liu et al. 2024, arXiv 2309.06657) and in TRL. SLiC-HF's second
    term, the likelihood of a target answer, is not part of it. All inputs are summed log-probabilities of an answer, `[pairs]`.
    """
    return torch.relu(1 - beta * log_ratio_difference(chosen, rejected, reference_chosen, reference_rejected))


def ipo(chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float) -> Tensor:
    """((log p(y_w) - log p_ref(y_w)) - (log p(y_l) - log p_ref(y_l)) - 1 / (2 beta))^2.

    Azar et al. 2024, arXiv 2310.12036, eq. 17, whose tau is `beta`. The paper writes log-probabilities of whole answers; like TRL (1.16),
    which refers to the paper's authors for it, we take the **mean a token** of each answer, so that the target 1 / (2 beta) means the same
    for short and long answers. All inputs `[pairs]`.
    """
    return (log_ratio_difference(chosen, rejected, reference_chosen, reference_rejected) - 1 / (2 * beta)) ** 2


def simpo(chosen: Tensor, rejected: Tensor, beta: float, gamma: float) -> Tensor:
    """-log sigma(beta log p(y_w) / |y_w| - beta log p(y_l) / |y_l| - gamma).

    Meng et al. 2024, arXiv 2405.14734, eq. 6. The inputs are mean log-probabilities a token, `[pairs]`; `gamma` is the target margin in
    units of the reward, so a pair is parted as asked where its mean log-probabilities lie gamma / beta nats apart.
    """
    return -logsigmoid(beta * (chosen - rejected) - gamma)


def log_odds_ratio(chosen: Tensor, rejected: Tensor) -> Tensor:
    """The log odds ratio, log odds(y_w) - log odds(y_l), odds(y) = p / (1 - p), from mean log-probabilities a token, `[pairs]`.

    Hong et al. 2024, arXiv 2403.07691, eqs. 4-5. The means are kept a float32 step below 0, where the odds are finite.
    """
    ceiling = -torch.finfo(torch.float32).eps
    chosen, rejected = chosen.clamp(max=ceiling), rejected.clamp(max=ceiling)
    return (chosen - rejected) - (log1mexp(chosen) - log1mexp(rejected))


def orpo(chosen: Tensor, rejected: Tensor) -> Tensor:
    """L_OR = -log sigma(log odds ratio), the second term of ORPO (arXiv 2403.07691, eq. 7); the first is the likelihood of y_w, eq. 2.

    From mean log-probabilities a token of the answers alone, `[pairs]`, whatever the likelihood is taken of.
    """
    return -logsigmoid(log_odds_ratio(chosen, rejected))
