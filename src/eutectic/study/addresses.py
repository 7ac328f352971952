"""Addresses of models in a study, and the patterns that match them.

`MODEL`, `MODEL/STAGE-STAGE[@EPOCH][#SEED]`, `MERGE:ADDRESS[,t=0.3]` for a merge of each, `MERGE[#SEED][,t=0.3]` for a merge of all,
and `ADDRESS+CONTROL` for the controls of a merge and of a stage, which follow what they control and match no pattern.
`NAME@ADDRESS` is what a conversation, an image prompt or a reference makes of a model.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Container, Iterable


def matches(pattern: str, address: str, merged: Container[str] = ()) -> bool:
    """Whether a pattern matches an address; `merged` holds the addresses of merges.

    `**` matches everything but kept epochs; `*` and `*/*` match models and chains only, never a merge, a kept epoch or a control;
    `*/*@*` kept epochs; `NAME:*` the results of that merge; anything else must be the address itself.
    """
    if pattern == address:
        return True
    if "+" in address:
        return False
    if pattern == "**":
        return "@" not in address or ":" in address
    if ":" in pattern:
        return fnmatch.fnmatchcase(address, pattern)
    if ":" in address or address in merged or ("@" in address) != ("@" in pattern):
        return False
    ours, theirs = pattern.split("/"), address.split("/")
    return len(ours) == len(theirs) and all(fnmatch.fnmatchcase(a, p) for p, a in zip(ours, theirs, strict=True))


def select(patterns: Iterable[str], addresses: Iterable[str], merged: Container[str] = ()) -> tuple[list[str], list[str]]:
    """Addresses that any pattern matches, in their own order, and the patterns that match nothing."""
    addresses, patterns = list(addresses), list(patterns)
    chosen = [a for a in addresses if any(matches(p, a, merged) for p in patterns)]
    return chosen, [p for p in patterns if not any(matches(p, a, merged) for a in addresses)]


def of_model(address: str) -> str:
    """The model's address in that of a step: what stands behind `NAME@`, else the address itself."""
    name, _, model = address.partition("@")
    return address if "/" in name or ":" in name or not model else model


def chain(model: str, stages: Iterable[str], seed: int | None = None, epoch: int | None = None) -> str:
    """Address of a trained model; the seed is written only where the study names several."""
    name = f"{model}/{'-'.join(stages)}"
    return f"{name}{f'@{epoch}' if epoch is not None else ''}{f'#{seed}' if seed is not None else ''}"


def merge(name: str, of: str | None, swept: dict[str, float]) -> str:
    """Address of a merge result; swept values are written as people do (`t=0.3`)."""
    values = "".join(f",{k}={v:g}" for k, v in swept.items())
    return f"{name}:{of}{values}" if of is not None else f"{name}{values}"


def control(address: str, name: str) -> str:
    """Address of a control of a merge."""
    return f"{address}+{name}"
