"""Low-rank adapters through PEFT: put into a live model, folded into the start's weights in float32, kept in PEFT's own format.

LoRA: W + s B A with s = alpha / rank (Hu et al. 2021, arXiv 2106.09685, sec. 4.1). rsLoRA: s = alpha / sqrt(rank) (Kalajdzievski 2023,
arXiv 2312.03732, eq. 2). DoRA: m (W + s B A) / |W + s B A|, norms over a row of the stored weight (Liu et al. 2024, arXiv 2402.09353,
eq. 5). Live adapters have the model's type; the float32 masters, by live name, are what is folded and kept.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor
from transformers import PreTrainedModel

from eutectic.errors import InputError
from eutectic.models.checkpoint import SINGLE, Checkpoint, open_checkpoint, write
from eutectic.specs.study import LoraSpec

NAME, MARK = "default", "lora_"  # PEFT's name of one adapter; what every name of an adapter's parameter holds
FOLDER, WEIGHTS = "adapter", "adapter_model.safetensors"
ATTACHED_IN = "eutectic_attached_in"  # of a live model: its type when the adapters began; dividing it among processes changes its own


def attach(model: PreTrainedModel, lora: LoraSpec, seed: int) -> None:
    """Put adapters beside linear maps of the trunk; only they are learned from now on. They start without effect.

    Raises `InputError` for a target that no linear map of the trunk ends in.
    """
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=_targets(model, lora.targets),
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model, adapter_name=NAME)
    model.__dict__[ATTACHED_IN] = model.dtype
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(MARK in name)
        if MARK in name:
            parameter.data = parameter.data.to(model.dtype)  # PEFT makes them float32; the masters are elsewhere


def attached(names: Iterable[str]) -> bool:
    """Whether there are adapters among the learned parameters."""
    return any(MARK in name for name in names)


def _targets(model: PreTrainedModel, ends: tuple[str, ...]) -> list[str]:
    """Full names of the linear maps of the trunk that end in one of `ends`; all of them where `ends` is empty."""
    heads = {id(model.get_output_embeddings())}  # type: ignore[no-untyped-call]
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and id(module) not in heads]
    found = {end: [name for name in linear if f".{name}".endswith(f".{end}")] for end in ends}
    for end, names in found.items():
        if not names:
            there = dict.fromkeys(name.rpartition(".")[2] for name in linear)
            raise InputError(
                f"no linear map of the model ends in {end!r}", place="lora.targets", remedy=f"The model has: {', '.join(there)}."
            )
    return list(dict.fromkeys(name for names in found.values() for name in names)) if ends else linear


class Folded(Mapping[str, Tensor]):
    """All weights by the names they have on disk, adapters folded in. A tensor is worked out when it is asked for and not kept."""

    def __init__(self, model: PreTrainedModel, masters: Mapping[str, Tensor], start: Path) -> None:
        """`model` is the live model with adapters, `masters` their float32 weights by live name, `start` the folder of its base."""
        self.base = open_checkpoint(start)
        self.layers = {f"{name}.weight": layer for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}
        if absent := [name for name in self.layers if name not in self.base.places]:
            raise InputError(f"its tensors do not fit the trained model ({', '.join(absent[:3])})", file=start)
        self.masters = _exact(masters, self.base, model.__dict__[ATTACHED_IN])

    def __getitem__(self, name: str) -> Tensor:
        """One tensor: in float32 where there is an adapter, else as it is stored."""
        weight = self.base.tensor(name)
        if name not in self.layers:
            return weight
        owner = name.removesuffix(".weight")
        down, up = (self.masters[f"{owner}.lora_{part}.{NAME}.weight"].float().cpu() for part in "AB")
        folded = weight.float() + float(self.layers[name].scaling[NAME]) * (up @ down)
        magnitude = self.masters.get(_magnitude(name))
        return folded if magnitude is None else (magnitude.cpu() / _norm(folded))[:, None] * folded

    def __iter__(self) -> Iterator[str]:
        """Names in the order of the files."""
        return iter(self.base.names)

    def __len__(self) -> int:
        """Number of tensors."""
        return len(self.base.names)


def save(folder: Path, model: PreTrainedModel, folded: Folded) -> None:
    """Write the adapters as PEFT does: `PeftModel.from_pretrained(base, folder)` on the start gives the folded model."""
    config = cast(LoraConfig, copy.copy(model.peft_config[NAME]))
    config.base_model_name_or_path = str(folded.base.folder)
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules or ())  # PEFT holds a set, whose order would change from run to run
    config.save_pretrained(str(folder))
    named: dict[str, Tensor] = get_peft_model_state_dict(model, dict(folded.masters), NAME, save_embedding_layers=False)
    write(folder, ((f"base_model.model.{name}", tensor) for name, tensor in named.items()), max_shard_bytes=float("inf"))
    (folder / SINGLE).rename(folder / WEIGHTS)


def _exact(masters: Mapping[str, Tensor], base: Checkpoint, dtype: torch.dtype) -> dict[str, Tensor]:
    """The masters, with DoRA's magnitudes counted from the exact norms.

    PEFT lets a magnitude begin at the norm rounded to `dtype`, the model's type. Folded in float32 that rounding would scale whole rows by
    up to half a bf16 step before anything was learned, so the exact norm takes the place of the rounded start.
    """
    exact = dict(masters)
    for name in base.names:
        if (magnitude := _magnitude(name)) in masters:
            weight = base.tensor(name)
            begun = _norm(weight.to(dtype)).float()
            exact[magnitude] = masters[magnitude].float() + (_norm(weight.float()) - begun).to(masters[magnitude].device)
    return exact


def _magnitude(weight: str) -> str:
    """Live name of the DoRA magnitude of a weight."""
    return f"{weight.removesuffix('.weight')}.lora_magnitude_vector.{NAME}.weight"


def _norm(weight: Tensor) -> Tensor:
    """Norm of every row (output) of a weight, in its type: `[outputs]`."""
    norm: Tensor = torch.linalg.norm(weight, dim=1)
    return norm
