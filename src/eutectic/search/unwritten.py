"""Scoring merges that were never written: the base is loaded once, merged tensors are put into it one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from eutectic.artifacts import ITEMS, SUMMARY, Artifact, Parents, one, optional, read_json, read_rows, write_json, write_rows
from eutectic.context import Context
from eutectic.errors import WorkError
from eutectic.evaluate import general as harness
from eutectic.evaluate import rescore as rescoring
from eutectic.evaluate import score as scoring
from eutectic.merge import stream
from eutectic.merge.folder import home
from eutectic.models import device, loading
from eutectic.specs.rows import ItemScore
from eutectic.specs.steps import EvaluateStep, GeneralStep, MergeStep, RescoreStep

# Two merges this near (units in the last place of the output) are one model: rounding alone may part them so far.
SAME_ULPS = 2.0


def evaluate(spec: EvaluateStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Score an unwritten merge as `evaluate.score.build` scores a folder; a control that equals its merge takes over the merge's rows."""
    twin, geometry = optional(parents, "twin"), optional(parents, "geometry")
    if twin is not None and geometry is not None and equal(geometry):
        return adopt(twin, out)
    where = device.prepare(context)
    parent = one(parents, "model")
    model = live(parent, device.compute_dtype(where), where, context)
    return scoring.score(model, loading.tokenizer(home(parent)), spec, parents["benchmarks"], out, context, parent.address)


def rescore(spec: RescoreStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Rescore an unwritten merge as `evaluate.rescore.build` rescores a folder."""
    where = device.prepare(context)
    parent = one(parents, "model")
    return rescoring.rescore(
        lambda: live(parent, torch.float32, where, context), loading.tokenizer(home(parent)), spec, parents, out, context
    )


def general(spec: GeneralStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Measure an unwritten merge on general benchmarks as `evaluate.general.build` measures a folder."""
    where = device.prepare(context)
    parent = one(parents, "model")
    model = live(parent, device.compute_dtype(where), where, context)
    return harness.measure(model, loading.tokenizer(home(parent)), spec, parents, out, context)


def equal(geometry: Artifact) -> bool:
    """Whether a merge is its linear control within `SAME_ULPS`."""
    ulps = read_json(geometry.path / SUMMARY).get("max_ulps_from_linear")
    return ulps is not None and float(ulps) <= SAME_ULPS


def adopt(twin: Artifact, out: Path) -> dict[str, Any]:
    """Take over the rows of an Evaluation; the summary says of whom."""
    rows = read_rows(twin.path / ITEMS, ItemScore)
    write_rows(out / ITEMS, rows)
    write_json(out / SUMMARY, {**read_json(twin.path / SUMMARY), "equal_to": twin.address})
    return {"items": sum(row.form == "cloze" for row in rows), "adopted": 1}


def live(merge: Artifact, dtype: torch.dtype, where: torch.device, context: Context) -> PreTrainedModel:
    """The merged model in memory, ready to be scored. Weights are rounded to the merge's output type first, as on disk."""
    if not isinstance(merge.spec, MergeStep):
        raise WorkError(f"{merge.address} has neither a folder nor a merge behind it")
    model = loading.load(home(merge), dtype, where)
    loading.swap(model, stream.tensors(merge.spec, merge.parents, context, loading.live(model)))
    return model
