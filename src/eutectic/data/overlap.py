"""What a training row shares with the items of a benchmark, in words: exact, streaming, in memory that the benchmark alone decides.

Texts become words (Unicode NFKC, casefold). A row is read in overlapping pieces, so that a question and its answer count together only
where they stand together. A part of an item (its question, an option) is *in* a piece when at least `SHARE` of its distinct words are,
by count and by weight log((N + 1) / items with the word): words of a template weigh next to nothing, so neither two questions of one
template nor two definitions of one pattern are taken for each other. It is there *verbatim* when also `SHARE` of its n-grams are: the
rule of PaLM (Chowdhery et al. 2022, arXiv 2204.02311, section 8: 70 % of 8-grams), with n the number of words where these are fewer.
GPT-3's 13-grams (Brown et al. 2020, arXiv 2005.14165, appendix C) are longer than most questions here.

Weights are non-negative, so a sparse product of pieces and parts finds every pair above the threshold and no sketch (MinHash) is needed:
a benchmark has few items, and a Jaccard index of an item and a much longer row says little.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from eutectic.data.readers import number_text
from eutectic.specs.rows import Item

SHARE = 0.7
NGRAM = 8
# A question of fewer words is in every text; such items are counted and not compared.
SHORTEST = 3
# Words of a piece, or twice the longest item: whatever is half as long stands whole in one of the overlapping pieces.
PIECE = 200
# Pieces compared at once: their product with a few thousand parts is some 20 MB.
TOGETHER = 512
WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d]\w*")
Gram = tuple[str, ...]


def words(text: str) -> Gram:
    """The words of a text in one spelling; a number is one word.

    >>> words("The ﬁbre's Young's modulus: 7.87 GPa")
    ('the', 'fibre', 's', 'young', 's', 'modulus', '7.87', 'gpa')
    """
    return tuple(WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def grams(text: Gram, n: int) -> frozenset[Gram]:
    """All runs of `n` words."""
    return frozenset(text[i : i + n] for i in range(len(text) - n + 1))


@dataclass(frozen=True)
class Part:
    """A question, an option or an answer: its words in order, the weight of each distinct one (they sum to 1), its n-grams."""

    words: Gram
    weights: dict[str, float]

    @cached_property
    def n(self) -> int:
        """Words of an n-gram."""
        return min(NGRAM, len(self.words))

    @cached_property
    def grams(self) -> frozenset[Gram]:
        """The n-grams."""
        return grams(self.words, self.n)


@dataclass
class Piece:
    """Some words of a row that stand together."""

    row: str
    words: Gram
    _grams: dict[int, frozenset[Gram]] = field(default_factory=dict, repr=False)

    @cached_property
    def distinct(self) -> frozenset[str]:
        """The words, each once."""
        return frozenset(self.words)

    def share(self, part: Part) -> float:
        """Share of a part's words that are here: by count or by weight, whichever is less."""
        here = [weight for word, weight in part.weights.items() if word in self.distinct]
        return min(len(here) / len(part.weights), sum(here))

    def verbatim(self, part: Part) -> float:
        """Share of a part's n-grams that are here."""
        if part.n not in self._grams:
            self._grams[part.n] = grams(self.words, part.n)
        return len(part.grams & self._grams[part.n]) / len(part.grams)


@dataclass(frozen=True)
class Asked:
    """An item in words. `right` are the places of right answers among `options`; a text to extract from has neither."""

    item: Item
    stem: Part
    options: tuple[Part, ...]
    right: frozenset[int]

    def parts(self) -> Iterator[Part]:
        """What is looked for by itself: the question, and options long enough to be known again."""
        yield self.stem
        yield from (option for option in self.options if option.n == NGRAM)


@dataclass(frozen=True)
class Match:
    """What a piece of a row has of an item. `answered`: a right answer stands with the question; `whole`: the question stands there word
    for word. `text` is the item's words, `…` for those that are not there.
    """

    item: Item
    row: str
    kind: Literal["ngram", "near_duplicate"]
    answered: bool
    whole: bool
    text: str


def match(asked: Asked, piece: Piece) -> Match | None:
    """A question verbatim (with or without its answer), a question with its answer nearly so, or else a long option verbatim."""
    if piece.share(asked.stem) >= SHARE:
        verbatim = piece.verbatim(asked.stem)
        there = [place for place, option in enumerate(asked.options) if _with(option, asked.stem, piece)]
        answered = not asked.options or any(place in asked.right for place in there)
        if verbatim >= SHARE or answered:
            shown = next((place for place in there if place in asked.right), there[0] if there else None)
            text = _shown(piece, asked.stem, *(() if shown is None else (asked.options[shown],)))
            return Match(asked.item, piece.row, "ngram" if verbatim >= SHARE else "near_duplicate", answered, verbatim == 1, text)
    for option in asked.options:
        if option.n == NGRAM and piece.share(option) >= SHARE and piece.verbatim(option) >= SHARE:
            return Match(asked.item, piece.row, "ngram", answered=False, whole=False, text=_shown(piece, option))
    return None


def _with(option: Part, stem: Part, piece: Piece) -> bool:
    """Whether an option is in a piece besides what the question itself says: a short one word for word, a long one as questions are."""
    if option.n == NGRAM:
        return piece.share(option) >= SHARE
    return _times(option.words, piece.words) > _times(option.words, stem.words)


def _times(run: Gram, text: Gram) -> int:
    return sum(text[i : i + len(run)] == run for i in range(len(text) - len(run) + 1))


def _shown(piece: Piece, *parts: Part) -> str:
    return " | ".join(" ".join(word if word in piece.distinct else "…" for word in part.words) for part in parts)


class Index:
    """The items of a benchmark, ready to be looked for. `short` items have too few words and are left out."""

    def __init__(self, items: Sequence[Item]) -> None:
        texts = [(words(item.question), [words(text) for text in answers(item)]) for item in items]
        counts = Counter(word for stem, options in texts for word in {*stem, *chain(*options)})
        weights = {word: math.log((len(items) + 1) / count) for word, count in counts.items()}
        self.short = tuple(item.id for item, (stem, _) in zip(items, texts, strict=True) if len(stem) < SHORTEST)
        self.asked = [_asked(item, *text, weights) for item, text in zip(items, texts, strict=True) if len(text[0]) >= SHORTEST]
        self.length = max([PIECE, *(2 * len(stem) + 2 * sum(map(len, options)) for stem, options in texts)])
        self._columns = {word: column for column, word in enumerate(weights)}
        owned = [(index, part) for index, asked in enumerate(self.asked) for part in asked.parts()]
        self._owners = np.array([index for index, _ in owned], dtype=np.int64)
        self._parts = self._matrix([part.weights for _, part in owned]).T.tocsr()

    def matches(self, rows: Iterable[tuple[str, str]]) -> Iterator[Match]:
        """Every match of every item in rows of (id, text), in the order of the rows."""
        pieces = (piece for row, text in rows for piece in self._pieces(row, words(text)))
        while some := list(islice(pieces, TOGETHER)):
            bags = self._matrix([dict.fromkeys(piece.distinct & self._columns.keys(), 1.0) for piece in some])
            alike = (bags @ self._parts).tocoo()
            high = alike.data >= SHARE - 1e-9
            for place, index in sorted({*zip(alike.row[high].tolist(), self._owners[alike.col[high]].tolist(), strict=True)}):
                found = match(self.asked[index], some[place])
                if found is not None:
                    yield found

    def _pieces(self, row: str, text: Gram) -> Iterator[Piece]:
        """A row in pieces that overlap by half; one that is short enough is one piece."""
        half = self.length // 2
        for start in range(0, max(1, len(text) - half), half):
            yield Piece(row, text[start : start + self.length])

    def _matrix(self, bags: Sequence[dict[str, float]]) -> csr_array:
        """One row of `[bags, vocabulary of the items]` a bag."""
        columns = [self._columns[word] for bag in bags for word in bag]
        ends = np.cumsum([0, *map(len, bags)])
        values = np.array([value for bag in bags for value in bag.values()])
        return csr_array((values, np.array(columns, dtype=np.int64), ends), shape=(len(bags), len(self._columns)))


def answers(item: Item) -> tuple[str, ...]:
    """Texts that answer an item, rightly or not: its options, its value as a number, or its answers."""
    if item.value is not None:
        return tuple(dict.fromkeys((number_text(item.value), f"{item.value:.12g}")))
    return item.options or item.answers


def _asked(item: Item, stem: Gram, options: Sequence[Gram], weights: dict[str, float]) -> Asked:
    kept = {place: option for place, option in enumerate(options) if option}
    right = {item.answer} if item.options else set(kept)
    parts = tuple(_part(option, weights) for option in kept.values())
    return Asked(item, _part(stem, weights), parts, frozenset(new for new, place in enumerate(kept) if place in right))


def _part(text: Gram, weights: dict[str, float]) -> Part:
    mine = {word: weights[word] for word in text}
    total = sum(mine.values())
    return Part(text, {word: weight / total for word, weight in mine.items()})
