"""Multiple-choice questions about terms, made without a teacher: four directions of the same two facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eutectic.data import options
from eutectic.data.classes import by_group, related, siblings, term_of
from eutectic.data.options import Ask
from eutectic.specs.rows import Document, Item, Role, Split

# Stems differ from the wordings of the training text: recall of a fact is asked for, not of a string. An option follows each
# stem after one space, so the question mark stands last.
STEMS = {
    "definition to term": "{definition} Which term is defined here?",
    "term to definition": "How is {name} defined?",
    "term to class": "To which class does {name} belong?",
    "class to term": "Which of these is a member of the class {parent}?",
}
NAME_TOLERANCE, DEFINITION_TOLERANCE = 0.4, 0.25
# Options that are definitions are the dear part of an item: four of them are read each time.
DEFINITION_OPTION_WORDS = 18
# Classes looked at for distractors, nearest first.
NEAR_CLASSES = 12


@dataclass(frozen=True)
class Neighbourhood:
    """The terms questions are made from: `groups` by class, `siblings` by id, `above` the classes common to all members of
    each class, `nearest` the other classes in order of likeness (Jaccard of `above`).
    """

    groups: dict[str, list[Document]]
    siblings: dict[str, list[Document]]
    above: dict[str, frozenset[str]]
    nearest: dict[str, list[str]]


def neighbourhood(documents: Sequence[Document]) -> Neighbourhood:
    """The classes of `documents`, their likeness worked out once."""
    groups = by_group(documents)
    above = {group: frozenset.intersection(*(frozenset(term_of(d).ancestors) for d in members)) for group, members in groups.items()}
    nearest = {group: sorted((g for g in groups if g != group), key=lambda g: (-_likeness(above[group], above[g]), g)) for group in groups}
    return Neighbourhood(groups, siblings(documents), above, nearest)


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one | other))


def items(documents: Sequence[Document], role: Role, split: dict[str, Split], seed: int) -> list[Item]:
    """All questions that can be asked soundly about `documents`; distractors come from `documents` too.

    `split` gives the split of each group.
    """
    around = neighbourhood(documents)
    made = []
    for group, members in around.groups.items():
        for document in members:
            for ask in _asked(document, around):
                texts = options.choose(ask, seed, f"{document.id}/{ask.topic}")
                if texts is not None:
                    made.append(_item(document, ask, texts, role, split[group]))
    return made


def _item(document: Document, ask: Ask, texts: tuple[str, ...], role: Role, split: Split) -> Item:
    return Item(
        id=f"{document.id}/{ask.topic.replace(' ', '-')}",
        group=document.group,
        role=role,
        split=split,
        question=ask.question,
        options=texts,
        answer=texts.index(ask.answer),
        source_ids=(document.id,),
        topic=ask.topic,
    )


def _asked(document: Document, around: Neighbourhood) -> Iterator[Ask]:
    """Each question about a term, with its sources of distractors."""
    term = term_of(document)
    near_terms = [term_of(d) for d in around.siblings[document.id]]
    near = around.nearest[document.group]
    cousins = [term_of(d) for group in near[: NEAR_CLASSES // 2] for d in around.groups[group] if not related(term_of(d), term)]
    question = STEMS["definition to term"].format(definition=term.definition)
    yield Ask("definition to term", question, term.name, [[t.name for t in near_terms], [t.name for t in cousins]], NAME_TOLERANCE)
    if len(term.definition.split()) <= DEFINITION_OPTION_WORDS:
        question = STEMS["term to definition"].format(name=term.name)
        tiers = [[t.definition for t in near_terms], [t.definition for t in cousins]]
        yield Ask("term to definition", question, term.definition, tiers, DEFINITION_TOLERANCE)
    if document.group in term.parents:
        yield from _class_questions(document, around)


def _class_questions(document: Document, around: Neighbourhood) -> Iterator[Ask]:
    """The class of a term and a member of its class. A distractor class stands neither above the term nor above or below
    its class; a distractor member has the class nowhere above it.
    """
    term, group = term_of(document), document.group
    near = [g for g in around.nearest[group] if g not in term.ancestors and g != term.name]
    classes = [g for g in near[: 3 * NEAR_CLASSES] if g not in around.above[group] and group not in around.above[g]]
    question = STEMS["term to class"].format(name=term.name)
    yield Ask("term to class", question, group, [classes[:NEAR_CLASSES], classes[NEAR_CLASSES:]], NAME_TOLERANCE)
    others = [term_of(d) for g in near[:NEAR_CLASSES] for d in around.groups[g]]
    names = [t.name for t in others if group not in t.ancestors and t.name != group]
    question = STEMS["class to term"].format(parent=group)
    yield Ask("class to term", question, term.name, [names], NAME_TOLERANCE)
