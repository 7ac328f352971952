"""Everything beside the weights of a merged folder: config, tokenizer, chat template and a card that names the parents.

What the merge does not change is the giver's, byte for byte; the giver is the base, or the first of the models.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from eutectic.artifacts import CARD, Artifact, Parents, optional
from eutectic.merge.schedule import count_layers, layer_of
from eutectic.merge.sources import read_config
from eutectic.models import checkpoint
from eutectic.models.chat_formats import FORMATS
from eutectic.specs.steps import MergeStep

if TYPE_CHECKING:
    from eutectic.merge.stream import Merge

LAYER_COUNTS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
OF_TOKENIZER = ("vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json", "tokenizer.model", "chat_template.jinja")
TEMPLATE = "chat_template.jinja"


def complete(merge: Merge, parents: Parents, out: Path) -> None:
    """Write all files of a merged folder but the weights."""
    spec, giver = merge.spec, giving(parents)
    checkpoint.copy_assets(giver, out)
    if "out_dtype" in spec.parameters:
        checkpoint.set_config_dtype(out, getattr(torch, spec.parameters["out_dtype"]))
    if spec.modules:
        _set_layers(merge, giver, out)
    if merge.vocabulary is not None:
        _set_vocabulary(merge, giver, out)
    if spec.chat_template:
        _set_template(spec.chat_template, [home(each) for each in everyone(parents)], out)
    (out / CARD).write_text(card(spec, parents), encoding="utf-8")


def home(model: Artifact) -> Path:
    """The folder whose config, tokenizer and template a model has: its own, or, of a merge that is not written, what its base (else its
    first model) has.
    """
    return model.folder if model.folder is not None else giving(model.parents)


def giving(parents: Parents) -> Path:
    """The folder that gives a merge of these parents its config, tokenizer and template."""
    return home(optional(parents, "base") or parents["models"][0])


def everyone(parents: Parents) -> tuple[Artifact, ...]:
    """All parents, the base first."""
    return (*parents.get("base", ()), *parents["models"])


def _set_layers(merge: Merge, giver: Path, out: Path) -> None:
    """Let the config tell the number of layers, and lists with an entry a layer follow the layers that were taken."""
    config = read_config(giver)
    inner = config.get("text_config", config)
    before, after = next((inner[key] for key in LAYER_COUNTS if key in inner), 0), count_layers(merge.names)
    order = list(range(after))
    for name, inputs in merge.inputs.items():
        layer, own = layer_of(name), getattr(inputs.models[0], "own", {}).get(name)
        if layer is not None and own is not None:
            order[layer] = layer_of(own) or 0

    def edited(part: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in part.items():
            if key in LAYER_COUNTS:
                made[key] = after
            elif key == "text_config" and isinstance(value, Mapping):
                made[key] = edited(value)
            elif isinstance(value, list) and len(value) == before and "layer" in key and max(order, default=0) < before:
                made[key] = [value[layer] for layer in order]
            else:
                made[key] = value
        return made

    if order != list(range(before)):
        checkpoint.edit_config(out, edited)


def _set_vocabulary(merge: Merge, giver: Path, out: Path) -> None:
    """The tokenizer of the result and the number of rows; untouched where they are the giver's."""
    from eutectic.models import loading

    vocabulary = merge.vocabulary
    assert vocabulary is not None
    if vocabulary.tokenizer.get_vocab() != loading.tokenizer(giver).get_vocab():
        for name in OF_TOKENIZER:
            (out / name).unlink(missing_ok=True)
        vocabulary.tokenizer.save_pretrained(str(out))

    def edited(config: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: edited(value) if key == "text_config" else vocabulary.size if key == "vocab_size" else value
            for key, value in config.items()
        }

    checkpoint.edit_config(out, edited)


def _set_template(wanted: str, folders: Sequence[Path], out: Path) -> None:
    """The chat template by name or as text; `auto` is what most parents have, of equally many the first."""
    if wanted == "auto":
        found = Counter(template for folder in folders if (template := _template(folder)))
        if not found:
            return
        wanted = found.most_common(1)[0][0]
    file = out / "tokenizer_config.json"
    if file.is_file():
        config = json.loads(file.read_text(encoding="utf-8"))
        if config.pop("chat_template", None) is not None:
            file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / TEMPLATE).write_text(FORMATS.get(wanted, wanted), encoding="utf-8")


def _template(folder: Path) -> str:
    """The chat template that a folder's tokenizer has, by its files."""
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text(encoding="utf-8").strip()
    file = folder / "tokenizer_config.json"
    found = json.loads(file.read_text(encoding="utf-8")).get("chat_template") if file.is_file() else None
    return found.strip() if isinstance(found, str) else ""


def card(spec: MergeStep, parents: Parents) -> str:
    """The model card: what was merged from what, by digest or key, so that it can be made again."""
    rows = [("base", each) for each in parents.get("base", ())] + [("model", each) for each in parents["models"]]
    step = json.dumps(spec.identity(), indent=1, ensure_ascii=False)
    lines = [
        "---",
        "library_name: transformers",
        "tags: [merge, eutectic]",
        "---",
        f"# A merge by `{spec.method}`",
        "",
        "| role | parent | digest or key of its step |",
        "|---|---|---|",
        *(f"| {role} | {each.address} | `{each.key}` |" for role, each in rows),
        "",
        "Arithmetic in fp32, rounded once to the type of the weights. Merged with Eutectic:",
        "",
        "```json",
        step,
        "```",
    ]
    return "\n".join(lines) + "\n"
