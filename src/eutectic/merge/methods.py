"""Merge methods: one function each, whose keyword-only parameters are the schema that users meet.

A method looks at one tensor of all parents (a `Group`), measures what it needs over the whole tensor, and returns a `Recipe` that
makes any part of the result. All arithmetic is fp32 whatever the storage type, sums over a tensor are fp64. A parameter annotated
`Scheduled` may follow a schedule over depth, `PerModel` may in addition differ from model to model; the others are plain settings.
`base` is where t = 0 lies and where deltas (model - base) begin. Papers, formulas and tests: docs/methods.md.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from eutectic.errors import InputError

if TYPE_CHECKING:  # the schema is read by `check` and `plan`, which should not wait for torch
    import torch

    from eutectic.merge.group import Group, Parts

Scheduled: TypeAlias = float
PerModel: TypeAlias = tuple[float, ...]
Scale: TypeAlias = Literal["raw", "geometric"]
Trim: TypeAlias = "Callable[[Parts, torch.Tensor], None]"  # sets what it drops of a delta to zero, in place
PARALLEL = 1e-7  # radians: below this sin(angle) has no digits left to divide by, and an arc is a line
OUTPUT_TYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Recipe:
    """How a part of the merged tensor is made: `combine(parts)` in fp32, which may reuse the parts' memory.

    `copy` names the one parent that the result equals bit for bit (an index into the models, -1 for the base); then nothing is computed.
    `angle` (radians) and `norms` stand here when the method measured them.
    """

    branch: str
    combine: Callable[[Parts], torch.Tensor] | None = None
    copy: int | None = None
    angle: float | None = None
    norms: tuple[float, float] | None = None


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


def task_arithmetic(group: Group, *, weight: PerModel = (1.0,), normalize: bool = False, lambda_: Scheduled = 1.0) -> Recipe:
    """Base + lambda sum(w_i d_i), d_i = m_i - base (Ilharco et al. 2022, arXiv 2212.04089); `normalize` divides by sum(w_i)."""
    return _add_deltas(group, weight, lambda_, [None] * len(weight), normalize=normalize, elect=False)


def ties(
    group: Group, *, weight: PerModel = (1.0,), density: PerModel = (1.0,), normalize: bool = True, lambda_: Scheduled = 1.0
) -> Recipe:
    """Trim, elect signs, merge (Yadav et al. 2023, arXiv 2306.01708), tensor by tensor.

    Of each delta the `density` share of largest magnitude stays (equal magnitudes stay or go together); the sign with the larger weighted
    sum wins; base + lambda sum(w_i d_i) / sum(w_i) over the deltas that agree with it. `normalize: false` leaves out the division.
    """
    keep = [group.largest(i, share) if share < 1 else None for i, share in enumerate(density)]
    return _add_deltas(group, weight, lambda_, keep, normalize=normalize, elect=True)


def dare_linear(
    group: Group, *, weight: PerModel = (1.0,), density: PerModel = (1.0,), normalize: bool = False, lambda_: Scheduled = 1.0
) -> Recipe:
    """Task arithmetic on randomly dropped deltas: each element stays with probability `density` and is divided by it.

    DARE, Yu et al. 2023 (arXiv 2311.03099). The choice depends on the seed, the tensor's name and the parent's bytes alone.
    """
    return _add_deltas(group, weight, lambda_, _random(group, density), normalize=normalize, elect=False)


def dare_ties(
    group: Group, *, weight: PerModel = (1.0,), density: PerModel = (1.0,), normalize: bool = False, lambda_: Scheduled = 1.0
) -> Recipe:
    """As `dare_linear`, with the signs elected as in `ties`."""
    return _add_deltas(group, weight, lambda_, _random(group, density), normalize=normalize, elect=True)


def _random(group: Group, density: PerModel) -> list[Trim | None]:
    return [group.random(i, share) if share < 1 else None for i, share in enumerate(density)]


def _add_deltas(group: Group, weight: PerModel, lambda_: float, trims: list[Trim | None], *, normalize: bool, elect: bool) -> Recipe:
    """The frame of all delta methods: trim each delta in place, weigh, elect signs, sum, add lambda times that to the base."""
    used = [i for i, w in enumerate(weight) if w != 0]
    if lambda_ == 0 or not used:
        return Recipe("copy", copy=-1)
    total = group.float32_sum(list(weight)) if normalize else 1.0

    def combine(parts: Parts) -> torch.Tensor:
        base = parts.base()
        deltas = [parts.of(group.models[i]).sub_(base) for i in used]
        for i, delta in zip(used, deltas, strict=True):
            if (trim := trims[i]) is not None:
                trim(parts, delta)
            delta.mul_(weight[i])
        mixed = _elected(deltas, [weight[i] for i in used], normalize=normalize) if elect else _summed(deltas)
        if not elect and abs(total) >= 1e-8 and total != 1:
            mixed.div_(total)
        return base.add_(mixed.mul_(lambda_) if lambda_ != 1 else mixed)

    return Recipe("elected" if elect else "delta", combine)


def _summed(deltas: list[torch.Tensor]) -> torch.Tensor:
    result = deltas[0]
    for delta in deltas[1:]:
        result.add_(delta)
    return result


def _elected(deltas: list[torch.Tensor], weights: list[float], *, normalize: bool) -> torch.Tensor:
    """Sum of the weighted deltas whose sign is that of their sum (plus where it is zero); `normalize` divides by the weights summed.

    With s = 1 or -1 the elected sign, the sum is s sum(relu(s d_i)): no masks, which are slow.
    """
    total = _summed([deltas[0].clone(), *deltas[1:]])
    elected = total.new_ones(()).copysign(total)
    result, divisor = None, None
    for delta, w in zip(deltas, weights, strict=True):
        agreeing = delta.mul_(elected).relu_()
        result = agreeing.clone() if result is None else result.add_(agreeing)
        if normalize:
            share = agreeing.sign_().mul_(w)
            divisor = share if divisor is None else divisor.add_(share)
    assert result is not None
    result.mul_(elected)
    if divisor is None:
        return result
    if min(weights) > 0:  # then the divisor is 0 only where nothing is summed
        return result.div_(divisor.clamp_(min=min(weights) / 2))
    return result.div_(divisor.masked_fill_(divisor == 0, 1))


METHODS: Mapping[str, Callable[..., Recipe]] = {
    function.__name__: function for function in (linear, slerp, task_arithmetic, ties, dare_linear, dare_ties)
}
INTERPOLATIONS = ("slerp",)  # always between the base and one model
NEED_BASE = ("slerp", "task_arithmetic", "ties", "dare_linear", "dare_ties")
RANDOM = ("dare_linear", "dare_ties")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method as users write it."""

    name: str
    kind: Literal["Scheduled", "PerModel", "bool", "choice"]
    default: Any  # None: none, or only used when given
    required: bool
    choices: tuple[str, ...] = ()

    @property
    def keyword(self) -> str:
        """Its name in the function."""
        return "lambda_" if self.name == "lambda" else self.name


def schema(method: str) -> dict[str, Parameter]:
    """The parameters of a method, read from its signature; raises `InputError` for an unknown method."""
    if method not in METHODS:
        raise InputError(f"there is no merge method {method!r}", place="method", remedy=f"Known methods: {', '.join(METHODS)}.")
    found = {}
    for keyword, parameter in inspect.signature(METHODS[method]).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            kind = str(parameter.annotation).removesuffix(" | None")
            required = parameter.default is inspect.Parameter.empty
            default = None if required else parameter.default[0] if kind == "PerModel" else parameter.default
            choices = get_args(Scale) if kind == "Scale" else ()
            name = keyword.removesuffix("_")
            found[name] = Parameter(name, "choice" if choices else kind, default, required, choices)  # type: ignore[arg-type]
    return found
