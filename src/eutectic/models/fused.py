"""The element-wise parts and adapters of a transformer block with gradients written by hand, put into a live model.

Autograd keeps what each small operation needs: float32 copies in every norm, both factors of every gate. Written as one function a
part keeps its inputs only, and an adapter adds to its layer's output in place. Forward, the eager parts do exactly what transformers
does, so nothing changes but the memory and the time. Compiled, each part is one loop over its numbers, rounded once at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn.functional import linear, silu
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

Parts = tuple[Callable[..., Any], ...]


def norm_forward(states: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467, eq. 4) in float32, rounded before the gain; also 1 / rms, `[..., 1]`."""
    wide = states.float()
    inverse = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return weight * (wide * inverse).to(states.dtype), inverse


def norm_backward(grad: Tensor, states: Tensor, weight: Tensor, inverse: Tensor) -> Tensor:
    """Gradient of the states: with n = x / rms and g = grad * gain, (g - n mean(g n)) / rms."""
    normal, inner = states * inverse, grad * weight.float()  # inverse is float32, so both are
    along = torch.linalg.vecdot(inner, normal)[..., None] / states.shape[-1]
    return torch.addcmul(inner, normal, along, value=-1.0).mul_(inverse).to(states.dtype)


def gain_gradient(grad: Tensor, states: Tensor, inverse: Tensor) -> Tensor:
    """Gradient of the gain of an RMSNorm, float32 `[size]`."""
    return (grad * (states * inverse)).flatten(0, -2).sum(0)


def gate_forward(gate: Tensor, up: Tensor) -> Tensor:
    """SwiGLU without its linear maps (Shazeer 2020, arXiv 2002.05202, eq. 6): silu(gate) * up."""
    return silu(gate) * up


def gate_backward(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of gate and up; d silu(x) / dx = s (1 + x (1 - s)) with s the sigmoid."""
    x, wide = gate.float(), grad.float()
    s = torch.sigmoid(x)
    return (wide * up * (s * (1 + x * (1 - s)))).to(gate.dtype), (wide * (x * s)).to(up.dtype)


def gate_backward_eager(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """The same by torch's own kernels, which is faster where nothing is compiled."""
    return torch.ops.aten.silu_backward(grad * up, gate), grad * silu(gate)


EAGER: Parts = (norm_forward, norm_backward, gate_forward, gate_backward_eager)


def compiled_parts() -> Parts:
    """The parts compiled for this machine, for rows of any length."""
    return tuple(torch.compile(part, dynamic=True, fullgraph=True) for part in (norm_forward, norm_backward, gate_forward, gate_backward))


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parts: Parts, states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        out, inverse = parts[0](states, weight, epsilon)
        ctx.save_for_backward(states, weight, inverse)
        ctx.part = parts[1]
        return out  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, inverse = ctx.saved_tensors
        gain = gain_gradient(grads[0], states, inverse).to(weight.dtype) if ctx.needs_input_grad[2] else None
        return None, ctx.part(grads[0], states, weight, inverse), gain, None


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parts: Parts, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        ctx.part = parts[3]
        return parts[2](gate, up)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, *ctx.part(grads[0], *ctx.saved_tensors)


class _Adapted(torch.autograd.Function):
    """y = x W^T + bias + scaling (x A^T) B^T with W and bias frozen (Hu et al. 2021, arXiv 2106.09685, eq. 3)."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scaling: float) -> Tensor:
        flat = states.reshape(-1, states.shape[-1])
        low = linear(flat, down)
        out = linear(flat, weight, bias).addmm_(low, up.t(), alpha=scaling)
        ctx.save_for_backward(flat, weight, down, up, low)
        ctx.scaling = scaling
        return out.view(*states.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        flat, weight, down, up, low = ctx.saved_tensors
        grad = grads[0].reshape(-1, weight.shape[0])
        to_low = grad @ up
        to_down, to_up = (to_low.t() @ flat).mul_(ctx.scaling), (low.t() @ grad).mul_(ctx.scaling).t()
        to_states = None
        if ctx.needs_input_grad[0]:
            to_states = (grad @ weight).addmm_(to_low, down, alpha=ctx.scaling).view(*grads[0].shape[:-1], -1)
        return to_states, None, None, to_down, to_up, None


def fuse(model: PreTrainedModel, *, compiled: bool = False) -> PreTrainedModel:
    """Put the parts into `model`, for good, wherever one does what the module there does; returns the model."""
    parts = compiled_parts() if compiled else EAGER
    for module in model.modules():
        if _is_norm(module):
            module.forward = partial(_norm, module, parts)
        elif _is_gated(module):
            module.forward = partial(_gated, module, parts)
        elif isinstance(module, LoraLayer) and _is_plain(module):
            module.forward = partial(_adapted, module, module.active_adapters[0])
    return model


def recompute(model: PreTrainedModel) -> PreTrainedModel:
    """Let `model` keep only what enters each of its blocks and make the rest again in the backward; returns the model.

    Chen et al. 2016, arXiv 1604.06174, sec. 3. The block draws the same random numbers again, so no gradient changes.
    """
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.forward = partial(checkpoint, module.forward, use_reentrant=False)
    return model


def _is_norm(module: nn.Module) -> bool:
    """Whether a module is an RMSNorm whose gain is its weight (Gemma's is 1 + weight): the class says one, numbers the other."""
    if not type(module).__name__.endswith("RMSNorm") or not hasattr(module, "variance_epsilon"):
        return False
    weight = module.weight
    assert isinstance(weight, Tensor)
    probe = torch.linspace(-1, 1, 2 * weight.shape[-1], dtype=weight.dtype, device=weight.device).view(2, -1)
    with torch.no_grad():
        return torch.equal(module(probe), norm_forward(probe, weight, module.variance_epsilon)[0])  # type: ignore[arg-type]


def _is_gated(module: nn.Module) -> bool:
    """Whether a module is down(silu(gate(x)) * up(x))."""
    activation = getattr(module, "act_fn", None)
    shaped = all(isinstance(getattr(module, name, None), nn.Module) for name in ("gate_proj", "up_proj", "down_proj"))
    return shaped and type(activation).__name__ in {"SiLU", "SiLUActivation"} and type(module).__name__.endswith("MLP")


def _is_plain(layer: LoraLayer) -> bool:
    """Whether a layer is one adapter without dropout, magnitude or bias of its own beside a frozen linear map."""
    names = layer.active_adapters
    if not isinstance(layer.get_base_layer(), nn.Linear) or len(names) != 1 or names[0] in layer.lora_variant:
        return False
    biased = layer.lora_B[names[0]].bias is not None
    return isinstance(layer.lora_dropout[names[0]], nn.Identity) and not biased and not layer.get_base_layer().weight.requires_grad


def _norm(module: Any, parts: Parts, states: Tensor) -> Tensor:
    out: Tensor = _Norm.apply(parts, states, module.weight, module.variance_epsilon)  # type: ignore[no-untyped-call]
    return out


def _gated(module: Any, parts: Parts, states: Tensor) -> Tensor:
    inner: Tensor = _Gate.apply(parts, module.gate_proj(states), module.up_proj(states))  # type: ignore[no-untyped-call]
    out: Tensor = module.down_proj(inner)
    return out


def _adapted(layer: Any, name: str, states: Tensor) -> Tensor:
    base, down, up = layer.get_base_layer(), layer.lora_A[name].weight, layer.lora_B[name].weight
    out: Tensor = _Adapted.apply(states, base.weight, base.bias, down, up, float(layer.scaling[name]))  # type: ignore[no-untyped-call]
    return out
