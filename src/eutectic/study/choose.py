"""Models that a study names by address or pattern; a name that fits none is an error that says what there is."""

from __future__ import annotations

from collections.abc import Iterable

from eutectic.errors import InputError
from eutectic.study import addresses
from eutectic.study.file import suggestion
from eutectic.study.graph import Draft
from eutectic.study.nodes import Node
from eutectic.yaml_file import Place


def model(draft: Draft, place: Place, address: str) -> Node:
    """The model at an address."""
    if address not in draft.graph.models:
        raise unknown(draft, place, address, f"there is no model named {address!r}")
    return draft.graph.models[address]


def models(draft: Draft, place: Place, patterns: tuple[str, ...], among: Iterable[str] | None = None) -> list[str]:
    """Addresses that any pattern of a list matches, in the order of the study; `among` narrows them."""
    chosen, empty = addresses.select(patterns, draft.graph.models if among is None else among, draft.graph.controls)
    for pattern in empty:
        raise unknown(draft, (*place, patterns.index(pattern)), pattern, f"the pattern {pattern!r} matches no model")
    return chosen


def unknown(draft: Draft, place: Place, pattern: str, found: str) -> InputError:
    """The error for an address or pattern that fits nothing: what the stage keeps where an epoch was asked for, else the nearest names."""
    names = [address for address in draft.graph.models if "+" not in address]
    stage, _, rest = pattern.partition("@")
    trained = stage + (f"#{rest.partition('#')[2]}" if "#" in rest else "")
    if not rest or trained not in names:
        return draft.file.error(place, found, suggestion(pattern, names, "model"))
    kept = [address for address in names if address.startswith(f"{stage}@") and address.partition("#")[2] == rest.partition("#")[2]]
    if not kept:
        return draft.file.error(place, f"{found}: {trained} keeps no epochs", "Set `keep: epochs` on its last stage.")
    return draft.file.error(place, f"{found}: {trained} trains for {len(kept)} epochs", f"There are {', '.join(kept[:12])}.")
