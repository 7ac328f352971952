"""A parent with a low-rank adapter in PEFT's format (`model+adapter`), folded in fp32 while it is read.

The formulas are those of `eutectic.models.adapters`; here they are worked out for the rows that are asked for, so that no folded model is
ever held or written.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from eutectic.errors import InputError
from eutectic.merge.group import CHUNK, SCRATCH, Source
from eutectic.models import pickled
from eutectic.models.checkpoint import Checkpoint
from eutectic.models.safetensors_file import read_header

PREFIX, CONFIG, WEIGHTS, PICKLED = "base_model.model.", "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
PART = re.compile(r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_magnitude_vector)(\.weight)?$")


@dataclass(frozen=True)
class _Factors:
    """W + up @ down, and with `magnitude` each row scaled to that norm; all fp32, the scaling in `up`."""

    up: torch.Tensor  # [rows, rank]
    down: torch.Tensor  # [rank, columns]
    magnitude: torch.Tensor | None  # [rows]


class Adapted:
    """A parent under an adapter."""

    def __init__(self, source: Source, folder: Path) -> None:
        """Raises `InputError` for an adapter of another kind, or one that does not fit the model."""
        self.source, self.names = source, source.names
        self.label = f"{source.label}+{folder.name}"
        self.factors: dict[str, _Factors] = {}
        self.whole: dict[str, torch.Tensor] = {}  # tensors that were trained as they are
        config, tensors = _config(folder), _tensors(folder)
        parts: dict[str, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            found = PART.fullmatch(name.removeprefix(PREFIX))
            if found:
                parts.setdefault(found["module"], {})[found["part"]] = tensor.float()
            else:
                self._take_whole(name.removeprefix(PREFIX), tensor, folder)
        for module, part in parts.items():
            self._take(module, part, config, folder)
        if not parts and not self.whole:
            raise InputError("the adapter holds no tensors", file=folder, remedy="Check that it was saved.")

    def _take(self, module: str, part: dict[str, torch.Tensor], config: dict[str, Any], folder: Path) -> None:
        name = f"{module}.weight"
        if not {"lora_A", "lora_B"} <= part.keys() or name not in self.source.names:
            raise InputError(
                f"the adapter changes {name}, which {self.source.label} {'lacks' if name not in self.source.names else 'has half of'}",
                file=folder,
                remedy="Give the model that the adapter was trained on.",
            )
        up, down = part["lora_B"], part["lora_A"]
        alpha = next((v for k, v in (config.get("alpha_pattern") or {}).items() if re.fullmatch(rf"(.*\.)?({k})", module)), None)
        rank = len(down)
        scaling = (config.get("lora_alpha", 8) if alpha is None else alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)
        if config.get("fan_in_fan_out"):
            up, down = down.T, up.T
        if (len(up), down.shape[1]) != self.source.shape(name) or (config.get("fan_in_fan_out") and "lora_magnitude_vector" in part):
            raise InputError(
                f"the adapter's {name} is {len(up)} x {down.shape[1]}, the model's {list(self.source.shape(name))}",
                file=folder,
                remedy="Give the model that the adapter was trained on.",
            )
        self.factors[name] = _Factors((up * scaling).contiguous(), down.contiguous(), part.get("lora_magnitude_vector"))

    def _take_whole(self, name: str, tensor: torch.Tensor, folder: Path) -> None:
        """A tensor of a module that was trained whole (`modules_to_save`)."""
        name = name.replace(".modules_to_save.default", "")
        if name not in self.source.names or tuple(tensor.shape) != self.source.shape(name):
            raise InputError(
                f"the adapter holds {name}, which is no low-rank map of linear layers and does not fit {self.source.label}",
                file=folder,
                remedy="Fold such an adapter into its model with PEFT first.",
            )
        self.whole[name] = tensor.float().contiguous()

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self.source.shape(name)

    def dtype(self, name: str) -> torch.dtype:
        """fp32 where the adapter changes something."""
        return torch.float32 if name in self.factors or name in self.whole else self.source.dtype(name)

    def kept(self, name: str) -> torch.dtype:
        """Type the result has where nothing else is asked."""
        return self.source.kept(name)

    def read(self, name: str, start: int, into: torch.Tensor) -> None:
        """Fill `into` with the elements of a flattened tensor from `start` on."""
        if name in self.whole:
            into.copy_(self.whole[name].view(-1)[start : start + len(into)])
        elif name in self.factors:
            width = self.source.shape(name)[1]
            step = max(1, CHUNK // width) * width
            for first in range(start - start % width, start + len(into), step):  # whole rows, a few at a time
                last = min(-(-(start + len(into)) // width) * width, first + step)
                low, high = max(first, start), min(last, start + len(into))
                with SCRATCH.frame():
                    rows = self._rows(name, first // width, last // width, width)
                    into[low - start : high - start].copy_(rows[low - first : high - first])
        else:
            self.source.read(name, start, into)

    def _rows(self, name: str, first: int, last: int, width: int) -> torch.Tensor:
        """Rows of the folded weight, flat and fp32."""
        factors, count = self.factors[name], (last - first) * width
        rows = SCRATCH.take(count, torch.float32)
        with SCRATCH.frame():
            stored = SCRATCH.take(count, self.source.dtype(name))
            self.source.read(name, first * width, stored)
            rows.copy_(stored)
        folded = rows.view(-1, width).addmm_(factors.up[first:last], factors.down)
        if factors.magnitude is not None:
            folded.mul_((factors.magnitude[first:last] / torch.linalg.norm(folded, dim=1))[:, None])
        return rows


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"holds no {CONFIG} that can be read ({error})", file=folder, remedy="Give an adapter's folder.") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA" or config.get("bias", "none") != "none":
        raise InputError(
            "is no LoRA adapter without biases", file=folder / CONFIG, remedy="Fold other kinds of adapters into their model with PEFT."
        )
    return config


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    if (folder / WEIGHTS).is_file():
        return dict(Checkpoint(folder, read_header(folder / WEIGHTS)).tensors())
    if (folder / PICKLED).is_file():
        return dict(pickled.load(folder / PICKLED))
    raise InputError(f"holds neither {WEIGHTS} nor {PICKLED}", file=folder, remedy="Give an adapter's folder.")
