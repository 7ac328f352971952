"""How well a paper was turned into text, from the text alone: badly converted text harms continued pretraining (Lu et al. 2025).

Four shares, each with the limit above which the text is not worth reading; the score is the room left below the nearest limit, 1 for
none of any, 0 at a limit. The kinds of fault are those of Gopher's rules (Rae et al. 2021, arXiv 2112.11446, table A1); the limits were
set on papers and on planted faults (docs/log.md).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

WORD = re.compile(r"\S+")
# A word of letters, a number, or letters and digits joined by usual marks; what else stands between spaces counts as broken.
WHOLE = re.compile(r"[\W_]*(?:[^\W\d_]{2,}[\w'’.,/+\-–‐:%°()\[\]]*|[aAIiyo]|[A-Z]\.?|[\d.,:/+\-–%°×()\[\]]+[^\W\d_]{0,4})[\W_]*")
USUAL = frozenset(".,;:!?'\"()[]/-–—%’‘“”+=<>°±·×&*")
VOWELS = frozenset("aeiouyäöüáéíóúàèìòùâêîôûåæøœ")
LONGEST = 40  # letters: longer runs are words that lost their spaces
RUN = 6  # words of a run that should not come again and again


@dataclass(frozen=True)
class Quality:
    """Shares in [0, 1]: `symbols` of the characters, `broken` of the words, `repeated` of the words in runs seen before, `unread` of the
    characters that could not be decoded.
    """

    symbols: float
    broken: float
    repeated: float
    unread: float

    @property
    def score(self) -> float:
        """1 for a text without faults, 0 for one at or beyond a limit."""
        return max(0.0, min(1 - float(getattr(self, name)) / limit for name, limit in LIMITS.items()))

    @property
    def worst(self) -> str:
        """The fault nearest to its limit, in words."""
        name = max(LIMITS, key=lambda each: getattr(self, each) / LIMITS[each])
        return f"{getattr(self, name):.0%} {FAULTS[name]}"


LIMITS = {"symbols": 0.2, "broken": 0.35, "repeated": 0.5, "unread": 0.02}
FAULTS = {
    "symbols": "of its characters are symbols",
    "broken": "of its words are broken",
    "repeated": "of its words stand in runs that repeat",
    "unread": "of its characters could not be decoded",
}


def measure(text: str) -> Quality:
    """The four shares of a text."""
    words = WORD.findall(text)
    written = [c for c in text if not c.isspace()]
    count = max(1, len(written))
    return Quality(
        symbols=sum(not c.isalnum() and c not in USUAL for c in written) / count,
        broken=sum(_broken(word) for word in words) / max(1, len(words)),
        repeated=_repeated(words),
        unread=sum(c == "\ufffd" or (ord(c) < 32) or 0xE000 <= ord(c) <= 0xF8FF for c in written) / count,
    )


def _broken(word: str) -> bool:
    if not WHOLE.fullmatch(word):
        return True
    letters = "".join(c for c in word if c.isalpha())
    if len(letters) > LONGEST:
        return True
    return len(letters) > 5 and letters.isascii() and not letters.isupper() and not VOWELS & set(letters.lower())


def _repeated(words: list[str]) -> float:
    """Share of the words that stand in a run of `RUN` words seen before in the text."""
    if len(words) < 2 * RUN:
        return 0.0
    runs = [tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)]
    seen: Counter[tuple[str, ...]] = Counter()
    covered: set[int] = set()
    for start, run in enumerate(runs):
        if seen[run]:
            covered.update(range(start, start + RUN))
        seen[run] += 1
    return len(covered) / len(words)
