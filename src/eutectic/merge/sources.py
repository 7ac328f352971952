"""Parents of a merge: a folder on disk, or another merge that is made while it is read. And whether they fit together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from eutectic.errors import InputError
from eutectic.merge.group import Source
from eutectic.merge.schedule import count_layers
from eutectic.models.checkpoint import open_checkpoint

HEAD = "lm_head.weight"


class Written:
    """A parent in a folder. A head on disk that the config ties to the embeddings is left out, as every reader does."""

    def __init__(self, folder: Path, label: str) -> None:
        self.label = label
        self.checkpoint = open_checkpoint(folder)
        self.config = read_config(folder)
        tied = bool(self.config.get("tie_word_embeddings"))
        self.names = tuple(name for name in self.checkpoint.names if not (tied and name == HEAD))

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self.checkpoint.shape(name)

    def dtype(self, name: str) -> torch.dtype:
        """Storage type of a tensor."""
        return self.checkpoint.dtype(name)

    kept = dtype

    def read(self, name: str, start: int, into: torch.Tensor) -> None:
        """Fill `into` with the elements of a flattened tensor from `start` on."""
        self.checkpoint.read(name, start, into)


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a model folder; raises `InputError` when there is none."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read as JSON ({error})", file=file, remedy="Give a whole model folder.") from error
    if not isinstance(config, dict):
        raise InputError("holds no JSON object", file=file, remedy="Give a whole model folder.")
    return config


def check_fit(sources: Sequence[Source]) -> None:
    """Raise `InputError` unless all parents have the same tensors in the same shapes; says which differ first and what could be done."""
    first = sources[0]
    for other in sources[1:]:
        mine, theirs = set(first.names), set(other.names)
        if mine != theirs:
            raise InputError(
                "; ".join(_difference(a, b) for a, b in ((first, other), (other, first)) if set(a.names) - set(b.names)),
                place="parents",
                remedy=_remedy_for_names(first, other),
            )
        differ = [name for name in first.names if first.shape(name) != other.shape(name)]
        if differ:
            listed = ", ".join(f"{name} {list(first.shape(name))} against {list(other.shape(name))}" for name in differ[:3])
            raise InputError(
                f"{first.label} and {other.label} differ in the shape of {len(differ)} tensors: {listed}",
                place="parents",
                remedy=_remedy_for_shapes(first, other, differ),
            )


def check_kinds(sources: Sequence[Source]) -> None:
    """Raise `InputError` unless the configs of all parents name one architecture."""
    kinds = [
        (source.label, source.config["model_type"]) for source in sources if isinstance(source, Written) and "model_type" in source.config
    ]
    for label, kind in kinds[1:]:
        if kind != kinds[0][1]:
            raise InputError(
                f"{kinds[0][0]} is a {kinds[0][1]} model and {label} a {kind} model",
                place="parents",
                remedy="Only models of one architecture, best of one ancestor, can be merged.",
            )


def _difference(has: Source, lacks: Source) -> str:
    lacking = set(lacks.names)
    extra = [name for name in has.names if name not in lacking]
    listed = ", ".join(extra[:3]) + (", ..." if len(extra) > 3 else "")
    return f"{has.label} has {len(extra)} tensors that {lacks.label} lacks: {listed}"


def _remedy_for_names(first: Source, other: Source) -> str:
    layers = count_layers(first.names), count_layers(other.names)
    if layers[0] != layers[1]:
        return f"They have {layers[0]} and {layers[1]} layers: take parents of one size."
    if set(first.names) ^ set(other.names) == {HEAD}:
        return "One ties its head to the embeddings, the other does not: untie the first, or train both in the same way."
    return "Take parents of one architecture, and fold adapters into their model before merging."


def _remedy_for_shapes(first: Source, other: Source, differ: Sequence[str]) -> str:
    if all(first.shape(name)[1:] == other.shape(name)[1:] and ("embed" in name or name == HEAD) for name in differ):
        return "The vocabularies differ in size: give both models the same tokenizer and resize the embeddings first."
    return "Take parents of one size and architecture."
