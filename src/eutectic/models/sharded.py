"""A model whose weights are divided among processes (FSDP2), used like any other.

Each process holds its part of every weight in the type it is learned in; the whole weight exists, in the type of the computation, only
while its layer is at work (Zhao et al. 2023, arXiv 2304.11277). Layers gather their weights when they are called. What lies outside the
layers, embedding, last norm and head, is gathered by the root, so whoever touches those works `within` it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

Result = TypeVar("Result")
ROOT = "eutectic_root"


class Root(nn.Module):
    """Calls a function of the model inside its own forward, where the root's weights are whole."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[PreTrainedModel], Any]) -> Any:
        """`work` of the model."""
        return work(self.model)


def shard(model: PreTrainedModel, mesh: DeviceMesh, held: torch.dtype, compute: torch.dtype) -> PreTrainedModel:
    """Divide a whole model, in place: weights are held in `held`, gathered in `compute`, and gradients are summed in float32.

    Layer by layer, so that only one layer at a time is whole in `held`. The processes' gradients are averaged; who wants their sum
    multiplies the loss by the number of processes.
    """
    policy = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32)
    trunk = next(child for child in model.base_model.children() if isinstance(child, nn.ModuleList))
    for layer in trunk:
        fully_shard(layer.to(held), mesh=mesh, mp_policy=policy)
    for parameter in model.parameters():
        if not isinstance(parameter, DTensor):
            parameter.data = parameter.data.to(held)
    root = Root(model)
    fully_shard(root, mesh=mesh, mp_policy=policy)
    model.__dict__[ROOT] = root  # not a submodule: the model would contain itself
    return model


def within(model: PreTrainedModel, work: Callable[[PreTrainedModel], Result]) -> Result:
    """`work(model)` with all weights at hand. Every process of a sharded model must come here equally often."""
    root = model.__dict__.get(ROOT)
    if root is None:
        return work(model)
    found: Result = root(work)
    if not torch.is_grad_enabled():  # otherwise the backward gives the root's weights back
        root.reshard()
    return found


def local(tensor: Tensor) -> Tensor:
    """This process' part of a weight, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def like(weight: Tensor, part: Tensor) -> Tensor:
    """`part` as this process' part of a tensor divided as `weight` is."""
    if not isinstance(weight, DTensor):
        return part
    return DTensor.from_local(part, weight.device_mesh, weight.placements, run_check=False, shape=weight.shape, stride=weight.stride())


def whole(tensor: Tensor) -> Tensor:
    """All of a divided tensor, gathered from every process."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
