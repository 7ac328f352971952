"""Rows of a Dataset as token sequences, with which tokens are learned, and what had to be cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from eutectic.artifacts import read_rows
from eutectic.errors import EutecticError, InputError
from eutectic.models import chat_template
from eutectic.models.packing import Sequence, sequence
from eutectic.specs.rows import InstructionRow, PreferenceRow, TextRow
from eutectic.specs.steps import ReferenceStep


@dataclass(frozen=True)
class Examples:
    """Sequences in the order of the file. `groups[i]` is the group of the row that sequence `i` came from."""

    sequences: tuple[Sequence, ...]
    groups: tuple[str, ...]
    rows: int
    cut_rows: int = 0
    cut_tokens: int = 0

    @property
    def tokens(self) -> int:
        """All tokens, padding not being one."""
        return sum(map(len, self.sequences))


Encoded = tuple[list[Sequence], int]  # sequences of one row, tokens cut off


def read(file: Path, kind: str, tokenizer: PreTrainedTokenizerBase, spec: ReferenceStep, *, prompts: bool = False) -> Examples:
    """The rows of a Dataset file of `kind`. A conversation or pair longer than `sequence` tokens is cut, a text is split and loses nothing.

    Answers are scored, with `prompts` also everything before and between them. Raises `InputError` when more than the share `most_cut`
    of the rows lose tokens.
    """
    sequences: list[Sequence] = []
    groups: list[str] = []
    rows = cut_rows = cut_tokens = 0
    for line, (group, (made, cut)) in enumerate(_encoded(file, kind, tokenizer, spec.sequence, prompts), 1):
        rows, cut_rows, cut_tokens = line, cut_rows + (cut > 0), cut_tokens + cut
        sequences += made
        groups += [group] * len(made)
    if cut_rows > spec.most_cut * rows:
        raise InputError(
            f"{cut_rows} of {rows} examples are longer than {spec.sequence} tokens and would lose {cut_tokens} tokens; "
            f"`most_cut` allows {spec.most_cut:.1%} of them",
            file=file,
            remedy="Raise `sequence`, or shorten those examples.",
        )
    return Examples(tuple(sequences), tuple(groups), rows, cut_rows, cut_tokens)


def _encoded(file: Path, kind: str, tokenizer: PreTrainedTokenizerBase, capacity: int, prompts: bool) -> Iterator[tuple[str, Encoded]]:
    """Group and sequences of each row; an error names the row's line."""
    schemas: dict[str, type[TextRow | InstructionRow | PreferenceRow]] = {
        "text": TextRow,
        "instruction": InstructionRow,
        "preference": PreferenceRow,
    }
    for line, row in enumerate(read_rows(file, schemas[kind]), 1):
        try:
            match row:
                case TextRow():
                    yield row.group, _text(row, tokenizer, capacity)
                case InstructionRow():
                    yield row.group, _instruction(row, tokenizer, capacity, prompts)
                case PreferenceRow():
                    yield row.group, _preference(row, tokenizer, capacity, prompts)
        except EutecticError as error:
            raise error.at(file=file, line=line) from error


def _text(row: TextRow, tokenizer: PreTrainedTokenizerBase, capacity: int) -> Encoded:
    """A document in pieces of `capacity` tokens, each after the opening token; every token of the document is learned once."""
    opening, ids = chat_template.document(tokenizer, row.text)
    size = capacity - len(opening)
    pieces = [ids[start : start + size] for start in range(0, len(ids), size)]
    return [
        sequence(f"{row.id}/{number}" if number else row.id, opening + piece, [False] * len(opening) + [True] * len(piece))
        for number, piece in enumerate(pieces)
    ], 0


def _instruction(row: InstructionRow, tokenizer: PreTrainedTokenizerBase, capacity: int, prompts: bool) -> Encoded:
    """A conversation whose assistant turns are learned, or every token of it."""
    ids, learned = chat_template.assistant_spans(tokenizer, row.messages)
    if prompts and any(learned):
        learned = [True] * len(ids)
    last = max((i + 1 for i, flag in enumerate(learned) if flag), default=0)  # nothing behind the last learned token matters
    made = sequence(row.id, ids[: min(last, capacity)], learned[:capacity]) if last else None
    if made is None:
        raise InputError("the conversation has no assistant turn to learn from", remedy="Give it one or delete it.")
    return ([made] if made.targets else []), max(0, last - capacity)


def _preference(row: PreferenceRow, tokenizer: PreTrainedTokenizerBase, capacity: int, prompts: bool) -> Encoded:
    """A prompt that the chosen and the rejected answer share; the answers are scored, and the prompt if asked for."""
    prompt, chosen = chat_template.continuation(tokenizer, row.prompt, row.chosen)
    _, rejected = chat_template.continuation(tokenizer, row.prompt, row.rejected)
    if chosen == rejected:
        raise InputError("chosen and rejected are the same", remedy="Delete the row: it teaches nothing.")
    room = capacity - len(prompt)
    cut = sum(max(0, len(answer) - max(0, room)) for answer in (chosen, rejected))
    if room <= 0:
        return [], cut
    answers = [(answer[:room], [True] * len(answer[:room])) for answer in (chosen, rejected)]
    return [sequence(row.id, prompt, [prompts] * len(prompt), answers)], cut
