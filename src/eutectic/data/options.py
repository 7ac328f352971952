"""Distractors: three wrong options that cannot be told from the right one without knowing the fact.

They come from siblings first, are matched in length (the wanted place of the answer among the four lengths is drawn by
hash, so that neither "take the shortest" nor "take the longest" is a strategy), and leave no lexical trace: no word of
four or more letters is shared by the question and exactly one option, and the answer never shares the most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations, islice

from eutectic.data import chance
from eutectic.data.classes import content_words

OPTIONS = 4
# Candidates looked at, combinations tried, and sound combinations among which length decides.
CANDIDATES, TRIED, ENOUGH = 20, 1500, 40


def choose(question: str, answer: str, tiers: Sequence[Iterable[str]], tolerance: float, seed: int, name: str) -> tuple[str, ...] | None:
    """Four options in their final order, or None where no sound set exists.

    `tiers` are sources of distractors, best first; `tolerance` is the accepted relative difference in characters.
    """
    asked = _words(question)
    candidates = _candidates(answer, tiers, tolerance, seed, name)
    own = _words(answer) & asked
    marked = [(candidate, _words(candidate) & asked) for candidate in candidates]
    tried = islice(combinations(marked, OPTIONS - 1), TRIED)
    sound = islice((tuple(text for text, _ in three) for three in tried if traceless(own, [words for _, words in three])), ENOUGH)
    wanted = int(chance.unit(seed, "length rank", name) * OPTIONS)
    best = min(sound, key=lambda three: _misplaced(answer, three, wanted), default=None)
    return None if best is None else tuple(chance.ordered((answer, *best), seed, f"order of {name}"))


def _candidates(answer: str, tiers: Sequence[Iterable[str]], tolerance: float, seed: int, name: str) -> list[str]:
    """Distractors of about the answer's length: by tier, then by hash."""
    slack = max(2.0, tolerance * len(answer))
    found: dict[str, None] = {}
    for tier in tiers:
        near = {text for text in tier if text != answer and abs(len(text) - len(answer)) <= slack}
        found.update(dict.fromkeys(chance.ordered(near, seed, f"distractors of {name}")))
    return list(found)[:CANDIDATES]


def traceless(answer: frozenset[str], others: Sequence[frozenset[str]]) -> bool:
    """Whether words shared with the question betray nothing: none belongs to one option alone, and the answer has not the most."""
    counts = Counter(word for words in (answer, *others) for word in words)
    return 1 not in counts.values() and len(answer) <= max(len(words) for words in others)


def _misplaced(answer: str, others: Sequence[str], wanted: int) -> float:
    """Distance of the answer's place among the lengths from the wanted place; ties count half."""
    shorter = sum(len(other) < len(answer) for other in others)
    equal = sum(len(other) == len(answer) for other in others)
    return abs(shorter + equal / 2 - wanted)


@lru_cache(maxsize=1 << 16)
def _words(text: str) -> frozenset[str]:
    return content_words(text)


def baselines(options: Iterable[tuple[tuple[str, ...], int]]) -> dict[str, float]:
    """Accuracy of always taking the shortest or the longest option (characters), ties counted by their chance."""
    shortest = longest = 0.0
    total = 0
    for texts, answer in options:
        lengths = [len(text) for text in texts]
        total += 1
        shortest += (lengths[answer] == min(lengths)) / lengths.count(min(lengths))
        longest += (lengths[answer] == max(lengths)) / lengths.count(max(lengths))
    return {"shortest_option": shortest / total, "longest_option": longest / total} if total else {}
