"""Whether a model may be computed piecewise: its trunk over forests of tokens, its head where a token is wanted. It is tried, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from eutectic.models.forest import Forest, forest_attention, hidden, read

Head = Callable[[torch.Tensor], torch.Tensor]
# A beginning of four tokens, then a fork: two more, and behind them one token or another.
BEGINNING, FORK, DEPTHS, ENDS = 4, 4, (4, 5, 6, 6), (4, 4, 3, 4)
FAR = 1 << 30

# What was found of live models: how far their paths may reach, 0 where they cannot be computed so. Other weights change nothing.
_reach: WeakKeyDictionary[PreTrainedModel, int] = WeakKeyDictionary()


def fast_head(model: PreTrainedModel, length: int) -> Head | None:
    """The map from trunk output to logits of a model that was tried and agrees with its own forward on paths of `length` tokens, or None.

    None: its attention is not handed the forest (state-space layers, attention of its own), its head does more than is known here, or
    paths are longer than a window of attention that its layers do not tell.
    """
    head = _head(model)
    if model not in _reach:
        try:
            agrees, windows = _try(model, head)
        except (AssertionError, AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError):
            agrees, windows = False, set()
        if agrees is None:  # weights that are not numbers say nothing about the architecture
            return head
        _reach[model] = _told(model.config.get_text_config(), windows) if agrees else 0
    return head if length <= _reach[model] else None


def _head(model: PreTrainedModel) -> Head:
    """Most heads are one matrix; Gemma 2 also caps its logits, Granite divides and Cohere multiplies them, as the configuration says."""
    matrix: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    config = model.config.get_text_config()
    cap = getattr(config, "final_logit_softcapping", None)
    factor = 1.0 / getattr(config, "logits_scaling", 1.0) * getattr(config, "logit_scale", 1.0)

    def head(states: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = matrix(states)
        logits = logits if factor == 1.0 else logits * factor
        return torch.tanh(logits / cap) * cap if cap else logits

    return head


@torch.inference_mode()
def _try(model: PreTrainedModel, head: Head) -> tuple[bool | None, set[int]]:
    """Whether a fork behind a beginning has the logits of two whole paths (None: they are not numbers), and the windows layers told."""

    def ids(tokens: tuple[int, ...]) -> torch.Tensor:
        return torch.tensor([tokens], device=model.device)

    # Ordinary tokens: special ones, which stand at the ends of a vocabulary, drown everything else in low precision.
    size = model.config.get_text_config().vocab_size
    tokens = tuple(size * (n + 2) // 12 for n in range(BEGINNING + FORK))
    before, fork = tokens[:BEGINNING], tokens[BEGINNING:]
    paths = (fork[:3], (*fork[:2], fork[3]))
    wanted = torch.stack([model(input_ids=ids((*before, *path)), use_cache=False).logits[0, -1] for path in paths])
    with forest_attention(model):
        forest = Forest(ids(ENDS), ids(DEPTHS), [read(model, before, 0, ())])
        found = head(hidden(model, ids(fork), forest)[0, 2:])
    if not torch.isfinite(wanted).all():
        return None, set()
    near = 1e-3 if model.dtype == torch.float32 else 0.05
    return torch.allclose(found, wanted, atol=near * float(wanted.abs().max()), rtol=0), forest.windows


def _told(config: PreTrainedConfig, windows: set[int]) -> int:
    """The length of paths up to which a forest is the same as whole rows."""
    limits = [getattr(config, "attention_chunk_size", None)]
    if getattr(config, "use_sliding_window", True) and not windows:
        limits.append(getattr(config, "sliding_window", None))
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [kind for kind in (rope, *rope.values()) if isinstance(kind, dict)]  # one for all layers, or one a type of layer
    if any(kind.get("rope_type") in {"dynamic", "longrope"} for kind in kinds):  # their angles change with the length of a row
        known = [kind.get("original_max_position_embeddings") for kind in kinds]
        limits += [getattr(config, "original_max_position_embeddings", None), *known]
    return min([int(limit) for limit in limits if limit] or [FAR])
