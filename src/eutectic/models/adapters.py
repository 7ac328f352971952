"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) through PEFT: put into a live model, folded into its weights in float32."""

from __future__ import annotations

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor
from transformers import PreTrainedModel

from eutectic.specs.study import LoraSpec

NAME = "default"


def attach(model: PreTrainedModel, lora: LoraSpec, seed: int) -> None:
    """Put adapters beside every linear map of the trunk; only they are learned from now on. B starts at zero, so nothing changes yet."""
    heads = {id(model.get_output_embeddings())}  # type: ignore[no-untyped-call]
    targets = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and id(module) not in heads]
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=targets,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model, adapter_name=NAME)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if "lora_" in name:
            parameter.data = parameter.data.to(model.dtype)  # PEFT makes them float32; the masters are elsewhere


def fold(model: PreTrainedModel, masters: dict[str, Tensor]) -> dict[str, Tensor]:
    """All weights by their names without adapters, W + (alpha / rank) B A in float32 where there is one.

    `masters` are the float32 adapter weights by live name.
    """
    state: dict[str, Tensor] = {}
    adapted = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            continue
        owner, _, leaf = name.rpartition(".base_layer.")
        if owner not in adapted or leaf != "weight":
            state[name.replace(".base_layer.", ".")] = parameter.detach()
            continue
        down, up = masters[f"{owner}.lora_A.{NAME}.weight"], masters[f"{owner}.lora_B.{NAME}.weight"]
        scaling = float(adapted[owner].scaling[NAME])
        state[f"{owner}.{leaf}"] = parameter.detach().float() + scaling * (up.float() @ down.float())
    return state
