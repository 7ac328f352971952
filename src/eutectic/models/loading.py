"""Loading and publishing models as plain Hugging Face folders, and swapping new tensors into a live one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from eutectic.errors import InputError
from eutectic.models.checkpoint import copy_assets, open_checkpoint, set_config_dtype, write


def load(folder: Path, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """The model of a folder in `dtype`, in evaluation mode. Raises `InputError` for missing or damaged files."""
    if not (folder / "config.json").is_file():
        raise InputError("has no config.json", file=folder, remedy="Give the folder of a Hugging Face model.")
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # our own view shows progress
    open_checkpoint(folder)  # a truncated or lying file is told in our words before anything reads it
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"cannot be loaded as a causal language model ({error})", file=folder, remedy="Check config.json and weights."
        ) from error
    torch.nn.Module.to(model, device)
    torch.nn.Module.train(model, False)
    return model


def tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder. Raises `InputError` when there is none."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise InputError("has no tokenizer (tokenizer.json)", file=folder, remedy="Copy the model's tokenizer files into that folder.")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"its tokenizer cannot be loaded ({error})", file=folder, remedy="Check tokenizer.json.") from error


def publish(state: Mapping[str, torch.Tensor], start: Path, out: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write tensors rounded to `dtype` under the names they have in `start`, and every other file byte for byte as there.

    transformers' own saving would rewrite the config and lose top-level `rope_theta` for older readers. A name of `start` that `state`
    lacks is the tied head's second name and gets the embedding; a name or shape that fits nothing is an `InputError`.
    """
    checkpoint = open_checkpoint(start)
    names = checkpoint.names
    tied = {name: "model.embed_tokens.weight" for name in names if name == "lm_head.weight" and name not in state}
    absent = [name for name in names if tied.get(name, name) not in state]
    if absent or len(names) != len(state) + len(tied):
        raise InputError(f"its tensors do not fit the trained model ({', '.join(absent[:3]) or 'more were trained'})", file=start)
    types = {name: dtype if checkpoint.dtype(name).is_floating_point else checkpoint.dtype(name) for name in names}
    copy_assets(start, out)
    # With a layout tensors are asked for one by one, so a mapping that works them out never holds them all.
    layout = [(name, types[name], checkpoint.shape(name)) for name in names]
    write(out, ((name, state[tied.get(name, name)]) for name in names), layout=layout)
    set_config_dtype(out, dtype)


def swap(model: PreTrainedModel, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Copy tensors by checkpoint name into a live model, in place. Raises `InputError` for a name or shape the model does not have."""
    memory = live(model)
    for name, tensor in tensors:
        if name not in memory or memory[name].shape != tensor.shape:
            raise InputError(f"the tensor {name} {tuple(tensor.shape)} does not fit the model", remedy="Merge models of one architecture.")
        if tensor is not memory[name]:
            memory[name].copy_(tensor)


def live(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The memory of a live model's weights by checkpoint name. What is written there is what the model computes with."""
    return {name: parameter.detach() for name, parameter in model.named_parameters(remove_duplicate=False)}
