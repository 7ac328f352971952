"""Mixtures: how much of each source enters a dataset, by passes over it or by its share of the final tokens.

A workshop that makes data has no tokenizer; tokens are estimated as characters over `CHARACTERS_A_TOKEN`, one constant
for all sources of a mix, so that shares are shares of characters. Training counts the real tokens in its ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eutectic.data import chance
from eutectic.data.formats import AnyRow
from eutectic.errors import InputError
from eutectic.specs.rows import InstructionRow, TextRow
from eutectic.specs.steps import MixShare

CHARACTERS_A_TOKEN = 4.0
# A share may repeat a small source, but not this often: it would be learned by heart.
MOST_PASSES = 20.0


@dataclass(frozen=True)
class Part:
    """One source of a mix as it entered: passes over it, rows and estimated tokens."""

    passes: float
    rows: int
    tokens: int


def tokens(row: AnyRow) -> float:
    """Estimated tokens of a row."""
    if isinstance(row, TextRow):
        return len(row.text) / CHARACTERS_A_TOKEN
    messages = row.messages if isinstance(row, InstructionRow) else (*row.prompt, *row.chosen, *row.rejected)
    return sum(len(message.content) for message in messages) / CHARACTERS_A_TOKEN


def mixed(sources: Sequence[Sequence[AnyRow]], shares: Sequence[MixShare], seed: int) -> tuple[list[AnyRow], list[Part]]:
    """The mixed rows in order of hash, and what each source gave.

    With fixed sizes F (passes) and shares s_i, the total is F / (1 - sum s_i). Raises `InputError` where shares leave
    nothing for the others, or a source would be repeated more than `MOST_PASSES` times.
    """
    passes = _passes([sum(map(tokens, rows)) for rows in sources], shares)
    taken = [_taken(rows, count, seed, index) for index, (rows, count) in enumerate(zip(sources, passes, strict=True))]
    parts = [Part(count, len(rows), round(sum(map(tokens, rows)))) for rows, count in zip(taken, passes, strict=True)]
    everything = [row for rows in taken for row in rows]
    return chance.ordered(everything, seed, "order of the mix", lambda row: row.id), parts


def _passes(sizes: Sequence[float], shares: Sequence[MixShare]) -> list[float]:
    fixed = sum(size * (mix.passes or 0.0) for size, mix in zip(sizes, shares, strict=True))
    share = sum(mix.share or 0.0 for mix in shares)
    if share >= 1 or (share > 0 and fixed == 0):
        raise InputError(
            "the shares of this mix leave nothing to measure them by", place="mix", remedy="Give at least one source `passes`."
        )
    total = fixed / (1 - share)
    passes = [mix.passes if mix.passes else total * (mix.share or 0.0) / max(size, 1.0) for size, mix in zip(sizes, shares, strict=True)]
    for index, (count, mix) in enumerate(zip(passes, shares, strict=True)):
        if mix.share and count > MOST_PASSES:
            raise InputError(
                f"a share of {mix.share} would repeat this small source {count:.0f} times",
                place=f"mix.{index}.share",
                remedy=f"Lower the share, or bring a source at least {count / MOST_PASSES:.0f} times as long.",
            )
    return passes


def _taken(rows: Sequence[AnyRow], passes: float, seed: int, index: int) -> list[AnyRow]:
    """Whole passes over `rows` and, of the last one, the rows that come first by hash; copies get ids of their own."""
    whole = int(passes)
    rest = round((passes - whole) * len(rows))
    last = chance.ordered(rows, seed, f"last pass of {index}", lambda row: row.id)[:rest]
    copies = [(number, row) for number in range(whole) for row in rows] + [(whole, row) for row in last]
    return [row if number == 0 else row.model_copy(update={"id": f"{row.id}@{number + 1}"}) for number, row in copies]
