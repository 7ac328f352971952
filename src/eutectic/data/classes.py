"""Classes of terms: which group a term belongs to, which terms are twins, and which training terms stand too near held-out ones.

A split by term would leak, because numbered and sided near-twins share a class; so the class is what splits keep together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from eutectic.data import ontology
from eutectic.specs.rows import Document, Dropped, Term

# A class with fewer members gives no question with three distractors.
SIBLINGS = 4
# Definitions that share this part of their words (Jaccard) say the same thing.
NEAR = 0.75


def term_of(document: Document) -> Term:
    """The ontology side of a document that is known to have one."""
    assert document.term is not None
    return document.term


def assign(documents: Sequence[Document]) -> list[Document]:
    """The documents with each term's `group` set to one of its direct parents.

    Parents are taken from the smallest (the most specific) upwards and claim their free members when there are at
    least `SIBLINGS` of them; a term nobody claims goes to its smallest parent, and one without parents to itself.
    """
    members: dict[str, set[str]] = defaultdict(set)
    for document in documents:
        for parent in document.term.parents if document.term else ():
            members[parent].add(document.id)
    chosen: dict[str, str] = {}
    by_size = sorted(members, key=lambda parent: (len(members[parent]), parent))
    for parent in by_size:
        free = members[parent] - chosen.keys()
        if len(free) >= SIBLINGS:
            chosen.update(dict.fromkeys(free, parent))
    for parent in by_size:
        chosen.update({identity: parent for identity in members[parent] if identity not in chosen})
    return [d if d.term is None else d.model_copy(update={"group": chosen.get(d.id, d.title)}) for d in documents]


def by_group(documents: Iterable[Document]) -> dict[str, list[Document]]:
    """Documents by group, groups in order of name."""
    groups: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        groups[document.group].append(document)
    return {group: groups[group] for group in sorted(groups)}


def without_twins(documents: Iterable[Document]) -> tuple[list[Document], list[Dropped]]:
    """The documents without terms that differ from an earlier one only by a number, an ordinal or a side."""
    kept: list[Document] = []
    dropped: list[Dropped] = []
    seen: dict[str, str] = {}
    for document in documents:
        keys = _twin_keys(document)
        twin = next((seen[key] for key in keys if key in seen), None)
        if twin is not None:
            dropped.append(Dropped(source=document.id, reason=f"numbered or sided twin of {twin}"))
            continue
        seen.update(dict.fromkeys(keys, document.id))
        kept.append(document)
    return kept, dropped


def _twin_keys(document: Document) -> tuple[str, ...]:
    if document.term is None:
        return ()
    return (f"name {ontology.twin_key(document.term.name)}", f"definition {ontology.twin_key(document.term.definition)}")


def without_leaks(documents: Sequence[Document]) -> tuple[list[Document], list[Dropped]]:
    """The documents without those through which training would see a held-out class.

    A training term shows a class that is its direct parent or the term itself. Of a held-out class and the training terms
    that show it, the smaller side goes; then go training terms whose definition says nearly the same (`NEAR`) as a held-out one.
    """
    held = by_group(d for d in documents if d.held_out and d.term)
    shown: dict[str, set[str]] = defaultdict(set)
    for document in documents:
        if document.term is not None and not document.held_out:
            for name in held.keys() & {document.term.name, *document.term.parents}:
                shown[name].add(document.id)
    gone: dict[str, str] = {}
    for group in sorted(held, key=lambda name: (len(shown[name]), name)):
        if len(shown[group] - gone.keys()) > len(held[group]):
            gone.update({d.id: f"its held-out class `{group}` is shown by more training terms than it has members" for d in held[group]})
        else:
            gone.update(dict.fromkeys(shown[group], f"shows the held-out class `{group}`"))
    definitions = [ontology.content_words(term_of(d).definition) for d in documents if d.held_out and d.term and d.id not in gone]
    for document in documents:
        if document.term and not document.held_out and _near(document.term, definitions):
            gone.setdefault(document.id, "says nearly the same as a held-out definition")
    dropped = [Dropped(source=identity, reason=reason) for identity, reason in gone.items()]
    return [d for d in documents if d.id not in gone], dropped


def _near(term: Term, definitions: list[frozenset[str]]) -> bool:
    own = ontology.content_words(term.definition)
    return any(len(own & other) >= NEAR * len(own | other) for other in definitions)


def related(one: Term, other: Term) -> bool:
    """Whether one term stands above the other: then the definition of one is true of the other."""
    return one.name == other.name or one.name in other.ancestors or other.name in one.ancestors


def siblings(documents: Iterable[Document]) -> dict[str, list[Document]]:
    """For the id of each term, the terms that share a direct parent with it and stand neither above nor below it, by id."""
    terms = [document for document in documents if document.term is not None]
    below: dict[str, list[Document]] = defaultdict(list)
    for document in terms:
        for parent in term_of(document).parents:
            below[parent].append(document)
    found: dict[str, list[Document]] = {}
    for document in terms:
        term = term_of(document)
        near = {other.id: other for parent in term.parents for other in below[parent] if not related(term, term_of(other))}
        found[document.id] = [near[identity] for identity in sorted(near)]
    return found
