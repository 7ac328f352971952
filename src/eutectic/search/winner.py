"""The winner of a search as a checkpoint: the merge it names, written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eutectic.artifacts import SUMMARY, Parents, one, read_json
from eutectic.context import Context
from eutectic.merge import stream
from eutectic.specs.steps import MergeStep, SearchStep, WinnerStep


def check(spec: WinnerStep, parents: Parents) -> None:
    """The search checks whatever can be known before."""


def build(spec: WinnerStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Write the merge; returns the ledger of `stream.build`."""
    search = one(parents, "search")
    assert isinstance(search.spec, SearchStep)
    found = read_json(search.path / SUMMARY)["winner"]
    models = (parents["models"][found["choice"]],) if search.spec.one_of else parents["models"]
    merge = MergeStep(method=spec.method, parameters=found["parameters"], seed=spec.seed)
    return stream.build(merge, {**parents, "models": models}, out, context)
