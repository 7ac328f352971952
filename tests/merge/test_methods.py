"""Methods beside the paper's, each against its formula in fp64, written without parts; and what only ours promise."""

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_stream import Trio, equal, load, merge, near

from eutectic.artifacts import Artifact
from eutectic.errors import InputError
from eutectic.merge import group
from eutectic.merge.methods import find
from eutectic.merge.recipe import METHODS

Tensors = list[torch.Tensor]


def wide(trio: Trio) -> Callable[[str], Tensors]:
    loaded = [load(model) for model in trio]
    return lambda name: [tensors[name].double() for tensors in loaded]


def arc(a: torch.Tensor, b: torch.Tensor, t: float, dims: list[int]) -> torch.Tensor:
    """Interpolation along the arc, of the vectors that `dims` span."""
    dot, norms = (a * b).sum(dims, keepdim=True), (a.square().sum(dims, keepdim=True) * b.square().sum(dims, keepdim=True)).sqrt()
    angle = (dot / norms).acos()
    return (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()


@pytest.mark.parametrize("with_base", [True, False])
@pytest.mark.parametrize(("flatten", "by_row"), [(True, False), (False, False), (False, True)])
def test_nuslerp_goes_along_the_arc_of_tensors_rows_or_columns(trio: Trio, with_base: bool, flatten: bool, by_row: bool) -> None:
    parents = wide(trio)

    def right(name: str) -> torch.Tensor:
        base, one, two = parents(name)
        dims = list(range(one.ndim)) if flatten else [0 if by_row else -1]
        return base + arc(one - base, two - base, 0.75, dims) if with_base else arc(one, two, 0.75, dims)

    own = [{"weight": 0.5}, {"weight": 1.5}]
    found = merge("nuslerp", trio[0] if with_base else None, list(trio[1:]), models=own, nuslerp_flatten=flatten, nuslerp_row_wise=by_row)
    near(found, right, ulps=16)


def test_multislerp_has_the_mean_direction_and_the_mean_length(trio: Trio) -> None:
    parents, weights = wide(trio), (0.2, 0.5, 0.3)

    def right(name: str) -> torch.Tensor:
        mean = sum(w * each / each.norm() for w, each in zip(weights, parents(name), strict=True))
        return mean / mean.norm() * sum(w * each.norm() for w, each in zip(weights, parents(name), strict=True))

    near(merge("multislerp", None, list(trio), models=[{"weight": w} for w in weights]), right)


def test_multislerp_refuses_directions_that_cancel_out(checkpoint: Callable[..., Artifact]) -> None:
    models = [checkpoint(f"m{i}", {"x": torch.tensor(values)}) for i, values in enumerate(([2.0, 0.0], [-3.0, 0.0], [0.0, 0.0]))]
    with pytest.raises(InputError, match="cancel out"):
        merge("multislerp", None, models)


def test_the_karcher_mean_is_where_the_pulls_of_all_parents_balance(trio: Trio) -> None:
    """The gradient of the sum of squared angles is zero there: sum log_m(u_i) = 0."""
    parents = wide(trio)
    for name, tensor in merge("karcher", None, list(trio), max_iter=50, tol=1e-9).items():
        mean = tensor.double() / tensor.double().norm()
        pull = torch.zeros_like(mean)
        for each in parents(name):
            unit = each / each.norm()
            cosine = (unit * mean).sum()
            pull += cosine.acos() / cosine.acos().sin() * (unit - cosine * mean)
        assert pull.norm() < 1e-5
        assert tensor.double().norm() == pytest.approx(sum(float(each.norm()) for each in parents(name)) / 3, rel=1e-6)


@pytest.mark.parametrize("by_row", [True, False])
def test_model_stock_is_the_papers_ratio(trio: Trio, by_row: bool) -> None:
    parents = wide(trio)

    def right(name: str) -> torch.Tensor:
        base, one, two = parents(name)
        dims = [-1] if by_row else list(range(base.ndim))
        a, b = one - base, two - base
        cosine = (a * b).sum(dims, keepdim=True) / (a.square().sum(dims, keepdim=True) * b.square().sum(dims, keepdim=True)).sqrt()
        t = 2 * cosine / (1 + cosine)
        return t * (one + two) / 2 + (1 - t) * base

    near(merge("model_stock", trio[0], list(trio[1:]), filter_wise=by_row), right)


def test_nearswap_takes_what_is_near(trio: Trio) -> None:
    parents = wide(trio)

    def right(name: str) -> torch.Tensor:
        base, one, _ = parents(name)
        return base + (one - base) * (0.3 / (one - base).abs()).clamp(0, 1)

    near(merge("nearswap", trio[0], [trio[1]], t=0.3), right)


def test_passthrough_copies_or_scales(trio: Trio) -> None:
    assert equal(merge("passthrough", None, [trio[0]]), load(trio[0]))
    near(merge("passthrough", None, [trio[0]], scale=0.5), lambda name: wide(trio)(name)[0] * 0.5)


@pytest.mark.parametrize("elect", [False, True])
def test_breadcrumbs_drop_the_largest_and_the_smallest(trio: Trio, elect: bool) -> None:
    parents, density, gamma = wide(trio), 0.5, 0.1

    def trimmed(delta: torch.Tensor) -> torch.Tensor:
        size = delta.numel()
        order = delta.float().abs().flatten().argsort()
        first = size - int(density * size) - int(gamma * size)
        kept = torch.zeros_like(delta).flatten()
        kept[order[first : first + int(density * size)]] = 1
        return delta * kept.view_as(delta)

    def right(name: str) -> torch.Tensor:
        base, one, two = (each.float() for each in parents(name))
        deltas = torch.stack([trimmed((one - base).double()), trimmed((two - base).double())])
        if elect:
            deltas = deltas * (deltas.sign() == torch.where(deltas.sum(0) >= 0, 1.0, -1.0))
        return base.double() + deltas.sum(0)

    method = "breadcrumbs_ties" if elect else "breadcrumbs"
    near(merge(method, trio[0], list(trio[1:]), density=density, gamma=gamma), right)


@pytest.mark.parametrize("method", ["della", "della_linear"])
def test_della_keeps_by_rank_and_has_the_expectation(checkpoint: Callable[..., Artifact], method: str) -> None:
    rows, columns, density, epsilon = 4000, 64, 0.5, 0.3
    delta = torch.linspace(1, 2, columns).expand(rows, columns)
    base, model = checkpoint("zero", {"x": torch.zeros(rows, columns)}), checkpoint("model", {"x": delta})
    kept = merge(method, base, [model], density=density, epsilon=epsilon, rescale=False, seed=3)["x"] != 0
    wanted = density - epsilon + 2 * epsilon * torch.arange(columns).double() / (columns - 1)
    deviation = (wanted * (1 - wanted) / rows).sqrt()
    assert bool(((kept.double().mean(0) - wanted).abs() < 5 * deviation).all())
    found = merge(method, base, [model], density=density, epsilon=epsilon, seed=3)["x"]
    if method == "della_linear":  # `della` divides by the weights that agree, which undoes nothing for one model
        assert float((found.double().mean(0) / delta[0].double() - 1).abs().max()) < 5 * float((deviation / wanted).max())


def test_della_refuses_probabilities_outside_0_and_1(trio: Trio) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        merge("della", trio[0], [trio[1]], density=0.1, epsilon=0.2)


def test_consensus_keeps_what_two_models_need(trio: Trio) -> None:
    parents, tall = wide(trio), 0.5

    def right(name: str) -> torch.Tensor:
        base, one, two = parents(name)
        deltas = torch.stack([one - base, two - base])
        needed = deltas.abs() >= tall * (deltas.sum(0) - deltas).abs()
        return base + 0.7 * deltas.sum(0) * (needed.sum(0) >= 2)

    near(merge("consensus", trio[0], list(trio[1:]), tall=tall, lambda_=0.7), right)


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_sce_selects_weighs_and_erases(trio: Trio, share: float) -> None:
    parents = wide(trio)

    def right(name: str) -> torch.Tensor:
        base, one, two = (each.float() for each in parents(name))
        deltas = torch.stack([one - base, two - base])
        if share < 1:
            spread = deltas.var(0, unbiased=False)
            border = spread.flatten().sort(descending=True).values[int(share * int(spread.count_nonzero())) - 1]
            deltas = deltas * (spread >= border)
        deltas = deltas.double()
        squares = deltas.square().flatten(1).mean(1)
        weights = (squares / squares.sum()).view(2, *[1] * (deltas.ndim - 1)) * (
            deltas.sign() == torch.where(deltas.sum(0) >= 0, 1.0, -1.0)
        )
        divisor = weights.sum(0)
        return base.double() + (deltas * weights).sum(0) / torch.where(divisor == 0, 1.0, divisor)

    near(merge("sce", trio[0], list(trio[1:]), select_topk=share), right)


def test_sce_weighs_small_deltas_too(checkpoint: Callable[..., Artifact]) -> None:
    """mergekit weighs models equally as soon as their mean squares sum to less than 1e-6, which those of real fine-tuning do."""
    base = checkpoint("base", {"x": torch.zeros(4)})
    one, two = checkpoint("one", {"x": torch.full((4,), 1e-5)}), checkpoint("two", {"x": torch.full((4,), 2e-5)})
    assert merge("sce", base, [one, two])["x"].tolist() == pytest.approx([1.8e-5] * 4)  # (1 x 1 + 4 x 2) / 5


@pytest.mark.parametrize("plus", [False, True])
def test_ram_averages_what_is_shared_and_keeps_what_is_alone(trio: Trio, plus: bool) -> None:
    parents, epsilon, r, alpha = wide(trio), 1.0, 0.4, 0.5

    def right(name: str) -> torch.Tensor:
        base, one, two = (each.float() for each in parents(name))
        deltas = torch.stack([one - base, two - base])
        moved = deltas.abs() > epsilon
        count = moved.sum(0)
        alone, shared = moved & (count == 1), moved & (count > 1)
        ratio = shared.flatten(1).sum(1) / alone.flatten(1).sum(1).clamp(min=1)
        factor = (1 + r * ratio.clamp(0, alpha) if plus else torch.ones(2)).view(2, *[1] * (deltas.ndim - 1))
        return base.double() + (deltas.double() * alone * factor + deltas.double() * shared / count.clamp(min=1)).sum(0)

    own: dict[str, Any] = {"r": r, "alpha": alpha} if plus else {}
    near(merge("ramplus_tl" if plus else "ram", trio[0], list(trio[1:]), epsilon=epsilon, **own), right)


def test_arcee_fusion_takes_the_models_important_elements(trio: Trio) -> None:
    base, one = load(trio[0]), load(trio[1])
    for name, tensor in merge("arcee_fusion", trio[0], [trio[1]]).items():
        p, q = one[name].softmax(-1) + 1e-8, base[name].softmax(-1) + 1e-8
        importance = (one[name] - base[name]).abs() * (p * (p / q).log()).sum(-1, keepdim=True)
        places = [int(share * (importance.numel() - 1)) for share in (0.25, 0.5, 0.75)]
        low, median, high = importance.flatten().sort().values[places]
        away = (importance - (median + 1.5 * (high - low))).abs() > 1e-6 * importance.max()  # rounding decides at the border
        right = torch.where(importance >= median + 1.5 * (high - low), one[name], base[name])
        assert torch.allclose(tensor[away], right[away], rtol=1e-6, atol=1e-7), name
        taken = int((tensor != base[name]).sum())
        assert taken < tensor.numel() / 3
        assert taken > 0 or tensor.ndim == 1  # of a small vector it may take nothing


TWO = ("slerp", "nearswap", "arcee_fusion")
SETTINGS: dict[str, dict[str, Any]] = {
    "slerp": {"t": 0.3},
    "nearswap": {"t": 0.1},
    "model_stock": {"filter_wise": True},
    "nuslerp": {"nuslerp_flatten": False},
    "sce": {"select_topk": 0.5},
    "ram": {"epsilon": 0.5},
    "ramplus_tl": {"epsilon": 0.5},
    **{name: {"density": 0.5} for name in ("ties", "dare_linear", "dare_ties", "della", "della_linear", "breadcrumbs", "breadcrumbs_ties")},
}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_threads_and_parts_do_not_change_a_method(monkeypatch: pytest.MonkeyPatch, trio: Trio, method: str) -> None:
    made = find(method)
    models = [trio[1]] if made.models[1] == 1 else list(trio[1:])
    base = None if made.base == "none" else trio[0]
    whole = merge(method, base, models, threads=1, **SETTINGS.get(method, {}))
    monkeypatch.setattr(group, "CHUNK", 72)  # three rows of 24
    monkeypatch.setattr(group, "BATCH", 3)
    found = [merge(method, base, models, threads=threads, **SETTINGS.get(method, {})) for threads in (1, 3)]
    assert equal(*found)
    if not made.random:
        near(found[0], whole.__getitem__, ulps=4)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_parents_that_are_equal_stay_as_they_are(trio: Trio, method: str) -> None:
    """Merging a model with itself gives that model, up to rounding: no method may leave it."""
    made = find(method)
    base = None if made.base == "none" else trio[0]
    models = [trio[0]] * (1 if made.models[1] == 1 else 2)
    found = merge(method, base, models, **SETTINGS.get(method, {}))
    near(found, lambda name: load(trio[0])[name], ulps=4)
    assert all(math.isfinite(float(tensor.sum())) for tensor in found.values())


def test_an_installed_package_adds_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trio: Trio) -> None:
    (tmp_path / "half_way.py").write_text(
        "from eutectic.merge.recipe import Recipe, method\n\n\n"
        "@method(models=(1, 1))\n"
        "def half_way(group, *, share: 'Scheduled' = 0.5):\n"
        "    return Recipe('half', lambda parts: parts.base().add_(parts.delta(0), alpha=share))\n"
    )
    told = tmp_path / "half_way-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: half-way\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[eutectic.merge_methods]\nhalf_way = half_way\n")
    with pytest.raises(InputError, match="no merge method 'half_way'"):
        find("half_way")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    try:
        parents = wide(trio)
        near(merge("half_way", trio[0], [trio[1]], share=0.25), lambda name: parents(name)[0] * 0.75 + parents(name)[1] * 0.25)
    finally:
        METHODS.pop("half_way", None)
