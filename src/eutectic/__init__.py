"""Eutectic: from a folder of papers to a merged language model that knows the field, with proof of what each step bought.

The public names are resolved on first touch, so that importing the package stays free of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eutectic.doors import compare, evaluate, merge, report
    from eutectic.errors import EutecticError, InputError, WorkError
    from eutectic.study.study import Study

__version__ = "0.1.0"
__all__ = ["EutecticError", "InputError", "Study", "WorkError", "__version__", "compare", "evaluate", "merge", "report"]

_HOMES = {
    "Study": "eutectic.study.study",
    "compare": "eutectic.doors",
    "evaluate": "eutectic.doors",
    "merge": "eutectic.doors",
    "report": "eutectic.doors",
    "EutecticError": "eutectic.errors",
    "InputError": "eutectic.errors",
    "WorkError": "eutectic.errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'eutectic' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
