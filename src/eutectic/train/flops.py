"""Floating-point operations of a training run, counted from shapes and batch plan; a multiplication and an addition are two.

Of one token, forward and backward together (Kaplan et al. 2020, arXiv 2001.08361, sec. 2.1, with attention and head counted exactly):

    trunk      6 N               N: elements of the trunk's matrices; embedding, norms and biases are free
    attention  12 L H h s        L layers, H heads of size h, s keys the token sees (itself and what stands before it)
    head       6 V d             V vocabulary, d hidden size; of scored tokens only; 8 V d where the backward makes the logits again

The forward is a third of the first two and 2 V d. With adapters of A elements the frozen matrices want no gradient of their own:
4 N + 6 A, and 4 V d (6 V d). A reference pass is one forward of every example. These are the operations that the method asks for:
masked places, recomputation by gradient checkpointing, element-wise work and the optimiser are not counted, sliding windows not taken off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoConfig, PretrainedConfig

from eutectic.errors import InputError
from eutectic.models.checkpoint import open_checkpoint
from eutectic.models.packing import Sequence
from eutectic.specs.study import LoraSpec

EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


@dataclass(frozen=True)
class Shape:
    """What of a model its FLOPs depend on: N, L x H x h and V x d above; `maps` are the trunk's matrices by name."""

    trunk: float
    attention: int
    head: int
    maps: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Volume:
    """What is put through a model: tokens, keys that they see in all, scored tokens."""

    tokens: int
    seen: int
    scored: int


def shape(folder: Path) -> Shape:
    """The shape of the model in a folder, from config.json and the headers of its weights. Raises `InputError` where they do not say it."""
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()
        hidden, heads = int(config.hidden_size), int(config.num_attention_heads)
        size = int(getattr(config, "head_dim", None) or hidden // heads)
        layers, vocabulary = int(config.num_hidden_layers), int(config.vocab_size)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"does not tell the shape of the model ({error})", file=folder / "config.json") from error
    places = open_checkpoint(folder).places.values()
    maps = {p.name: p.shape for p in places if len(p.shape) > 1 and p.shape[0] != vocabulary and ".wpe." not in f".{p.name}"}
    awake = _share_of_experts(config)
    trunk = sum(math.prod(size) * (awake if ".experts." in name else 1.0) for name, size in maps.items())
    return Shape(trunk, layers * heads * size, vocabulary * hidden, maps)


def _share_of_experts(config: PretrainedConfig) -> float:
    """Share of a mixture's experts that a token passes through; 1 for a dense model."""
    experts = next((n for name in EXPERTS if (n := getattr(config, name, None))), None)
    return float(config.num_experts_per_tok) / experts if experts else 1.0


def volume(sequences: Iterable[Sequence]) -> Volume:
    """Tokens, seen keys and scored tokens of packed sequences. A token of a branch sees its trunk and its own branch only, so that the
    keys it sees are its position plus one: a shared prompt is counted once for its tokens, twice as what the answers see.
    """
    tokens = seen = scored = 0
    for item in sequences:
        tokens += len(item)
        seen += sum(item.positions) + len(item)
        scored += len(item.targets)
    return Volume(tokens, seen, scored)


def forward(model: Shape, read: Volume) -> int:
    """FLOPs of a pass without gradients."""
    return round(2 * model.trunk * read.tokens + 4 * model.attention * read.seen + 2 * model.head * read.scored)


def training(model: Shape, read: Volume, *, lora: LoraSpec | None, logits_twice: bool) -> int:
    """FLOPs of forward and backward; `logits_twice` where the backward makes the logits again (preferences)."""
    trunk = 6 * model.trunk if lora is None else 4 * model.trunk + 6 * adapter_elements(model, lora)
    head = (6 if lora is None else 4) + (2 if logits_twice else 0)
    return round(trunk * read.tokens + 12 * model.attention * read.seen + head * model.head * read.scored)


def adapter_elements(model: Shape, lora: LoraSpec) -> int:
    """Elements of the adapters beside the maps that `lora` names: rank x (inputs + outputs) each."""
    names = [name for name in model.maps if not lora.targets or name.removesuffix(".weight").endswith(lora.targets)]
    return sum(lora.rank * sum(model.maps[name][-2:]) for name in names)
