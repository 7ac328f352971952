"""Distractors: three wrong options that cannot be told from the right one without knowing the fact.

They come from siblings first, are matched in length (the wanted place of the answer among the four lengths is drawn by
hash, so that neither "take the shortest" nor "take the longest" is a strategy), and leave no lexical trace: no word of
three or more letters is shared by the question and exactly one option, and the answer never shares the most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice

from eutectic.data import chance
from eutectic.data.ontology import content_words

OPTIONS = 4
# Candidates kept, and sets of three tried for each place of the answer among the lengths.
CANDIDATES, TRIED = 20, 600

Marked = tuple[str, frozenset[str]]  # an option and its words that the question holds


@dataclass(frozen=True)
class Ask:
    """A question that wants options: `tiers` are sources of distractors, best first; `tolerance` is the accepted relative
    difference in characters between the answer and a distractor.
    """

    topic: str
    question: str
    answer: str
    tiers: Sequence[Sequence[str]]
    tolerance: float


def choose(ask: Ask, seed: int, name: str) -> tuple[str, ...] | None:
    """Four options in their final order, or None where no sound set exists. `name` feeds the hashes."""
    asked, length = _words(ask.question), len(ask.answer)
    own = _words(ask.answer) & asked
    marked = [(text, _words(text) & asked) for text in _candidates(ask, seed, name)]
    marked = sorted(marked, key=lambda pair: len(pair[1] ^ own))[:CANDIDATES]  # those that share the same words leave no trace
    shorter = [pair for pair in marked if (len(pair[0]), chance.unit(seed, name, pair[0])) < (length, 0.5)]
    longer = [pair for pair in marked if pair not in shorter]
    for rank in _ranks(seed, name):
        tried = islice(_threes(shorter, longer, rank), TRIED)
        three = next((pairs for pairs in tried if traceless(own, [words for _, words in pairs])), None)
        if three is not None:
            return tuple(chance.ordered((ask.answer, *(text for text, _ in three)), seed, f"order of {name}"))
    return None


def _candidates(ask: Ask, seed: int, name: str) -> list[str]:
    """Distractors of about the answer's length: by tier, then by hash."""
    length = len(ask.answer)
    slack = max(2.0, ask.tolerance * length)
    found: dict[str, None] = {}
    for tier in ask.tiers:
        near = {text for text in tier if text != ask.answer and abs(len(text) - length) <= slack}
        found.update(dict.fromkeys(chance.ordered(near, seed, f"distractors of {name}")))
    return list(found)


def _ranks(seed: int, name: str) -> list[int]:
    """Places of the answer among the four lengths (0 is the shortest): the one drawn by hash, then its neighbours."""
    wanted = int(chance.unit(seed, "length rank", name) * OPTIONS)
    return sorted(range(OPTIONS), key=lambda rank: (abs(rank - wanted), chance.unit(seed, f"rank {rank}", name)))


def _threes(shorter: Sequence[Marked], longer: Sequence[Marked], rank: int) -> Iterator[tuple[Marked, ...]]:
    """Sets of three distractors of which `rank` are shorter than the answer."""
    for low in combinations(shorter, rank):
        for high in combinations(longer, OPTIONS - 1 - rank):
            yield (*low, *high)


def traceless(answer: frozenset[str], others: Sequence[frozenset[str]]) -> bool:
    """Whether words shared with the question betray nothing: none belongs to one option alone, and the answer has not the most."""
    counts = Counter(word for words in (answer, *others) for word in words)
    return 1 not in counts.values() and len(answer) <= max(len(words) for words in others)


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
