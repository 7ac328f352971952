"""Methods that choose, element by element or row by row, which models' deltas count. Facts and formulas: docs/methods.md."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from eutectic.merge.deltas import elected, signs, summed
from eutectic.merge.recipe import Recipe, Scheduled, method

if TYPE_CHECKING:
    import torch

    from eutectic.merge.group import Group, Parts


@method()
def sce(group: Group, *, select_topk: Scheduled = 1.0) -> Recipe:
    """Select, calculate, erase (FuseChat, Wan et al. 2024, arXiv 2408.07990, sec. 3.3), tensor by tensor.

    Of the elements whose deltas differ between the models the `select_topk` share of largest variance stays; each model weighs as much as
    the mean square of what stays of its delta; of each element the deltas against the sign of their sum are erased.
    """
    border = 0.0
    if select_topk < 1:

        def places(differing: int) -> list[int]:
            keep = int(select_topk * differing)
            return [group.elements - keep] if keep else []

        found = group.ordered(_spread, places)
        if not found:
            return Recipe("copy", copy=-1)
        (border,) = found
    squares = group.total(partial(_squares, border=border)).tolist()
    total = sum(squares)
    weights = [square / total for square in squares] if total > 0 else [1 / len(squares)] * len(squares)

    def combine(parts: Parts) -> torch.Tensor:
        deltas = _selected(parts, border)
        sign = signs(deltas)
        mixed = elected([delta.mul_(w) for delta, w in zip(deltas, weights, strict=True)], weights, sign, normalize=True)
        return parts.base().add_(mixed)

    return Recipe("selected", combine)


def _spread(parts: Parts) -> torch.Tensor:
    return _variance(parts.deltas())


def _variance(deltas: list[torch.Tensor]) -> torch.Tensor:
    """Population variance of each element over the models' deltas."""
    mean = summed([deltas[0].clone(), *deltas[1:]]).div_(len(deltas))
    return summed([delta.sub(mean).square_() for delta in deltas]).div_(len(deltas))


def _selected(parts: Parts, border: float) -> list[torch.Tensor]:
    """Deltas, zero where the variance lies below the border."""
    deltas = parts.deltas()
    if border > 0:
        stays = _variance(deltas).ge_(border)
        deltas = [delta.mul_(stays) for delta in deltas]
    return deltas


def _squares(parts: Parts, border: float) -> torch.Tensor:
    """Sum of squares `[models]` of what stays of each delta, fp64."""
    import torch

    wide = [delta.double() for delta in _selected(parts, border)]
    return torch.stack([delta.dot(delta) for delta in wide])


@method()
def ram(group: Group, *, epsilon: Scheduled = 1e-5) -> Recipe:
    """The mean of the deltas over the models that moved an element by more than `epsilon`; one that only one model moved stays whole.

    Reinforced Agent Merging (arXiv 2601.13572).
    """
    return _shared(epsilon, [1.0] * len(group.models))


@method()
def ramplus_tl(group: Group, *, r: Scheduled = 0.1, alpha: Scheduled = 0.2, epsilon: Scheduled = 1e-5) -> Recipe:
    """As `ram`, with a model's own elements scaled by 1 + r min(alpha, shared / own), its numbers of elements in this tensor.

    Reinforced Agent Merging Plus, tensor by tensor (arXiv 2601.13572); it makes up for what averaging takes from the shared ones.
    """
    counts = group.total(partial(_own_and_shared, epsilon=epsilon)).tolist()
    own, shared = counts[: len(group.models)], counts[len(group.models) :]
    ratios = [s / max(o, epsilon) for o, s in zip(own, shared, strict=True)]
    return _shared(epsilon, [1 + r * min(alpha, max(0.0, ratio)) for ratio in ratios])


def _moved(parts: Parts, epsilon: float) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Deltas, whether each element moved (1 or 0), and by how many models."""
    deltas = parts.deltas()
    moved = [delta.abs().gt_(epsilon) for delta in deltas]
    return deltas, moved, summed([moved[0].clone(), *moved[1:]])


def _own_and_shared(parts: Parts, epsilon: float) -> torch.Tensor:
    """Numbers of elements that each model alone moved, then that it moved together with others, `[2 models]`, fp64."""
    import torch

    _, moved, count = _moved(parts, epsilon)
    together = count.sub_(1).clamp(0, 1)
    alone = count.abs_().neg_().add_(1).clamp_(min=0)
    return torch.stack([one.dot(where) for where in (alone, together) for one in moved]).double()  # exact: a part has less than 2^24


def _shared(epsilon: float, own: list[float]) -> Recipe:
    def combine(parts: Parts) -> torch.Tensor:
        deltas, moved, count = _moved(parts, epsilon)
        mixed = summed([delta.mul_(one) for delta, one in zip(deltas, moved, strict=True)]).div_(count.clamp(min=1))
        for one, factor in zip(moved, own, strict=True):
            if factor != 1:  # where a model is alone, the sum is its own delta
                mixed.mul_(one.mul_(count == 1).mul_(factor - 1).add_(1))
        return parts.base().add_(mixed)

    return Recipe("shared", combine)


@method(models=(1, 1), rows=True)
def arcee_fusion(group: Group) -> Recipe:
    """The model's elements where they matter, the base's elsewhere.

    Importance is |model - base| times the row's KL divergence between the softmax of the model's row and of the base's; what reaches
    median + 1.5 (Q3 - Q1) of it is taken (Arcee AI 2024). The quartiles are exact; mergekit draws a million elements of a larger tensor.
    """
    import torch

    divergence = torch.cat(list(group.mapped(_divergence))).numpy()

    def importance(parts: Parts) -> torch.Tensor:
        return parts.delta(0).abs_().mul_(parts.spread(divergence, "rows"))

    low, median, high = group.ordered(importance, lambda _: [int(q * (group.elements - 1)) for q in (0.25, 0.5, 0.75)])
    border = median + 1.5 * (high - low)

    def combine(parts: Parts) -> torch.Tensor:
        taken = importance(parts).ge_(border)
        return parts.base().addcmul_(parts.delta(0), taken)

    return Recipe("fused", combine)


def _divergence(parts: Parts) -> torch.Tensor:
    """Divergence of each row, fp32; never negative, as rounding could make that of two like rows."""
    base, model = (parts.of(source).view(-1, parts.group.row) for source in parts.group.all)
    p, q = model.softmax(-1).add_(1e-8), base.softmax(-1).add_(1e-8)
    return p.mul(p.div(q).log_()).sum(-1).clamp_(min=0)
