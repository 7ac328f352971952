"""The objectives: what a row must be, which numbers may be set, and the loss of one batch of tiles.

An objective is one row of `OBJECTIVES`. Every loss is a sum over the tiles of an update divided by totals of the whole update, so
that accumulated batches equal one big batch, also in a last, smaller update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from eutectic.errors import InputError
from eutectic.models.logprobs import group_logprobs, token_loss
from eutectic.models.packing import Tiles
from eutectic.train import losses


@dataclass(frozen=True)
class Update:
    """Totals of one update: scored tokens (of the learned answer), pairs, and the numbers of the objective."""

    loss_tokens: int
    pairs: int
    numbers: Mapping[str, float]


Measures = dict[str, float]  # sums over pairs; the loop divides them by the pairs of the update
Loss = Callable[[PreTrainedModel, Tiles, Update, Tensor], tuple[Tensor, Measures]]


def _tokens(model: PreTrainedModel, tiles: Tiles, update: Update, _: Tensor) -> tuple[Tensor, Measures]:
    """Mean negative log-likelihood of the learned tokens."""
    return token_loss(model, tiles, 1.0 / update.loss_tokens), {}


def _dpo(model: PreTrainedModel, tiles: Tiles, update: Update, reference: Tensor) -> tuple[Tensor, Measures]:
    """Mean DPO loss of the pairs; `reference` is `[members, 2]`."""
    sums, _ = group_logprobs(model, tiles, 2)
    chosen, rejected = sums[:, 1], sums[:, 2]
    beta = update.numbers["beta"]
    loss = losses.dpo(chosen, rejected, reference[:, 0], reference[:, 1], beta).sum() / update.pairs
    reward = beta * ((chosen - reference[:, 0]) - (rejected - reference[:, 1])).detach()
    return loss, {**_pair_measures(chosen, rejected), "margin": float(reward.sum()), "pair_accuracy": float((reward > 0).sum())}


def _orpo(model: PreTrainedModel, tiles: Tiles, update: Update, _: Tensor) -> tuple[Tensor, Measures]:
    """Mean negative log-likelihood of the chosen answers' tokens plus beta times the mean odds-ratio loss."""
    sums, counts = group_logprobs(model, tiles, 2)
    chosen, rejected = sums[:, 1] / counts[:, 1], sums[:, 2] / counts[:, 2]
    odds = losses.orpo(chosen, rejected).sum() / update.pairs
    loss = -sums[:, 1].sum() / update.loss_tokens + update.numbers["beta"] * odds
    margin = losses.log_odds_ratio(chosen.detach(), rejected.detach())
    return loss, {**_pair_measures(sums[:, 1], sums[:, 2]), "margin": float(margin.sum()), "pair_accuracy": float((margin > 0).sum())}


def _pair_measures(chosen: Tensor, rejected: Tensor) -> Measures:
    return {"chosen_logprob": float(chosen.detach().sum()), "rejected_logprob": float(rejected.detach().sum())}


@dataclass(frozen=True)
class Objective:
    """`rows` is the kind of dataset it reads, `reference` whether it wants the log-probabilities of the model it starts from."""

    name: str
    rows: str
    loss: Loss
    pairs: bool = False
    reference: bool = False
    defaults: Mapping[str, float] = field(default_factory=dict)

    def numbers(self, given: Mapping[str, object]) -> dict[str, float]:
        """The objective's numbers: `given` over the defaults. Raises `InputError` for an unknown name or a number that is not above 0."""
        for name, value in given.items():
            if name not in self.defaults:
                known = ", ".join(self.defaults) or "none"
                raise InputError(f"{name!r} is no parameter of {self.name}", place=name, remedy=f"It has: {known}.")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise InputError(f"{name} is {value!r}; it must be a number above 0", place=name)
        return {name: float(given.get(name, default)) for name, default in self.defaults.items()}  # type: ignore[arg-type]


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("cpt", "text", _tokens),
        Objective("sft", "instruction", _tokens),
        Objective("dpo", "preference", _dpo, pairs=True, reference=True, defaults={"beta": 0.1}),
        Objective("orpo", "preference", _orpo, pairs=True, defaults={"beta": 0.1}),
    )
}


def find(name: str) -> Objective:
    """The objective of a name; an unknown one is an `InputError`."""
    if name not in OBJECTIVES:
        raise InputError(f"{name!r} is no objective", place="objective", remedy=f"There are: {', '.join(OBJECTIVES)}.")
    return OBJECTIVES[name]


def no_reference() -> Tensor:
    """What objectives without a reference are handed in its place."""
    return torch.empty(0, 2)
