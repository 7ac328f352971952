"""The objectives: what a row must be, what may be set, and the loss of one batch of tiles.

An objective is one row of `OBJECTIVES`. Every loss is a sum over the tiles of an update divided by totals of the whole update, so
that accumulated batches equal one big batch, also in a last, smaller update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from eutectic.errors import InputError
from eutectic.models.logprobs import group_logprobs, token_loss
from eutectic.models.packing import Tiles
from eutectic.train import losses

Settings = Mapping[str, float | str]
Measures = dict[str, float]  # sums over pairs; the loop divides them by the pairs of the update


@dataclass(frozen=True)
class Update:
    """Totals of one update: tokens the likelihood is divided by, pairs, and the settings of the objective."""

    loss_tokens: int
    pairs: int
    settings: Settings


Loss = Callable[[PreTrainedModel, Tiles, Update, Tensor], tuple[Tensor, Measures]]


class Answers(NamedTuple):
    """Of each pair of a batch, all `[members]`: summed log p of prompt, chosen and rejected answer, and the tokens of the answers.

    The prompt's is 0 where it is not learned.
    """

    prompt: Tensor
    chosen: Tensor
    rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor

    def means(self) -> tuple[Tensor, Tensor]:
        """Mean log p a token of the chosen and of the rejected answers."""
        return self.chosen / self.chosen_tokens, self.rejected / self.rejected_tokens

    def measures(self, margin: Tensor) -> Measures:
        """What every preference objective records; `margin` is what its loss wants to be large, `[members]`."""
        mean_chosen, mean_rejected = self.means()
        return {
            "margin": float(margin.detach().sum()),
            "pair_accuracy": float((margin > 0).sum()),
            "chosen_logprob": float(self.chosen.detach().sum()),
            "rejected_logprob": float(self.rejected.detach().sum()),
            "chosen_token_logprob": float(mean_chosen.detach().sum()),
            "rejected_token_logprob": float(mean_rejected.detach().sum()),
        }


def _answers(model: PreTrainedModel, tiles: Tiles) -> Answers:
    sums, counts = group_logprobs(model, tiles, 2)
    return Answers(sums[:, 0], sums[:, 1], sums[:, 2], counts[:, 1], counts[:, 2])


def _tokens(model: PreTrainedModel, tiles: Tiles, update: Update, _: Tensor) -> tuple[Tensor, Measures]:
    """Mean negative log-likelihood of the learned tokens."""
    return token_loss(model, tiles, 1.0 / update.loss_tokens), {}


def _dpo(model: PreTrainedModel, tiles: Tiles, update: Update, reference: Tensor) -> tuple[Tensor, Measures]:
    """Mean DPO, IPO or hinge loss of the pairs; `reference` is `[members, 2]`, summed. The margin is beta times what the loss compares.

    IPO compares means a token, so it pulls the margin to 1/2.
    """
    answers, beta = _answers(model, tiles), float(update.settings["beta"])
    chosen, rejected, kept_chosen, kept_rejected = answers.chosen, answers.rejected, reference[:, 0], reference[:, 1]
    if update.settings["loss"] == "ipo":
        chosen, rejected = answers.means()
        kept_chosen, kept_rejected = kept_chosen / answers.chosen_tokens, kept_rejected / answers.rejected_tokens
    compared = (chosen, rejected, kept_chosen, kept_rejected)
    loss = DPO_LOSSES[str(update.settings["loss"])](*compared, beta).sum() / update.pairs
    return loss, answers.measures(beta * losses.log_ratio_difference(*compared))


DPO_LOSSES = {"sigmoid": losses.dpo, "ipo": losses.ipo, "hinge": losses.hinge}


def _orpo(model: PreTrainedModel, tiles: Tiles, update: Update, _: Tensor) -> tuple[Tensor, Measures]:
    """Mean negative log-likelihood of the learned tokens (chosen answers, and their prompts where they are learned) plus beta times the
    mean odds-ratio loss of the answers. The margin is the log odds ratio.
    """
    answers = _answers(model, tiles)
    odds = losses.orpo(*answers.means()).sum() / update.pairs
    loss = -(answers.prompt + answers.chosen).sum() / update.loss_tokens + float(update.settings["beta"]) * odds
    return loss, answers.measures(losses.log_odds_ratio(*answers.means()))


def _simpo(model: PreTrainedModel, tiles: Tiles, update: Update, _: Tensor) -> tuple[Tensor, Measures]:
    """Mean SimPO loss of the pairs. The margin is the difference of the rewards, which gamma wants to be exceeded."""
    answers, beta, gamma = _answers(model, tiles), float(update.settings["beta"]), float(update.settings["gamma"])
    chosen, rejected = answers.means()
    return losses.simpo(chosen, rejected, beta, gamma).sum() / update.pairs, answers.measures(beta * (chosen - rejected))


@dataclass(frozen=True)
class Number:
    """A parameter that is a number above 0, or 0 too where `zero` says so."""

    default: float
    zero: bool = False

    def read(self, name: str, value: object) -> float:
        """The number a user gave; raises `InputError`."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not (0 < value < float("inf") or (self.zero and value == 0)):  # type: ignore[operator]
            wanted = "a number, 0 or above" if self.zero else "a number above 0"
            raise InputError(f"{name} is {value!r}; it must be {wanted}", place=name)
        return float(value)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Word:
    """A parameter that is one of several words; the first is the default."""

    choices: tuple[str, ...]

    @property
    def default(self) -> str:
        """What holds when nothing is given."""
        return self.choices[0]

    def read(self, name: str, value: object) -> str:
        """The word a user gave; raises `InputError`."""
        if value not in self.choices:
            raise InputError(f"{name} is {value!r}", place=name, remedy=f"Choose one of: {', '.join(self.choices)}.")
        return str(value)


@dataclass(frozen=True)
class Objective:
    """`rows` is the kind of dataset it reads, `reference` whether it wants the log-probabilities of the model it starts from.

    `prompt` names the parameter and its word by which the prompt is learned along with the answers.
    """

    name: str
    rows: str
    loss: Loss
    pairs: bool = False
    reference: bool = False
    parameters: Mapping[str, Number | Word] = field(default_factory=dict)
    prompt: tuple[str, str] | None = None

    def settings(self, given: Mapping[str, object]) -> dict[str, float | str]:
        """The objective's parameters: `given` over the defaults. Raises `InputError` for an unknown name or a value that may not be."""
        for name in given:
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise InputError(f"{name!r} is no parameter of {self.name}", place=name, remedy=f"It has: {known}.")
        return {n: parameter.read(n, given.get(n, parameter.default)) for n, parameter in self.parameters.items()}

    def learns_prompt(self, settings: Settings) -> bool:
        """Whether the tokens before the answers are scored too."""
        return self.prompt is not None and settings[self.prompt[0]] == self.prompt[1]


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("cpt", "text", _tokens),
        Objective("sft", "instruction", _tokens, parameters={"learn": Word(("assistant", "all"))}, prompt=("learn", "all")),
        Objective(
            "dpo",
            "preference",
            _dpo,
            pairs=True,
            reference=True,
            parameters={"beta": Number(0.1), "loss": Word(tuple(DPO_LOSSES))},
        ),
        Objective(
            "orpo",
            "preference",
            _orpo,
            pairs=True,
            parameters={"beta": Number(0.1), "likelihood": Word(("sequence", "answer"))},
            prompt=("likelihood", "sequence"),
        ),
        Objective("simpo", "preference", _simpo, pairs=True, parameters={"beta": Number(2.0), "gamma": Number(1.0, zero=True)}),
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
