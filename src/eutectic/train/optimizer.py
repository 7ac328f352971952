"""AdamW on float32 masters of bf16 weights.

A weight of 0.05 in bf16 has neighbours 0.0002 away, and an Adam step is about the learning rate: at 2e-5 nine in ten bf16 weights
would stand still. So gradients are summed, moments kept and steps taken in float32, and the model's bf16 weights are the masters,
rounded once an update (Micikevicius et al. 2018, arXiv 1710.03740, sec. 3.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from eutectic.specs.steps import TrainStep

BETAS, EPSILON = (0.9, 0.999), 1e-8


class Masters:
    """Float32 copies of a model's learned parameters, their gradients and Adam moments (Loshchilov & Hutter 2019, arXiv 1711.05101)."""

    def __init__(self, model: PreTrainedModel, spec: TrainStep) -> None:
        self.live = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.masters = {name: p.detach().to(torch.float32, copy=True) for name, p in self.live.items()}
        self.limit = spec.max_grad_norm
        # Biases and norm gains are scales, not maps: they are not decayed.
        decayed = [m for m in self.masters.values() if m.ndim > 1]
        plain = [m for m in self.masters.values() if m.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": spec.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.adam = torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, betas=BETAS, eps=EPSILON, fused=True)
        for name, master in self.masters.items():
            master.grad = torch.zeros_like(master)
            self.adam.state[master] = {
                "step": torch.zeros((), dtype=torch.float32),
                "exp_avg": torch.zeros_like(master),
                "exp_avg_sq": torch.zeros_like(master),
            }
            self.live[name].register_post_accumulate_grad_hook(partial(_gather, master))  # type: ignore[no-untyped-call]

    def step(self, learning_rate: float) -> float:
        """Clip, step, round into the model, forget the gradients; returns the norm before clipping (NaN or infinite: nothing was done)."""
        grads = [m.grad for m in self.masters.values() if m.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        if not torch.isfinite(norm):
            return float(norm)
        torch._foreach_mul_(grads, torch.clamp(self.limit / (norm + 1e-6), max=1.0))
        for group in self.adam.param_groups:
            group["lr"] = learning_rate
        self.adam.step()
        with torch.no_grad():
            torch._foreach_copy_(list(self.live.values()), list(self.masters.values()))
        torch._foreach_zero_(grads)
        return float(norm)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Everything that must be saved to go on bit for bit, by name; gradients are zero between updates."""
        for name, master in self.masters.items():
            state = self.adam.state[master]
            yield f"master.{name}", master
            yield f"first.{name}", state["exp_avg"]
            yield f"second.{name}", state["exp_avg_sq"]

    def restore(self, read: dict[str, Tensor], updates: int) -> None:
        """Take saved tensors up again after `updates` updates."""
        with torch.no_grad():
            for name, tensor in self.tensors():
                tensor.copy_(read.pop(name))
            for master in self.masters.values():
                self.adam.state[master]["step"].fill_(updates)
            torch._foreach_copy_(list(self.live.values()), list(self.masters.values()))


def _gather(master: Tensor, parameter: Tensor) -> None:
    """Add a bf16 gradient to the float32 sum as soon as it is whole, and free it."""
    assert master.grad is not None
    assert parameter.grad is not None
    master.grad.add_(parameter.grad)
    parameter.grad = None
