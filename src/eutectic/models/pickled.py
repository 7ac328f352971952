"""Checkpoints of pickled files (`pytorch_model.bin`), read through torch's loader for weights only: nothing in them is ever run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from eutectic.errors import InputError

SINGLE, INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


def files(folder: Path) -> list[Path]:
    """The pickled files of a checkpoint folder, none where it has none; raises `InputError` for an index that names a missing one."""
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    index = folder / INDEX
    if not index.is_file():
        return []
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"is no index of shards ({error!r})", file=index, remedy="Fetch it again.") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:  # an index must not lead out of its folder
            raise InputError(f"names the shard {name!r}, which is no file of this folder", file=index, remedy="Fetch the model again.")
        if not (folder / name).is_file():
            raise InputError(f"names the shard {name}, which is missing", file=index, remedy="Fetch the missing file.")
    return [folder / name for name in names]


def load(file: Path) -> Mapping[str, torch.Tensor]:
    """Tensors by name, mapped from the file where its format allows; raises `InputError` for anything that is not plain weights."""
    found: Any = None
    for mapped in (True, False):  # files of the old format cannot be mapped
        try:
            found = torch.load(file, map_location="cpu", mmap=mapped, weights_only=True)
            break
        except Exception as error:
            if mapped and "mmap" in str(error):
                continue
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(
                f"is no pickled checkpoint that can be read safely ({reason})",
                file=file,
                remedy="The file is damaged, or holds code instead of weights; take the model as safetensors.",
            ) from error
    if not isinstance(found, dict) or not all(isinstance(n, str) and isinstance(t, torch.Tensor) for n, t in found.items()):
        raise InputError("holds something else than named tensors", file=file, remedy="Take the model's weights alone.")
    return {name: tensor.detach().contiguous() for name, tensor in found.items()}
