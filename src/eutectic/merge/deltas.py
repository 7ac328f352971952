"""Methods that add deltas d_i = m_i - base to the base: trimmed or not, with elected signs or not. Facts and formulas: docs/methods.md.

One frame (`_add_deltas`) does what they share; a method says which elements of a delta stay (a `Trim`) and whether signs are elected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eutectic.merge.recipe import Count, PerModel, Recipe, Scheduled, Trim, method

if TYPE_CHECKING:
    import torch

    from eutectic.merge.group import Group, Parts


SMALLEST_SUM = 1e-7  # of magnitudes; where less is left of a delta there is nothing to scale


@method()
def task_arithmetic(group: Group, *, weight: PerModel = (1.0,), normalize: bool = False, lambda_: Scheduled = 1.0) -> Recipe:
    """Base + lambda sum(w_i d_i), d_i = m_i - base (Ilharco et al. 2022, arXiv 2212.04089); `normalize` divides by sum(w_i)."""
    return _add_deltas(group, weight, lambda_, [None] * len(weight), normalize=normalize, elect=False)


@method()
def ties(
    group: Group,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (1.0,),
    normalize: bool = True,
    rescale: bool = False,
    lambda_: Scheduled = 1.0,
) -> Recipe:
    """Trim, elect signs, merge (Yadav et al. 2023, arXiv 2306.01708), tensor by tensor.

    Of each delta the `density` share of largest magnitude stays (equal magnitudes stay or go together); the sign with the larger weighted
    sum wins; base + lambda sum(w_i d_i) / sum(w_i) over the deltas that agree with it. `normalize: false` leaves out the division,
    `rescale: true` gives a trimmed delta the sum of magnitudes it had.
    """
    keep = [group.largest(i, share) if share < 1 else None for i, share in enumerate(density)]
    return _add_deltas(group, weight, lambda_, _rescaled(group, keep) if rescale else keep, normalize=normalize, elect=True)


@method(random=True)
def dare_linear(
    group: Group,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (1.0,),
    normalize: bool = False,
    rescale: bool = True,
    lambda_: Scheduled = 1.0,
) -> Recipe:
    """Task arithmetic on randomly dropped deltas: each element stays with probability `density` and (`rescale`) is divided by it.

    DARE, Yu et al. 2023 (arXiv 2311.03099). The choice depends on the seed, the tensor's name and the parent's bytes alone.
    """
    return _add_deltas(group, weight, lambda_, _random(group, density, rescale=rescale), normalize=normalize, elect=False)


@method(random=True)
def dare_ties(
    group: Group,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (1.0,),
    normalize: bool = False,
    rescale: bool = True,
    lambda_: Scheduled = 1.0,
) -> Recipe:
    """As `dare_linear`, with the signs elected as in `ties`."""
    return _add_deltas(group, weight, lambda_, _random(group, density, rescale=rescale), normalize=normalize, elect=True)


def _random(group: Group, density: PerModel, *, rescale: bool) -> list[Trim | None]:
    return [group.random(i, share, rescale=rescale) if share < 1 else None for i, share in enumerate(density)]


@method(random=True, rows=True)
def della_linear(
    group: Group,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (1.0,),
    epsilon: PerModel = (0.15,),
    normalize: bool = False,
    rescale: bool = True,
    lambda_: Scheduled = 1.0,
) -> Recipe:
    """Task arithmetic on deltas dropped at random, small ones more often than large ones (MagPrune).

    DELLA, Deep et al. 2024 (arXiv 2406.11617, eq. 1-3): an element of rank r of n in its row stays with probability
    p = density - epsilon + 2 epsilon (r - 1) / (n - 1) and (`rescale`) is divided by p.
    """
    return _add_deltas(group, weight, lambda_, _ranked(group, density, epsilon, rescale=rescale), normalize=normalize, elect=False)


@method(random=True, rows=True)
def della(
    group: Group,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (1.0,),
    epsilon: PerModel = (0.15,),
    normalize: bool = True,
    rescale: bool = True,
    lambda_: Scheduled = 1.0,
) -> Recipe:
    """As `della_linear`, with the signs elected as in `ties`."""
    return _add_deltas(group, weight, lambda_, _ranked(group, density, epsilon, rescale=rescale), normalize=normalize, elect=True)


def _ranked(group: Group, density: PerModel, epsilon: PerModel, *, rescale: bool) -> list[Trim | None]:
    pairs = enumerate(zip(density, epsilon, strict=True))
    return [group.random_by_rank(i, share, spread, rescale=rescale) if share < 1 else None for i, (share, spread) in pairs]


@method()
def breadcrumbs(
    group: Group,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (1.0,),
    gamma: PerModel = (0.01,),
    normalize: bool = False,
    rescale: bool = False,
    lambda_: Scheduled = 1.0,
) -> Recipe:
    """Task arithmetic on deltas without their outliers and their small elements.

    Model Breadcrumbs, Davari & Belilovsky 2023 (arXiv 2312.06795): the `gamma` share of largest magnitude goes, and of the rest the
    largest stay, a `density` share of all. Equal magnitudes at a border stay. `rescale` as in `ties`.
    """
    return _add_deltas(group, weight, lambda_, _between(group, density, gamma, rescale=rescale), normalize=normalize, elect=False)


@method()
def breadcrumbs_ties(
    group: Group,
    *,
    weight: PerModel = (1.0,),
    density: PerModel = (1.0,),
    gamma: PerModel = (0.01,),
    normalize: bool = False,
    rescale: bool = False,
    lambda_: Scheduled = 1.0,
) -> Recipe:
    """As `breadcrumbs`, with the signs elected as in `ties`."""
    return _add_deltas(group, weight, lambda_, _between(group, density, gamma, rescale=rescale), normalize=normalize, elect=True)


def _between(group: Group, density: PerModel, gamma: PerModel, *, rescale: bool) -> list[Trim | None]:
    keep = [group.middle(i, share, top) if share < 1 else None for i, (share, top) in enumerate(zip(density, gamma, strict=True))]
    return _rescaled(group, keep) if rescale else keep


def _rescaled(group: Group, trims: list[Trim | None]) -> list[Trim | None]:
    """Trims that give what is left the sum of magnitudes that the whole delta had (fp64 sums over the tensor)."""
    return [None if trim is None else _rescaled_one(group, i, trim) for i, trim in enumerate(trims)]


def _rescaled_one(group: Group, model: int, trim: Trim) -> Trim:
    def whole(parts: Parts) -> torch.Tensor:
        return parts.delta(model).abs_()

    def left(parts: Parts) -> torch.Tensor:
        delta = parts.delta(model)
        trim(parts, delta)
        return delta.abs_()

    before, after = (group.sum(measure) for measure in (whole, left))
    factor = before / after if min(before, after) >= SMALLEST_SUM else 1.0

    def rescaled(parts: Parts, delta: torch.Tensor) -> None:
        trim(parts, delta)
        delta.mul_(factor)

    return rescaled


@method()
def consensus(
    group: Group,  # noqa: ARG001 - the shape of every method
    *,
    weight: PerModel = (1.0,),
    tall: PerModel = (0.4,),
    agreement: Count = 2,
    lambda_: Scheduled = 1.0,
) -> Recipe:
    """Consensus task arithmetic: the sum of deltas where at least `agreement` models need it, the base elsewhere.

    Wang et al. 2024 (arXiv 2405.07813, eq. 4-6): with d = sum(w_i d_i), model i needs an element where |w_i d_i| >= tall |d - w_i d_i|.
    """
    used = [i for i, w in enumerate(weight) if w != 0]
    if lambda_ == 0 or len(used) < agreement:
        return Recipe("copy", copy=-1)

    def combine(parts: Parts) -> torch.Tensor:
        every = parts.deltas()
        deltas = [every[i].mul_(weight[i]) for i in used]
        total = summed([deltas[0].clone(), *deltas[1:]])
        votes = summed([total.sub(delta).abs_().mul_(tall[i]).le_(delta.abs_()) for i, delta in zip(used, deltas, strict=True)])
        return parts.base().add_(total.mul_(votes.ge_(agreement)), alpha=lambda_)

    return Recipe("consensus", combine)


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
        mixed = elected(deltas, [weight[i] for i in used], signs(deltas), normalize=normalize) if elect else summed(deltas)
        if not elect and abs(total) >= 1e-8 and total != 1:
            mixed.div_(total)
        return base.add_(mixed.mul_(lambda_) if lambda_ != 1 else mixed)

    return Recipe("elected" if elect else "delta", combine)


def summed(deltas: list[torch.Tensor]) -> torch.Tensor:
    """Sum of the deltas, in the first one's memory."""
    result = deltas[0]
    for delta in deltas[1:]:
        result.add_(delta)
    return result


def signs(deltas: list[torch.Tensor]) -> torch.Tensor:
    """1 or -1, the sign of the sum of the deltas at each element; 1 where it is zero."""
    total = summed([deltas[0].clone(), *deltas[1:]])
    return total.new_ones(()).copysign(total)


def elected(deltas: list[torch.Tensor], weights: list[float], sign: torch.Tensor, *, normalize: bool) -> torch.Tensor:
    """Sum of the weighted deltas of the elected `sign`; `normalize` divides by the weights of those that agree with it.

    The sum is s sum(relu(s d_i)): no masks, which are slow. The deltas' memory is used up.
    """
    result, divisor = None, None
    for delta, w in zip(deltas, weights, strict=True):
        agreeing = delta.mul_(sign).relu_()
        result = agreeing.clone() if result is None else result.add_(agreeing)
        if normalize:
            share = agreeing.sign_().mul_(w)
            divisor = share if divisor is None else divisor.add_(share)
    assert result is not None
    result.mul_(sign)
    if divisor is None:
        return result
    if min(weights) > 0:  # then the divisor is 0 only where nothing is summed
        return result.div_(divisor.clamp_(min=min(weights) / 2))
    return result.div_(divisor.masked_fill_(divisor == 0, 1))
