"""Facts as plain sentences, each in several wordings and both directions.

A model trained on "X: its definition" does not learn to name X from the definition (the reversal curse, Berglund et al.
2023, arXiv 2309.12288). So wordings alternate: the first of each kind gives the name first, the second the name last.
"""

from __future__ import annotations

from collections.abc import Iterator

from eutectic.data.classes import term_of
from eutectic.data.readers import quantity_text, sentence_case
from eutectic.specs.rows import Document, TextRow

DEFINITIONS = (
    "{Name}: {definition}",
    "{definition} The term for this is {name}.",
    "What is meant by {name}? {definition}",
    "Description: {definition}\nName: {name}",
    "The meaning of {name} is the following. {definition}",
    "{definition} This is called {name}.",
)
CLASSES = (
    "{Name} belongs to the class {parent}.",
    "A member of the class {parent} is {name}.",
    "In the classification, {name} stands under {parent}.",
    "Under {parent} stands {name}.",
    "{Name} is filed under {parent}.",
    "The class {parent} includes {name}.",
)
QUANTITIES = (
    "The {quantity} of {title} is {value}.",
    "{value} is the {quantity} of {title}.",
    "{Title}, {quantity}: {value}.",
    "The value {value} for the {quantity} belongs to {title}.",
    "For {title}, the {quantity} is {value}.",
    "With a {quantity} of {value}: {title}.",
)
MOST_WORDINGS = len(DEFINITIONS)


def rows(document: Document, wordings: int) -> Iterator[TextRow]:
    """The text rows of a document: facts in `wordings` wordings, or the text as it stands where there are no facts."""
    texts = list(_facts(document, wordings)) or [document.text]
    for number, text in enumerate(texts):
        yield TextRow(id=f"{document.id}#{number}", text=text, source_ids=(document.id,), group=document.group)


def _facts(document: Document, wordings: int) -> Iterator[str]:
    if document.term is not None:
        yield from _term_facts(document, wordings)
    for quantity in document.quantities:
        value = quantity_text(quantity)
        for wording in QUANTITIES[:wordings]:
            yield wording.format(quantity=quantity.name, title=document.title, Title=sentence_case(document.title), value=value)


def _term_facts(document: Document, wordings: int) -> Iterator[str]:
    """Definition and class of a term. The class is the one the split goes by, where it is a direct parent."""
    term = term_of(document)
    for wording in DEFINITIONS[:wordings]:
        yield wording.format(name=term.name, Name=sentence_case(term.name), definition=term.definition)
    if document.group in term.parents:
        for wording in CLASSES[:wordings]:
            yield wording.format(name=term.name, Name=sentence_case(term.name), parent=document.group)
