"""Base starts: the weights of a base model under the tokenizer, chat template and special tokens of another model of its family.

What comes out is a plain folder like any other, so nothing that trains, merges, scores or talks knows of base starts. Tokens keep their
ids, weights that do not change are not copied but linked, and new embedding rows are the mean of the old ones (docs/methods.md).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from eutectic.artifacts import Artifact, Parents, one, read_json
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.models import chat_template, device, loading
from eutectic.models.checkpoint import INDEX, SINGLE, Checkpoint, copy_assets, edit_config, open_checkpoint, write
from eutectic.specs.steps import AdoptStep

SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
# What belongs to the tokenizer and to how a model is talked to; everything else in a folder belongs to the weights.
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "generation_config.json",
    "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tekken.json", "vocab.json", "merges.txt", "vocab.txt",
    "chat_template.jinja", "chat_template.json",
)  # fmt: skip
TEMPLATES = "additional_chat_templates"


def check(spec: AdoptStep, parents: Parents) -> None:  # noqa: ARG001
    """What can be known before any work, of the folders that are there: a template, and every token of the base at its own id."""
    model, template = one(parents, "model"), one(parents, "template")
    if template.folder is None:
        return
    if not chat_template.present(template.folder):
        raise InputError(
            f"{template.address} has no chat template to take",
            place="chat_template",
            remedy="Name a model that was made for conversations.",
        )
    if model.folder is not None:
        _same_ids(model, template)


def build(spec: AdoptStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Write the folder and return the ledger: rows of the embedding, ids of the new ones and how they were made."""
    check(spec, parents)
    device.prepare(context)
    model, template = one(parents, "model").path, one(parents, "template").path
    ours, theirs = _vocabulary(model), _vocabulary(template)
    start = open_checkpoint(model)
    rows = _rows(start)
    wanted = max(rows, _rows(open_checkpoint(template)))
    if (largest := max(theirs.values())) >= wanted:
        raise InputError(
            f"the tokenizer knows token {largest}, but no embedding has more than {wanted} rows", file=template, remedy="Check the model."
        )
    _assets(model, template, out)
    _config(model, template, out, wanted if wanted > rows else None)
    if wanted > rows:
        write(out, _resized(start, wanted), layout=[(n, p.dtype, _shape(start, n, wanted)) for n, p in start.places.items()])
    else:
        _link(start, out)
    added = sorted((number, token) for token, number in theirs.items() if token not in ours)
    return {
        "rows_before": rows,
        "rows": wanted,
        "new_rows": [rows, wanted - 1] if wanted > rows else [],  # first and last token id
        "new_rows_are": "the mean of the existing rows, in float32" if wanted > rows else "",
        "new_tokens": len(added),
        "new_tokens_on_existing_rows": {token: number for number, token in added[:64] if number < rows},
    }


def _same_ids(model: Artifact, template: Artifact) -> None:
    """Every token of the base keeps its id, or its embedding would mean another token."""
    ours, theirs = _vocabulary(model.path), _vocabulary(template.path)
    moved = sorted((number, token) for token, number in ours.items() if theirs.get(token) != number)
    if moved:
        shown = ", ".join(f"{token!r} ({number} -> {theirs.get(token, 'none')})" for number, token in moved[:5])
        raise InputError(
            f"{len(moved)} of {len(ours)} tokens of {model.address} have another id or none in {template.address}: {shown}",
            place="chat_template",
            remedy="Take the template of a model that was made from this base.",
        )


def _vocabulary(folder: Path) -> dict[str, int]:
    return dict(loading.tokenizer(folder).get_vocab())


def _tables(checkpoint: Checkpoint) -> list[str]:
    """Names of the tensors with a row for each token: the embedding, and the head where it is not tied."""
    found = [name for name in checkpoint.names if name.endswith(("embed_tokens.weight", "lm_head.weight"))]
    if not any(name.endswith("embed_tokens.weight") for name in found):
        raise InputError(
            "has no tensor named embed_tokens.weight, the embedding", file=checkpoint.folder, remedy="Use a model of another architecture."
        )
    return found


def _rows(checkpoint: Checkpoint) -> int:
    """Rows of the embedding."""
    return checkpoint.shape(next(name for name in _tables(checkpoint) if name.endswith("embed_tokens.weight")))[0]


def _shape(checkpoint: Checkpoint, name: str, rows: int) -> tuple[int, ...]:
    shape = checkpoint.shape(name)
    return (rows, *shape[1:]) if name in _tables(checkpoint) else shape


def _resized(checkpoint: Checkpoint, rows: int) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors; tables get rows that are the float32 mean of the existing ones (Hewitt 2021), rounded once to the table's type.

    With such rows a new token is as likely as an average one, so the distribution over the old tokens hardly moves.
    """
    tables = _tables(checkpoint)
    for name, tensor in checkpoint.tensors():
        if name in tables:
            mean = tensor.float().mean(dim=0, keepdim=True).to(tensor.dtype)
            yield name, torch.cat([tensor, mean.expand(rows - tensor.shape[0], -1)])
        else:
            yield name, tensor


def _link(checkpoint: Checkpoint, out: Path) -> None:
    """The weights' files as they are: hard links where the file system allows, copies elsewhere."""
    files = sorted({place.file for place in checkpoint.places.values()})
    for file in files:
        target = out / (SINGLE if len(files) == 1 else file.name)
        target.unlink(missing_ok=True)
        try:
            os.link(file.resolve(), target)  # a hub's snapshot holds links to its blobs
        except OSError:
            shutil.copyfile(file, target)
    if len(files) > 1:
        shutil.copyfile(checkpoint.folder / INDEX, out / INDEX)


def _assets(model: Path, template: Path, out: Path) -> None:
    """Every file beside the weights: what belongs to the tokenizer from `template`, the rest from `model`."""
    copy_assets(model, out)
    shutil.rmtree(out / TEMPLATES, ignore_errors=True)
    for name in TOKENIZER_FILES:
        (out / name).unlink(missing_ok=True)
        if (template / name).is_file():
            shutil.copyfile(template / name, out / name)
    if (template / TEMPLATES).is_dir():
        shutil.copytree(template / TEMPLATES, out / TEMPLATES)


def _config(model: Path, template: Path, out: Path, rows: int | None) -> None:
    """The config of `model` with the special token ids of `template` (absent there, absent here) and, if resized, the number of rows."""
    theirs = read_json(template / "config.json")
    if rows is not None and "vocab_size" not in read_json(model / "config.json"):
        raise InputError("has no `vocab_size` to change", file=model / "config.json", remedy="Use a plain language model.")

    def edited(config: Mapping[str, Any]) -> dict[str, Any]:
        ids = {key: theirs[key] for key in SPECIAL_IDS if key in theirs}
        size = {"vocab_size": rows} if rows is not None else {}
        return {key: value for key, value in {**config, **ids, **size}.items() if key not in SPECIAL_IDS or key in ids}

    edit_config(out, edited)
