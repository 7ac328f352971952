"""Answers in free words: the words True and False, and short answers compared after normalisation.

Short answers are normalised as in SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250): case, punctuation and English articles do not count;
here Unicode forms neither, and a hyphen parts words, so that "beta-sheet" is "Beta sheet".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

ARTICLES = frozenset({"a", "an", "the"})
NEGATIONS = frozenset({"not", "no", "never", "neither", "nor", "without", "unlike", "isn", "aren", "wasn", "doesn", "cannot"})
INSTEAD = (("rather", "than"), ("instead", "of"), ("as", "opposed", "to"), ("other", "than"))
NEAR = 3  # words before an answer in which a negation takes it back
LONGEST_SHORT = 8  # words; what is longer is talk
VERDICT = re.compile(
    r"(?P<denied>\b(?:not|isn['’]t|never|hardly)\s+(?:\w+ly\s+)?)?\b(?P<word>true|false|correct|incorrect)\b", re.IGNORECASE
)
LEADING = re.compile(r"^\W*(?P<word>true|false|yes|no|correct|incorrect)\b", re.IGNORECASE)
RIGHT = frozenset({"true", "yes", "correct"})


def normalised(text: str) -> list[str]:
    """The words of a text that count."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = re.sub(r"(?<=\w)['’]s\b", "", plain)
    return [word for word in re.findall(r"\w+", plain) if word not in ARTICLES]


def verdict(text: str) -> tuple[bool | None, bool]:
    """What a text says of a statement (True, False, or nothing clear), and whether it is just that word.

    Leniently the word it begins with is meant, else the only verdict it gives; "not true" is False.
    """
    alone = re.fullmatch(r"\s*(true|false)\s*\.?\s*", text, re.IGNORECASE)
    if alone:
        return alone[1].lower() == "true", True
    if leading := LEADING.match(text):
        return leading["word"].lower() in RIGHT, False
    given = {(found["word"].lower() in RIGHT) != bool(found["denied"]) for found in VERDICT.finditer(text)}
    return (given.pop() if len(given) == 1 else None), False


def exactly(text: str, answers: Sequence[str]) -> str:
    """The right answer that a text is, after normalisation; empty for none."""
    said = normalised(text)
    return next((answer for answer in answers if normalised(answer) == said), "")


def stated(text: str, answers: Sequence[str]) -> str:
    """The right answer that a text names in whole words without taking it back or offering another beside it; empty for none.

    >>> [stated(text, ["collagen"]) for text in ("It is mostly collagen.", "It is not collagen.", "Keratin or collagen")]
    ['collagen', '', '']
    """
    for answer in sorted(answers, key=len, reverse=True):
        places = list(_places(sentence_words(text), normalised(answer)))
        if places and not any(_contradicted(*place) for place in places):
            return answer
    return ""


def sentence_words(text: str) -> list[list[str]]:
    """The words of each sentence or clause, so that a negation reaches no further."""
    return [normalised(clause) for clause in re.split(r"[.;:!?]\s|\bbut\b|\n", text)]


def _places(clauses: Sequence[Sequence[str]], wanted: Sequence[str]) -> list[tuple[Sequence[str], int, int]]:
    """Every (clause, start, end) where the wanted words stand one behind the other."""
    size = len(wanted)
    return [(words, i, i + size) for words in clauses for i in range(len(words) - size + 1) if size and list(words[i : i + size]) == wanted]


def _contradicted(words: Sequence[str], start: int, end: int) -> bool:
    """Whether the words at a place are denied shortly before, or stand in an "or"."""
    before = tuple(words[max(0, start - NEAR) : start])
    instead = any(before[-len(phrase) :] == phrase for phrase in INSTEAD)
    return instead or bool(NEGATIONS.intersection(before)) or "or" in (*before[-1:], *words[end : end + 1])


def talks(text: str) -> bool:
    """Whether an answer is more, or less, than the few words asked for."""
    return not text.strip() or "\n" in text.strip() or len(text.split()) > LONGEST_SHORT
