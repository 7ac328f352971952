"""What a merge did, tensor by tensor: how far apart the parents were, which branch ran, how far the result is from a plain linear merge.

SLERP of near siblings is linear interpolation up to the factor 1/cos(w/2); these rows say whether a merge was anything else.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eutectic.artifacts import SUMMARY, TENSORS, Parents, one, write_json, write_rows
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.merge.canonical import controls
from eutectic.merge.group import SCRATCH, Each, Group, Parts
from eutectic.merge.recipe import Recipe
from eutectic.merge.schedule import layer_of
from eutectic.merge.stream import Merge, in_order
from eutectic.models import device
from eutectic.specs.rows import TensorGeometry
from eutectic.specs.steps import GeometryStep, MergeStep

EQUAL_ULPS = 2.0  # output ulps within which two merges count as one (design.md)
DIGITS = {torch.float32: 24, torch.bfloat16: 8, torch.float16: 11}  # binary digits of the significand, the hidden one included
SMALLEST = {torch.float32: -149, torch.bfloat16: -133, torch.float16: -24}  # exponent of the smallest subnormal


def check(spec: GeometryStep, parents: Parents) -> None:  # noqa: ARG001 - the shape of every `check` door
    """Raise `InputError` unless the parent is a merge."""
    if not isinstance(one(parents, "merge").spec, MergeStep):
        raise InputError(f"{one(parents, 'merge').address} is no merge", place="geometry", remedy="Give the address of a merge.")


def build(spec: GeometryStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Write `tensors.jsonl` and `summary.json` for a merge, written or not; the merge is made again from its parents.

    "Linear" is the first control of the merge (see `canonical.controls`): the same t at every tensor where the method has a t.
    """
    device.prepare(context)
    check(spec, parents)
    parent = one(parents, "merge")
    assert isinstance(parent.spec, MergeStep)
    merge = Merge(parent.spec, parent.parents, parent.address)
    context.progress.start("geometry", sum(map(merge.elements, merge.names)) / 1e6, "M parameters")
    rows = []
    for row in measure(merge, parent.parents, context):
        rows.append(row)
        context.progress.advance(merge.elements(row.tensor) / 1e6, row.branch)
    write_rows(out / TENSORS, rows)
    sizes = [merge.elements(row.tensor) for row in rows]
    write_json(out / SUMMARY, summarise(rows, sizes))
    return {"tensors": len(rows), "parameters": sum(sizes)}


def measure(merge: Merge, parents: Parents, context: Context) -> Iterator[TensorGeometry]:
    """One row a tensor, in the order of the checkpoint."""
    found = controls(merge.spec, has_base=merge.base is not None, n_models=len(merge.models))
    plain = Merge(found[0][1], parents) if found else merge  # no control is left: the merge is linear itself

    def job(name: str, each: Each) -> TensorGeometry:
        return _row(merge, plain, merge.group(name, each), each)

    yield from in_order(merge.names, merge.elements, job, context.threads)


def _row(merge: Merge, plain: Merge, group: Group, each: Each) -> TensorGeometry:
    name = group.name
    recipe, line = merge.recipe(name, each), plain.recipe(name, each)
    products = group.products(base_is_input=True) if group.elements else np.zeros((len(group.all),) * 2)
    angle, distance = pair_geometry(products)
    ulps, total = _from_linear(merge, plain, group, (recipe, line), each)
    t = merge.inputs[name].arguments.get("t")
    return TensorGeometry(
        tensor=name,
        layer=layer_of(name),
        module=module_of(name),
        angle=angle,
        norms=tuple(math.sqrt(value) for value in products.diagonal().tolist()),
        relative_distance=distance,
        sign_conflicts=group.sum(_conflicts) / group.elements if group.elements else 0.0,
        t=t,
        branch=recipe.branch,
        ulps_from_linear=ulps,
        ulps_mean=total / max(1, group.elements),
    )


def _conflicts(parts: Parts) -> torch.Tensor:
    """1 where some of the vectors that are mixed are above zero and others below it, else 0."""
    group = parts.group
    mixed = parts.deltas() if group.base is not None and len(group.models) > 1 else [parts.of(source) for source in group.all]
    lowest, highest = mixed[0].clone(), mixed[0]
    for other in mixed[1:]:
        torch.minimum(lowest, other, out=lowest)
        torch.maximum(highest, other, out=highest)
    return (lowest.lt_(0)).mul_(highest.gt_(0))


def pair_geometry(products: np.ndarray) -> tuple[float, float]:
    """Angle (radians) between the first two parents and |a - b| / |a| from the dot products; 0 where there is only one or a norm is 0."""
    if len(products) < 2:
        return 0.0, 0.0
    aa, ab, bb = (float(products[i, j]) for i, j in ((0, 0), (0, 1), (1, 1)))
    if aa == 0 or bb == 0:
        return 0.0, 0.0 if aa == bb else 1.0
    return math.acos(max(-1.0, min(1.0, ab / math.sqrt(aa * bb)))), math.sqrt(max(0.0, aa - 2 * ab + bb) / aa)


def _from_linear(merge: Merge, plain: Merge, group: Group, recipes: tuple[Recipe, Recipe], each: Each) -> tuple[float, float]:
    """Largest and summed distance of the merge from the plain one, in ulps of the output type."""
    if merge is plain or recipes[0] == recipes[1] or not merge.dtype(group.name).is_floating_point:
        return 0.0, 0.0

    def one_part(start: int) -> torch.Tensor:
        with SCRATCH.frame():
            pair = [SCRATCH.take(group.parts(start).count, merge.dtype(group.name)) for _ in range(2)]
            made = [which.part(group, recipe, start, into) for which, recipe, into in zip((merge, plain), recipes, pair, strict=True)]
            parts = group.parts(start)
            scale = parts.of(group.all[0]).abs_()
            for source in group.all[1:]:
                torch.maximum(scale, parts.of(source).abs_(), out=scale)
            distance = ulps_between(made[0], made[1], scale)
        return torch.stack([distance.max().double(), distance.sum(dtype=torch.float64)])

    largest, total = 0.0, 0.0
    for value in each(one_part, group.starts):
        largest, total = max(largest, float(value[0])), total + float(value[1])
    return largest, total


def ulps_between(a: torch.Tensor, b: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """|a - b| in units in the last place of their common type at the magnitude max(|a|, |b|, scale); fp32, same shape.

    `scale` is the largest magnitude among the parents: where they nearly cancel, the result's own last place is finer than anything that
    the parents, stored in that type, could tell apart.
    """
    digits, smallest = DIGITS[a.dtype], SMALLEST[a.dtype]
    a, b = a.float(), b.float()
    _, exponent = torch.maximum(torch.maximum(a.abs(), b.abs()), scale).frexp()
    return (a - b).abs_().ldexp_(-(exponent - digits).clamp_(min=smallest))


def module_of(tensor: str) -> str:
    """The name of a tensor without model prefix, layer number and `weight`: `model.layers.3.mlp.up_proj.weight` -> `mlp.up_proj`."""
    parts = tensor.split(".")
    layer = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    inner = parts[layer + 1 :] if layer is not None else [part for part in parts if part not in ("model", "transformer")]
    return ".".join(part for part in inner if part != "weight") or tensor


def summarise(rows: Sequence[TensorGeometry], sizes: Sequence[int]) -> dict[str, Any]:
    """Figures of a whole merge. `linear_share` is the share of parameters in tensors within `EQUAL_ULPS` of plain linear."""
    parameters = max(1, sum(sizes))
    branches: dict[str, int] = {}
    for row in rows:
        branches[row.branch] = branches.get(row.branch, 0) + 1
    return {
        "max_ulps_from_linear": max((row.ulps_from_linear for row in rows), default=0.0),
        "mean_ulps_from_linear": sum(row.ulps_mean * size for row, size in zip(rows, sizes, strict=True)) / parameters,
        "tensors": len(rows),
        "parameters": sum(sizes),
        "linear_share": sum(size for row, size in zip(rows, sizes, strict=True) if row.ulps_from_linear <= EQUAL_ULPS) / parameters,
        "angle_median": statistics.median(row.angle for row in rows) if rows else 0.0,
        "angle_max": max((row.angle for row in rows), default=0.0),
        "relative_distance_median": statistics.median(row.relative_distance for row in rows) if rows else 0.0,
        "sign_conflicts": sum(row.sign_conflicts * size for row, size in zip(rows, sizes, strict=True)) / parameters,
        "branches": branches,
    }
