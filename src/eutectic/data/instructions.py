"""Instruction rows without a teacher: questions about terms and quantities with short answers in an asked-for format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from eutectic.data import quantities, questions
from eutectic.data.classes import term_of
from eutectic.data.readers import quantity_text
from eutectic.specs.rows import Document, InstructionRow, Item, Message, Split

LETTERS = "ABCD"
# The instructions stand first, then the question: the form in which evaluation asks for answers in words.
LETTER_ONLY = "Answer the question with one letter only: A, B, C or D."
NUMBER_AND_UNIT = "Answer the question with one number and its unit only, for example 12.5 {unit}."
NUMBER_ONLY = "Answer the question with one number only, for example 12.5."
EXPLAIN = ("What is {name}? Answer in one sentence.", "Define {name} in one sentence.")
AS_JSON = "Give the name and the class of the following as JSON with the keys `name` and `class`. {definition}"
AS_TERM = "Which term has this meaning? {definition} Answer with the term only."


def rows(documents: Sequence[Document], seed: int) -> Iterator[InstructionRow]:
    """Rows about `documents` alone: letter questions, definitions, terms, JSON, and numbers with units.

    The options of a letter question come from `documents` too, so that nothing reserved is shown.
    """
    terms = [document for document in documents if document.term is not None]
    split: dict[str, Split] = {document.group: "dev" for document in terms}
    for item in questions.items(terms, "", split, seed):
        yield _letter_row(item)
    for document in terms:
        yield from _term_rows(document)
    for document in documents:
        for quantity in document.quantities:
            asked = NUMBER_AND_UNIT.format(unit=quantity.unit) if quantity.unit else NUMBER_ONLY
            name = f"{document.id}/{quantity.name.replace(' ', '-')}"
            yield _row(name, document, f"{asked}\n\n{quantities.question(document, quantity)}", quantity_text(quantity))


def _letter_row(item: Item) -> InstructionRow:
    assert item.answer is not None
    lines = [LETTER_ONLY, "", item.question, *(f"{letter}. {text}" for letter, text in zip(LETTERS, item.options, strict=True))]
    messages = (Message(role="user", content="\n".join(lines)), Message(role="assistant", content=LETTERS[item.answer]))
    return InstructionRow(id=f"{item.id}/letter", messages=messages, source_ids=item.source_ids, group=item.group)


def _term_rows(document: Document) -> Iterator[InstructionRow]:
    term = term_of(document)
    for number, wording in enumerate(EXPLAIN):
        yield _row(f"{document.id}/explain-{number}", document, wording.format(name=term.name), term.definition)
    yield _row(f"{document.id}/term", document, AS_TERM.format(definition=term.definition), term.name)
    if document.group in term.parents:
        answer = json.dumps({"name": term.name, "class": document.group}, ensure_ascii=False)
        yield _row(f"{document.id}/json", document, AS_JSON.format(definition=term.definition), answer)


def _row(name: str, document: Document, question: str, answer: str) -> InstructionRow:
    messages = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return InstructionRow(id=name, messages=messages, source_ids=(document.id,), group=document.group)
