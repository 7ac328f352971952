"""All merge methods by name: ours, and those of installed packages that offer some through the entry point `eutectic.merge_methods`.

Adding one is one function (`recipe.method`) in `interpolations`, `deltas` or `fusions`, and one line in docs/methods.md.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from eutectic.errors import InputError
from eutectic.merge import deltas, fusions, interpolations
from eutectic.merge.recipe import METHODS, Method

ENTRY_POINT = "eutectic.merge_methods"
OURS = (interpolations, deltas, fusions)  # importing them registers their functions


def find(name: str) -> Method:
    """A method by name; raises `InputError` for one that nobody offers."""
    if name not in METHODS:
        for offered in entry_points(group=ENTRY_POINT):
            offered.load()
    if name not in METHODS:
        raise InputError(f"there is no merge method {name!r}", place="method", remedy=f"Known methods: {', '.join(METHODS)}.")
    return METHODS[name]
