"""Tiny checkpoints made of given tensors."""

import json
from collections.abc import Iterable
from pathlib import Path

import torch

from eutectic.artifacts import Artifact
from eutectic.models.checkpoint import write

LAYERS = 5
NAMES = (
    "model.embed_tokens.weight",
    *(f"model.layers.{i}.{part}.weight" for i in range(LAYERS) for part in ("self_attn.q_proj", "mlp.up_proj", "input_layernorm")),
    "model.norm.weight",
)


def make_checkpoint(folder: Path, tensors: Iterable[tuple[str, torch.Tensor]], **config: object) -> Artifact:
    """A folder with weights, a config and a tokenizer file, as an artifact."""
    write(folder, list(tensors))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "rope_theta": 10000.0, "torch_dtype": "float32", **config}))
    (folder / "tokenizer.json").write_text('{"of": "' + folder.name + '"}')
    return Artifact("checkpoint", folder.name, folder.name, folder)


def random_tensors(
    seed: int, dtype: torch.dtype = torch.float32, width: int = 24, near: dict[str, torch.Tensor] | None = None
) -> dict[str, torch.Tensor]:
    """Tensors of a small model; with `near`, a sibling of it about 3 % apart."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name in NAMES:
        shape = (width,) if "norm" in name else (40 if "embed" in name else width, width)
        noise = torch.randn(shape, generator=generator)
        found[name] = (noise if near is None else near[name].float() * (1 + 0.03 * noise)).to(dtype)
    return found
