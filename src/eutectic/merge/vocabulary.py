"""Parents of different vocabularies: one tokenizer for the result, and every parent's rows in its order.

A row that a parent lacks comes from where the merge says, else from the only parent that has the token, else from the base, else it is the
mean of those that have it; a token that none has gets zeros. Rows that only fill up to a multiple are the mean of all others (Hewitt 2021,
initialising new word embeddings). Such rows are fp32, whatever the parents are stored in.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from eutectic.errors import InputError
from eutectic.merge.group import CHUNK, SCRATCH, Source
from eutectic.models import loading
from eutectic.specs.steps import TokenizerStep, TokenSource

# Tensors with a row for every token, by the ends of their names.
BY_TOKEN = (
    "embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight", "tok_embeddings.weight", "shared.weight",
    "lm_head.weight", "lm_head.bias", "embed_out.weight",
)  # fmt: skip
Donors = tuple[tuple[int, int], ...]  # (position of a parent, its row): a row is the mean of these, zero where there is none


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of the result and where each parent's rows come from."""

    tokenizer: PreTrainedTokenizerBase
    size: int  # rows of the result, those that only fill up included
    tokens: int  # rows that are tokens
    rows: tuple[np.ndarray, ...]  # for each parent `[tokens]`: its row, or -1
    donors: Mapping[int, Donors]  # for each token that some parent lacks


class Reordered:
    """A parent with the rows of the common vocabulary."""

    def __init__(self, parents: Sequence[Source], position: int, vocabulary: Vocabulary) -> None:
        self.parents, self.source, self.vocabulary = parents, parents[position], vocabulary
        self.rows = vocabulary.rows[position]
        self.label, self.names = self.source.label, self.source.names
        breaks = np.flatnonzero((np.diff(self.rows) != 1) | (self.rows[1:] < 0) | (self.rows[:-1] < 0)) + 1
        self.runs = np.concatenate([[0], breaks, [len(self.rows)]])  # first rows of runs that stand one behind the other in the parent
        self._means: dict[str, torch.Tensor] = {}
        self._lock = threading.Lock()

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        own = self.source.shape(name)
        return (self.vocabulary.size, *own[1:]) if by_token(name) else own

    def dtype(self, name: str) -> torch.dtype:
        """Type of the rows that are given: fp32 where some are means."""
        return torch.float32 if by_token(name) else self.source.dtype(name)

    def kept(self, name: str) -> torch.dtype:
        """Type the result has where nothing else is asked."""
        return self.source.kept(name)

    def read(self, name: str, start: int, into: torch.Tensor) -> None:
        """Fill `into` with the elements of a flattened tensor from `start` on."""
        if not by_token(name):
            self.source.read(name, start, into)
            return
        width, end = self._width(name), start + len(into)
        known = self.vocabulary.tokens * width
        if end > known:
            filled = into[max(0, known - start) :]
            mean, offset = self._mean(name), max(0, start - known) % width
            filled.copy_(mean[(torch.arange(len(filled)) + offset) % width])
        run = max(0, int(np.searchsorted(self.runs, start // width, side="right")) - 1)
        while run < len(self.runs) - 1 and (first := int(self.runs[run]) * width) < end:
            low, high = max(first, start), min(int(self.runs[run + 1]) * width, end)
            if low < high:
                self._run(name, run, low - first, into[low - start : high - start])
            run += 1

    def _run(self, name: str, run: int, offset: int, into: torch.Tensor) -> None:
        """Fill `into` with the elements of a run of rows from `offset` on."""
        width, token = self._width(name), int(self.runs[run])
        if (own := int(self.rows[token])) >= 0:
            _read_wide(self.source, name, own * width + offset, into)
            return
        donors = self.vocabulary.donors[token]
        into.zero_()
        for parent, row in donors:
            with SCRATCH.frame():
                other = SCRATCH.take(len(into), torch.float32)
                _read_wide(self.parents[parent], name, row * width + offset, other)
                into.add_(other)
        if len(donors) > 1:
            into.div_(len(donors))

    def _mean(self, name: str) -> torch.Tensor:
        """Mean of all rows that are tokens, fp32 `[width]`, summed in fp64."""
        with self._lock:
            if name not in self._means:
                width, tokens = self._width(name), self.vocabulary.tokens
                total, step = torch.zeros(width, dtype=torch.float64), max(1, CHUNK // width)
                for first in range(0, tokens, step):
                    part = torch.empty((min(step, tokens - first), width))
                    self.read(name, first * width, part.view(-1))
                    total += part.sum(0, dtype=torch.float64)
                self._means[name] = (total / tokens).float()
            return self._means[name]

    def _width(self, name: str) -> int:
        return max(1, torch.Size(self.source.shape(name)[1:]).numel())


def reordered(parents: Sequence[Source], vocabulary: Vocabulary) -> list[Source]:
    """Every parent with the rows of the common vocabulary; one whose rows stand so already, as it is."""
    plain = np.arange(vocabulary.size)
    return [
        parent
        if np.array_equal(vocabulary.rows[i], plain) and all(parent.shape(n)[0] == len(plain) for n in parent.names if by_token(n))
        else Reordered(parents, i, vocabulary)
        for i, parent in enumerate(parents)
    ]


def _read_wide(source: Source, name: str, start: int, into: torch.Tensor) -> None:
    with SCRATCH.frame():
        part = SCRATCH.take(len(into), source.dtype(name))
        source.read(name, start, part)
        into.copy_(part)


def by_token(name: str) -> bool:
    """Whether a tensor has a row for every token."""
    return name.endswith(BY_TOKEN)


@dataclass
class _Builder:
    """What is needed to find the rows: parents, the base first where there is one, and their tokenizers' vocabularies."""

    spec: TokenizerStep
    labels: Sequence[str]
    vocabularies: list[dict[str, int]]
    base: int | None  # its position
    configured: dict[str, TokenSource] = field(default_factory=dict)

    def position(self, model: int) -> int:
        """Position of a parent that the spec knows by an index."""
        return model if self.base is None else 0 if model == -1 else model + 1

    def donors(self, token: str) -> Donors:
        """Where the row of a token comes from in parents that lack it."""
        source = self.spec.tokens.get(token, TokenSource())
        if source.zero:
            return ()
        if source.model is not None:
            position = self.position(source.model)
            return ((position, self._row(position, token, source)),)
        has = [(position, vocabulary[token]) for position, vocabulary in enumerate(self.vocabularies) if token in vocabulary]
        if len(has) > 1 and self.base is not None and token in self.vocabularies[self.base]:
            return ((self.base, self.vocabularies[self.base][token]),)
        return tuple(has)

    def _row(self, position: int, token: str, source: TokenSource) -> int:
        known = self.vocabularies[position]
        if source.token_id is None:
            wanted = source.token or token
            if wanted not in known:
                raise InputError(
                    f"{self.labels[position]} has no token {wanted!r}", place="tokenizer.tokens", remedy="Name a token the model has."
                )
            return known[wanted]
        if not 0 <= source.token_id <= max(known.values()):
            raise InputError(f"{self.labels[position]} has no token {source.token_id}", place="tokenizer.tokens", remedy="Name one it has.")
        return source.token_id


def common(spec: TokenizerStep, parents: Sequence[Source], folders: Sequence[Path], *, has_base: bool) -> Vocabulary:
    """The vocabulary of the result; `parents` and the `folders` of their tokenizers have the base first where there is one."""
    tokenizers = [_used(folder, parent) for folder, parent in zip(folders, parents, strict=True)]
    builder = _Builder(spec, [parent.label for parent in parents], [t.get_vocab() for t in tokenizers], 0 if has_base else None)
    if spec.source == "union":
        made = _union(tokenizers, _used(folders[0], parents[0]))
    else:
        made = tokenizers[builder.position(spec.source) if isinstance(spec.source, int) else 0]
    made.add_tokens([token for token in spec.tokens if token not in made.get_vocab()])
    vocabulary = made.get_vocab()
    tokens = max(vocabulary.values()) + 1
    rows = tuple(np.full(tokens, -1, np.int64) for _ in parents)
    donors: dict[int, Donors] = {}
    for token, row in vocabulary.items():
        forced = token in spec.tokens and spec.tokens[token].force
        for known, own in zip(builder.vocabularies, rows, strict=True):
            own[row] = -1 if forced else known.get(token, -1)
        if any(own[row] < 0 for own in rows):
            donors[row] = builder.donors(token)
    for row in set(range(tokens)) - set(vocabulary.values()):  # a hole in the tokenizer's numbers
        donors[row] = ()
    multiple = spec.pad_to_multiple_of or 1
    return Vocabulary(made, -(-tokens // multiple) * multiple, tokens, rows, donors)


def _used(folder: Path, parent: Source) -> PreTrainedTokenizerBase:
    """A parent's tokenizer without added tokens that its embedding has no row for: they were never trained."""
    found = loading.tokenizer(folder)
    rows = min((parent.shape(name)[0] for name in parent.names if by_token(name)), default=0)
    state = json.loads(found.backend_tokenizer.to_str())
    beyond = [added for added in state["added_tokens"] if added["id"] >= rows]
    if beyond:
        state["added_tokens"] = [added for added in state["added_tokens"] if added["id"] < rows]
        found._tokenizer = type(found.backend_tokenizer).from_str(json.dumps(state))
    if (largest := max(found.get_vocab().values())) >= rows:
        raise InputError(
            f"the tokenizer knows token {largest}, but the embedding has {rows} rows",
            file=folder,
            remedy="Use the tokenizer the model was made with.",
        )
    return found


def _union(tokenizers: Sequence[PreTrainedTokenizerBase], made: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The first tokenizer with the tokens of all others added, in their order: first plain ones, then those that were added ones."""
    added = {str(token): token for each in tokenizers for _, token in sorted(each.added_tokens_decoder.items())}
    known = made.get_vocab()
    for each in tokenizers:
        for token in sorted(each.get_vocab().items(), key=lambda entry: entry[1]):
            if token[0] not in known and token[0] not in added:
                made.add_tokens(token[0])
                known[token[0]] = len(known)
    made.add_tokens([token for name, token in added.items() if name not in known])
    return made
