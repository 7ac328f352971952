"""Methods that go between whole models: along lines, arcs, or towards their mean on a sphere. Facts and formulas: docs/methods.md.

Whatever is done on a sphere stays in the span of the parents, so one pass over the tensor (dot products of all pairs, fp64) gives the
coefficients of the result, and a second pass sums the parents with them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from eutectic.errors import InputError
from eutectic.merge.recipe import Count, PerModel, Recipe, Scale, Scheduled, method

if TYPE_CHECKING:
    import numpy as np
    import torch

    from eutectic.merge.group import Along, Group, Parts

PARALLEL = 1e-7  # radians: below this sin(angle) has no digits left to divide by, and an arc is a line


@method(base="input")
def linear(group: Group, *, t: Scheduled | None = None, weight: PerModel = (1.0,), normalize: bool = True) -> Recipe:
    """With `t`: (1 - t) base + t model, also outside [0, 1]. Without: sum(w_i m_i) / sum(w_i) over `models` (the base is not mixed in).

    `normalize: false` leaves out the division. Model soups, Wortsman et al. 2022 (arXiv 2203.05482); the order of operations is mergekit's.
    """
    sources, weights = (group.all, (1.0 - t, t)) if t is not None else (group.models, weight)
    used = [(source, w) for source, w in zip(sources, weights, strict=True) if w != 0]
    total = group.float32_sum([w for _, w in used]) if normalize or t is not None else 1.0
    if not used or total == 0:
        raise InputError("the weights of a linear merge add up to zero", remedy="Give other weights, or set `normalize: false`.")
    if len(used) == 1 and (normalize or used[0][1] == 1):
        return Recipe("copy", copy=group.index(used[0][0]))

    def combine(parts: Parts) -> torch.Tensor:
        first, first_weight = used[0]
        result = parts.of(first).mul_(first_weight)
        for source, w in used[1:]:
            result.addcmul_(parts.of(source), group.scalar(w))
        return result if total == 1.0 else result.div_(total)

    return Recipe("linear", combine)


@method(models=(1, 1))
def slerp(group: Group, *, t: Scheduled, scale: Scale = "raw") -> Recipe:
    """Spherical interpolation from base (t = 0) to the model (t = 1) at the angle w between the two as vectors (Shoemake 1985).

    `raw`: sin((1-t)w)/sin(w) base + sin(tw)/sin(w) model, on the tensors as they are (mergekit's formula).
    `geometric`: the same on the unit vectors, then scaled by |base|^(1-t) |model|^t (Lu, Luu, Buehler 2025, Methods).
    The angle is summed in fp64, so no early switch to a line is needed; where the two are parallel to 1e-7, opposite, or one of them is
    zero there is no arc, and the branch is `linear`.
    """
    if t in (0.0, 1.0):
        return Recipe("copy", copy=-1 if t == 0 else 0)
    angle, norms = group.angle()
    if not PARALLEL < angle < math.pi - PARALLEL or 0.0 in norms:
        line = linear(group, t=t)
        return Recipe("linear", line.combine, angle=angle, norms=norms)
    a, b = math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
    if scale == "geometric":
        length = norms[0] ** (1 - t) * norms[1] ** t
        a, b = a * length / norms[0], b * length / norms[1]

    def combine(parts: Parts) -> torch.Tensor:
        base, model = (parts.of(source) for source in group.all)
        return base.mul_(a).add_(model, alpha=b)

    return Recipe("slerp", combine, angle=angle, norms=norms)


@method(base="origin", models=(2, 2), rows=True)
def nuslerp(group: Group, *, weight: PerModel = (1.0,), nuslerp_flatten: bool = True, nuslerp_row_wise: bool = False) -> Recipe:
    """Spherical interpolation between two models (of their deltas, where there is a base) at t = w_2 / (w_1 + w_2).

    Each tensor is one vector, or (`nuslerp_flatten: false`) each row of its last dimension, or with `nuslerp_row_wise` too each column of
    its first. t = 0.5 where the weights add up to zero. mergekit's formula, with angles summed in fp64.
    """
    total = weight[0] + weight[1]
    t = 0.5 if abs(total) < 1e-6 else weight[1] / total
    along: Along = "tensor" if nuslerp_flatten else "columns" if nuslerp_row_wise and len(group.shape) > 1 else "rows"
    (one, cross), (_, two) = group.products(along)
    first, second = _arc(one, cross, two, t)

    def combine(parts: Parts) -> torch.Tensor:
        mixed = parts.delta(0).mul_(parts.spread(first, along)).addcmul_(parts.delta(1), parts.spread(second, along))
        return mixed if group.base is None else mixed.add_(parts.base())

    return Recipe("slerp", combine)


def _arc(one: np.ndarray, cross: np.ndarray, two: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of two vectors, from their dot products: sin((1-t)w)/sin(w) and sin(tw)/sin(w), or a line where there is no arc."""
    import numpy as np

    lengths = np.sqrt(one * two)
    angle = np.arccos(np.clip(np.divide(cross, lengths, out=np.ones_like(lengths), where=lengths > 0), -1, 1))
    flat = (angle < PARALLEL) | (angle > math.pi - PARALLEL)
    sine = np.sin(np.where(flat, 1.0, angle))
    return np.where(flat, 1 - t, np.sin((1 - t) * angle) / sine), np.where(flat, t, np.sin(t * angle) / sine)


@method(base="origin")
def multislerp(group: Group, *, weight: PerModel = (1.0,), normalize_weights: bool = True, eps: Scheduled = 1e-8) -> Recipe:
    """Barycentre on the sphere: the weighted mean direction, corrected once in its tangent plane, at the weighted mean length.

    With units u_i, weights w_i and the mean direction m = sum(w_i u_i) / |sum(w_i u_i)|: T = sum(w_i (u_i - (u_i m) m)), the result is
    (cos|T| m + sin|T| T/|T|) sum(w_i |x_i|), of the deltas where there is a base. mergekit's formula.
    """
    import numpy as np

    if len(group.models) == 1:
        return Recipe("copy", copy=0)
    weights = np.array(weight) / (sum(weight) if normalize_weights else 1.0)
    products = group.products()
    norms = np.sqrt(products.diagonal())
    cosines = products / np.outer(norms + eps, norms + eps)
    length = math.sqrt(max(0.0, float(weights @ cosines @ weights)))
    if length < eps:
        if len(weights) == 2:
            return _combination(group, weights, "linear")
        raise InputError(
            f"the weighted directions of {group.name} cancel out", place="parameters", remedy="Give weights that do not balance exactly."
        )
    mean = weights / length  # coefficients of the units, as everything below
    tangent = weights - float(weights @ cosines @ mean) * mean
    angle = math.sqrt(max(0.0, float(tangent @ cosines @ tangent))) + eps
    found = (mean * math.cos(angle) + tangent * (math.sin(angle) / angle)) * float(norms @ weights)
    return _combination(group, found / (norms + eps), "sphere")


@method(base="input")
def karcher(group: Group, *, max_iter: Count = 10, tol: Scheduled = 1e-5) -> Recipe:
    """The Karcher mean of all parents, a base included: the unit vector whose squared angles to theirs sum to the least, times mean length.

    Fixed-point iteration m <- exp_m(mean of log_m(u_i)) (Karcher 1977; Grove & Karcher 1973), up to `max_iter` times or until the step is
    below `tol`.
    """
    import numpy as np

    if len(group.all) == 1:
        return Recipe("copy", copy=group.index(group.all[0]))
    products = group.products(base_is_input=True)
    norms = np.sqrt(products.diagonal())
    used = np.flatnonzero(norms > tol)
    if not len(used):
        return _combination(group, np.zeros(len(norms)), "sphere", base_is_input=True)
    cosines, share = products[np.ix_(used, used)] / np.outer(norms[used], norms[used]), 1 / len(used)
    mean = np.full(len(used), share)
    length = math.sqrt(max(0.0, float(mean @ cosines @ mean)))
    mean = mean / length if length >= tol else np.eye(len(used))[0]
    for _ in range(max_iter):
        dots = np.clip(cosines @ mean, -1, 1)
        angles = np.arccos(dots)
        pulls = np.where(angles < tol, 0.0, share * angles / np.sin(np.where(angles < tol, 1.0, angles)))
        tangent = pulls - float(pulls @ dots) * mean
        step = math.sqrt(max(0.0, float(tangent @ cosines @ tangent)))
        if step < tol:
            break
        mean = math.cos(step) * mean + math.sin(step) / step * tangent
        mean /= math.sqrt(float(mean @ cosines @ mean))
    coefficients = np.zeros(len(norms))
    coefficients[used] = mean / norms[used] * norms.mean()
    return _combination(group, coefficients, "sphere", base_is_input=True)


@method(models=(2, None), rows=True)
def model_stock(group: Group, *, filter_wise: bool = False) -> Recipe:
    """Between the base and the mean of n models: t mean + (1 - t) base, t = n c / (1 + (n - 1) c), c the mean cosine between their deltas.

    Jang et al. 2024 (arXiv 2403.19522, eq. 5); for each tensor, or with `filter_wise` for each row. t = 0 where 1 + (n - 1) c is 0.
    """
    import numpy as np

    along: Along = "rows" if filter_wise else "tensor"
    count = len(group.models)
    products = group.products(along)
    cosines = [
        np.clip(products[i, j] / np.maximum(np.sqrt(products[i, i] * products[j, j]), 1e-6), -1, 1) for i in range(count) for j in range(i)
    ]
    cosine = np.mean(cosines, axis=0)
    divisor = 1 + (count - 1) * cosine
    singular = np.abs(divisor) < 1e-6
    t = np.where(singular, 0.0, count * cosine / np.where(singular, 1.0, divisor))

    def combine(parts: Parts) -> torch.Tensor:
        mean = parts.of(group.models[0])
        for model in group.models[1:]:
            mean.add_(parts.of(model))
        return parts.base().lerp_(mean.div_(count), parts.spread(t, along))

    return Recipe("stock", combine)


@method(models=(1, 1))
def nearswap(group: Group, *, t: Scheduled) -> Recipe:
    """The model where it is near the base, ever less of it further away: base + min(1, t / |model - base|) (model - base).

    alchemonaut 2024 (QuartetAnemoi-70B-t0.0001); distances below 1e-6 count as 1e-6, as in mergekit.
    """

    def combine(parts: Parts) -> torch.Tensor:
        base, model = (parts.of(source) for source in group.all)
        delta = model.sub_(base)
        share = delta.abs().clamp_(min=1e-6).reciprocal_().mul_(t).clamp_(0, 1)
        return base.addcmul_(delta, share)

    return Recipe("near", combine)


@method(base="none", models=(1, 1))
def passthrough(group: Group, *, scale: PerModel = (1.0,)) -> Recipe:
    """The one model as it is, times `scale`."""
    (model,), (factor,) = group.models, scale
    return Recipe("copy", copy=0) if factor == 1 else Recipe("scaled", lambda parts: parts.of(model).mul_(factor))


def _combination(group: Group, coefficients: np.ndarray, branch: str, *, base_is_input: bool = False) -> Recipe:
    """sum(c_i m_i), of the deltas where there is a base that is their origin."""
    weights, sources = [float(c) for c in coefficients], group.all if base_is_input else group.models
    if group.base is not None and not base_is_input:  # base + sum(c_i (m_i - base))
        weights, sources = [1 - sum(weights), *weights], group.all

    def combine(parts: Parts) -> torch.Tensor:
        result = parts.of(sources[0]).mul_(weights[0])
        for source, w in zip(sources[1:], weights[1:], strict=True):
            result.add_(parts.of(source), alpha=w)
        return result

    return Recipe(branch, combine)
