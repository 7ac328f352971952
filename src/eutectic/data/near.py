"""Near-duplicates among texts: MinHash (rensa) finds candidates, the exact Jaccard index of their word runs decides.

Texts are taken in order, and each is compared with those that were kept before it. With 32 bands of 4 hashes a pair of index 0.8 is a
candidate with probability 1 - (1 - 0.8^4)^32 > 0.9999999, one of 0.6 with 0.988 (Broder 1997; Leskovec et al., Mining of Massive
Datasets, section 3.4.2).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RUN = 5  # words
BANDS, ROWS, SEED = 32, 4, 1
TOGETHER = 256  # texts whose runs are in memory as words
WORD = re.compile(r"\w+")

Hashes = NDArray[np.uint64]


def duplicates(texts: Sequence[str], threshold: float) -> dict[int, tuple[int, float]]:
    """By the index of each duplicate, the index of an earlier text that stays and their Jaccard index, at least `threshold`."""
    kept: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
    found: dict[int, tuple[int, float]] = {}
    runs: dict[int, Hashes] = {}
    for start in range(0, len(texts), TOGETHER):
        for index, (own, digest) in enumerate(_digests(texts[start : start + TOGETHER]), start):
            keys = [(band, digest[band].tobytes()) for band in range(BANDS)]
            near = {earlier for key in keys for earlier in kept.get(key, ())}
            best = max(((_jaccard(own, runs[earlier]), -earlier) for earlier in near), default=(0.0, 0))
            if best[0] >= threshold:
                found[index] = (-best[1], best[0])
                continue
            runs[index] = own
            for key in keys:
                kept[key].append(index)
    return found


def _digests(texts: Sequence[str]) -> list[tuple[Hashes, NDArray[np.uint32]]]:
    """The hashed runs of each text, sorted, and its MinHash `[BANDS, ROWS]`."""
    from rensa import RMinHash

    hashed = RMinHash.hash_token_sets([_runs(text) for text in texts])
    rows = RMinHash.digest_matrix_from_token_hash_sets(hashed, BANDS * ROWS, SEED).to_rows()
    digests = np.array(rows, np.uint32).reshape(-1, BANDS, ROWS)
    return [(np.unique(np.array(own, np.uint64)), digest) for own, digest in zip(hashed, digests, strict=True)]


def _runs(text: str) -> list[str]:
    """The runs of `RUN` words of a text, without regard to case and marks; a shorter text is one run."""
    words = WORD.findall(text.casefold())
    return [" ".join(words[i : i + RUN]) for i in range(max(1, len(words) - RUN + 1))]


def _jaccard(one: Hashes, other: Hashes) -> float:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)
