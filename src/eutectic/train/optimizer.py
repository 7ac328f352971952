"""AdamW on weights that are computed with in bf16.

A weight of 0.05 in bf16 has neighbours 0.0002 away, and an Adam step is about the learning rate: at 2e-5 nine in ten bf16 weights
would stand still. Two ways round it, one class each: float32 masters (Micikevicius et al. 2018, arXiv 1710.03740, sec. 3.1), whose
rounded copies the model computes with; or stochastic rounding of the bf16 weights themselves (Gupta et al. 2015, arXiv 1502.02551,
sec. 4), which takes 10 instead of 18 bytes a weight.

Both keep what one process holds: of a divided model its part of every weight. Gradients are summed in float32 over the micro-batches, but
for a divided model held in bf16: the sharding sums over processes in float32 and keeps the sum of micro-batches in the weights' own type.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from eutectic.fingerprint import stream_seed
from eutectic.models.sharded import like, local
from eutectic.specs.steps import TrainStep
from eutectic.train.team import Team

BETAS, EPSILON = (0.9, 0.999), 1e-8  # Kingma & Ba 2015, arXiv 1412.6980; decay as in Loshchilov & Hutter 2019, arXiv 1711.05101


class Optimizer(Protocol):
    """Learned weights, the sum of their gradients, and the moments."""

    def step(self, learning_rate: float) -> float:
        """Clip, step, forget the gradients; returns the norm before clipping. NaN or infinite: nothing was done."""

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All that must be saved to go on bit for bit, by name, in place; gradients are zero between updates."""

    def restored(self, updates: int) -> None:
        """Say that `tensors` were filled with a save made after `updates` updates."""

    def weights(self) -> dict[str, Tensor]:
        """The learned weights by live name, as exactly as they are known; of a divided model divided likewise."""


def make(model: PreTrainedModel, spec: TrainStep, team: Team) -> Optimizer:
    """The optimiser that a stage's precision asks for."""
    return Stochastic(model, spec, team) if spec.precision == "bf16-stochastic" else Masters(model, spec, team)


class Gradients:
    """Sums of the gradients of the learned parameters, in float32, and their norm over the whole model."""

    def __init__(self, model: PreTrainedModel, team: Team) -> None:
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.live = {name: local(p.detach()) for name, p in self.parameters.items()}
        self.team = team
        self.sums: dict[str, Tensor] = {}
        for name, parameter in self.parameters.items():
            if parameter.dtype != torch.float32 and team.size == 1:  # others are summed by autograd or by the sharding itself
                self.sums[name] = torch.zeros_like(self.live[name], dtype=torch.float32)
                parameter.register_post_accumulate_grad_hook(partial(_gather, self.sums[name]))  # type: ignore[no-untyped-call]

    def clipped(self, limit: float) -> tuple[dict[str, Tensor], float]:
        """Gradients by name, scaled to a norm of at most `limit`, and the norm before."""
        found = {name: self.sums[name] if name in self.sums else self._own(name) for name in self.parameters}
        grads = list(found.values())
        norm = self.team.sum(torch.stack(torch._foreach_norm(grads)).square().sum()).sqrt()
        if torch.isfinite(norm):
            torch._foreach_mul_(grads, torch.clamp(limit / (norm + 1e-6), max=1.0))
        return found, float(norm)

    def _own(self, name: str) -> Tensor:
        gradient = self.parameters[name].grad
        return torch.zeros_like(self.live[name], dtype=torch.float32) if gradient is None else local(gradient).float()

    def forget(self) -> None:
        """Start the next update's sums."""
        for total in self.sums.values():
            total.zero_()
        for name in self.parameters.keys() - self.sums.keys():
            self.parameters[name].grad = None


def _gather(total: Tensor, parameter: Tensor) -> None:
    """Add a bf16 gradient to the float32 sum as soon as it is whole, and free it."""
    assert parameter.grad is not None
    total.add_(parameter.grad)
    parameter.grad = None


class Masters:
    """Float32 masters under a model that computes in bf16; a model held in float32 is its own master."""

    def __init__(self, model: PreTrainedModel, spec: TrainStep, team: Team) -> None:
        self.gradients = Gradients(model, team)
        self.limit = spec.max_grad_norm
        self.masters = {n: t if t.dtype == torch.float32 else t.to(torch.float32) for n, t in self.gradients.live.items()}
        decayed = [m for n, m in self.masters.items() if _decays(self.gradients, n)]
        plain = [m for n, m in self.masters.items() if not _decays(self.gradients, n)]
        groups = [{"params": decayed, "weight_decay": spec.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.adam = torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, betas=BETAS, eps=EPSILON, fused=True)
        for master in self.masters.values():
            step = torch.zeros((), dtype=torch.float32, device=master.device)
            self.adam.state[master] = {"step": step, "exp_avg": torch.zeros_like(master), "exp_avg_sq": torch.zeros_like(master)}

    def step(self, learning_rate: float) -> float:
        """See `Optimizer`."""
        grads, norm = self.gradients.clipped(self.limit)
        if not norm < float("inf"):
            return norm
        for name, master in self.masters.items():
            master.grad = grads[name]
        for group in self.adam.param_groups:
            group["lr"] = learning_rate
        self.adam.step()
        self._round()
        self.gradients.forget()
        return norm

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """See `Optimizer`."""
        for name, master in self.masters.items():
            state = self.adam.state[master]
            for what, tensor in (("master", master), ("first", state["exp_avg"]), ("second", state["exp_avg_sq"])):
                yield f"{what}.{name}", like(self.gradients.parameters[name], tensor)

    def restored(self, updates: int) -> None:
        """See `Optimizer`."""
        for master in self.masters.values():
            self.adam.state[master]["step"].fill_(updates)
        self._round()

    def weights(self) -> dict[str, Tensor]:
        """See `Optimizer`."""
        return {name: like(self.gradients.parameters[name], master) for name, master in self.masters.items()}

    def _round(self) -> None:
        """The model's bf16 weights are the masters, rounded to nearest."""
        apart = [(live, self.masters[n]) for n, live in self.gradients.live.items() if live.dtype != torch.float32]
        if apart:
            with torch.no_grad():
                torch._foreach_copy_([live for live, _ in apart], [master for _, master in apart])


class Stochastic:
    """No masters: weights and moments stay in bf16, and every new value is rounded up or down by chance, so that its mean is exact.

    A value x between neighbours a < b becomes b with probability (x - a) / (b - a). The numbers drawn derive from seed, update and name.
    """

    def __init__(self, model: PreTrainedModel, spec: TrainStep, team: Team) -> None:
        self.gradients = Gradients(model, team)
        self.spec, self.team, self.updates = spec, team, 0
        live = self.gradients.live
        self.first = {name: torch.zeros_like(t, dtype=torch.bfloat16) for name, t in live.items()}
        self.second = {name: torch.zeros_like(t, dtype=torch.bfloat16) for name, t in live.items()}

    def step(self, learning_rate: float) -> float:
        """See `Optimizer`."""
        grads, norm = self.gradients.clipped(self.spec.max_grad_norm)
        if not norm < float("inf"):
            return norm
        self.updates += 1
        with torch.no_grad():
            for name, gradient in grads.items():
                self._learn(name, gradient, learning_rate)
        self.gradients.forget()
        return norm

    def _learn(self, name: str, gradient: Tensor, learning_rate: float) -> None:
        """AdamW of one weight in float32, then three roundings."""
        (one, two), weight = BETAS, self.gradients.live[name]
        generator = torch.Generator(weight.device)
        generator.manual_seed(stream_seed(self.spec.seed, f"rounding:{self.updates}:{name}:{self.team.rank}"))
        first = self.first[name].float().lerp_(gradient, 1 - one)
        second = self.second[name].float().mul_(two).addcmul_(gradient, gradient, value=1 - two)
        change = (first / (1 - one**self.updates)).div_((second / (1 - two**self.updates)).sqrt_().add_(EPSILON))
        decay = self.spec.weight_decay if _decays(self.gradients, name) else 0.0
        exact = weight.float().mul_(1 - learning_rate * decay).sub_(change, alpha=learning_rate)
        for target, value in ((weight, exact), (self.first[name], first), (self.second[name], second)):
            target.copy_(rounded(value, generator))

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """See `Optimizer`."""
        for what, tensors in (("weight", self.gradients.live), ("first", self.first), ("second", self.second)):
            for name, tensor in tensors.items():
                yield f"{what}.{name}", like(self.gradients.parameters[name], tensor)

    def restored(self, updates: int) -> None:
        """See `Optimizer`."""
        self.updates = updates

    def weights(self) -> dict[str, Tensor]:
        """See `Optimizer`."""
        return {name: like(self.gradients.parameters[name], tensor) for name, tensor in self.gradients.live.items()}


def rounded(exact: Tensor, generator: torch.Generator) -> Tensor:
    """Float32 numbers rounded to bf16 up or down by chance; destroys `exact`.

    Sixteen random bits are added below the last bit that stays, and what is below it is cut off.
    """
    bits = exact.view(torch.int32)
    noise = torch.randint(0, 1 << 16, bits.shape, dtype=torch.int32, device=bits.device, generator=generator)
    return bits.add_(noise).bitwise_and_(-(1 << 16)).view(torch.float32).to(torch.bfloat16)


def _decays(gradients: Gradients, name: str) -> bool:
    """Biases and norm gains are scales, not maps: they are not decayed."""
    return gradients.parameters[name].ndim > 1
