"""Probes: perplexity on held-out text while a stage trains, of the domain and of general text, so that forgetting is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from eutectic import artifacts
from eutectic.artifacts import DOCUMENTS, Parents
from eutectic.models import chat_template, logprobs
from eutectic.models.packing import Sequence, sequence
from eutectic.specs.rows import Document

TOKENS = 8192  # of each probed corpus


def perplexities(model: PreTrainedModel, parents: Parents, tokenizer: PreTrainedTokenizerBase) -> Callable[[], dict[str, Any]] | None:
    """A function that gives the perplexity of each probed corpus' held-out documents (of its first documents if none are held out)."""
    corpora = {parent.address: _texts(parent.path / DOCUMENTS, tokenizer) for parent in parents.get("probes", ())}
    if not corpora:
        return None
    return lambda: {address: logprobs.perplexity(model, texts) for address, texts in corpora.items()}


def _texts(file: Path, tokenizer: PreTrainedTokenizerBase) -> list[Sequence]:
    documents = artifacts.read_rows(file, Document)
    chosen = [d for d in documents if d.held_out] or documents
    texts: list[Sequence] = []
    filled = 0
    for item in chosen:
        opening, ids = chat_template.document(tokenizer, item.text)
        ids = ids[:512]
        texts.append(sequence(item.id, opening + ids, [False] * len(opening) + [True] * len(ids)))
        filled += len(ids)
        if filled >= TOKENS:
            break
    return texts
