"""Preference pairs without a teacher: a term's definition is chosen, a sibling's of the same length rejected.

Pairs come in couples: the two definitions of a couple change places in the second pair. So a classifier that sees only
the lengths, or only the rejected text, is right half of the time by construction, and what is learned is which
definition belongs to which term.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eutectic.data import chance
from eutectic.data.classes import siblings, term_of
from eutectic.data.ontology import content_words
from eutectic.specs.rows import Document, Message, PreferenceRow, Term

# Accepted relative difference of the two definitions in characters.
LENGTH_TOLERANCE = 0.25
# Couples a term takes part in at most: more would show the same definition too often.
COUPLES = 6
# Definitions that share this part of their words (Jaccard) may both be true.
ALIKE = 0.6
PROMPTS = ("What is {name}?", "Define {name}.", "Explain briefly what {name} is.")


def rows(documents: Sequence[Document], seed: int) -> Iterator[PreferenceRow]:
    """Pairs about the terms among `documents`, both pairs of a couple next to each other."""
    for number, (one, other) in enumerate(_couples(documents, seed)):
        prompt = PROMPTS[number % len(PROMPTS)]
        yield _pair(one, other, prompt)
        yield _pair(other, one, prompt)


def couple(row: PreferenceRow) -> str:
    """Name of the couple a pair belongs to: its two sources, whichever was chosen."""
    return "+".join(sorted(row.source_ids))


def _couples(documents: Sequence[Document], seed: int) -> Iterator[tuple[Document, Document]]:
    """Couples of siblings of like length whose definitions cannot both be true, each term in at most `COUPLES`."""
    near = siblings(documents)
    pairs = [
        (one, other) for one in documents for other in near.get(one.id, ()) if one.id < other.id and _contrast(term_of(one), term_of(other))
    ]
    taken = dict.fromkeys(near, 0)
    for one, other in chance.ordered(pairs, seed, "couples", lambda pair: f"{pair[0].id}+{pair[1].id}"):
        if max(taken[one.id], taken[other.id]) < COUPLES:
            taken[one.id] += 1
            taken[other.id] += 1
            yield one, other


def _contrast(one: Term, other: Term) -> bool:
    """Whether either definition is false of the other term, as far as the classification tells, and lengths match."""
    lengths = sorted((len(one.definition), len(other.definition)))
    if lengths[1] > lengths[0] * (1 + LENGTH_TOLERANCE):
        return False
    mine, theirs = content_words(one.definition), content_words(other.definition)
    synonyms = {s.lower() for s in (one.name, *one.synonyms)} & {s.lower() for s in (other.name, *other.synonyms)}
    return not synonyms and len(mine & theirs) < ALIKE * len(mine | theirs)


def _pair(asked: Document, wrong: Document, prompt: str) -> PreferenceRow:
    return PreferenceRow(
        id=f"{asked.id}/not-{wrong.id}",
        prompt=(Message(role="user", content=prompt.format(name=term_of(asked).name)),),
        chosen=(Message(role="assistant", content=term_of(asked).definition),),
        rejected=(Message(role="assistant", content=term_of(wrong).definition),),
        source_ids=(asked.id, wrong.id),
        group=asked.group,
    )
