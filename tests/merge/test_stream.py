"""The engine with every method: closed forms in fp64, invariants, unwritten parents, and each error."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_tensors import LAYERS, NAMES, random_tensors

from eutectic.artifacts import Artifact
from eutectic.context import Context
from eutectic.errors import InputError, WorkError
from eutectic.fingerprint import digest_file
from eutectic.merge import group, stream
from eutectic.merge.schedule import depth, value_at
from eutectic.models import loading
from eutectic.models.checkpoint import SINGLE, Writer, open_checkpoint
from eutectic.specs.steps import MergeStep

Trio = tuple[Artifact, Artifact, Artifact]
PAPER = [{"filter": "self_attn", "value": [0, 0.5, 0.3, 0.7, 1]}, {"filter": "mlp", "value": [1, 0.5, 0.7, 0.3, 0]}, 0.5]
QUERY = "model.layers.0.self_attn.q_proj.weight"


def load(artifact: Artifact) -> dict[str, torch.Tensor]:
    return dict(open_checkpoint(artifact.path).tensors())


def merge(
    method: str, base: Artifact | None, parents_: list[Artifact], /, *, threads: int = 2, seed: int = 0, **parameters: Any
) -> dict[str, torch.Tensor]:
    step = MergeStep(method=method, seed=seed, parameters={name.removesuffix("_"): value for name, value in parameters.items()})
    parents = {"base": (base,) if base else (), "models": tuple(parents_)}
    return dict(stream.tensors(step, parents, Context(threads=threads)))


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a)


def near(found: dict[str, torch.Tensor], wanted: Callable[[str], torch.Tensor], ulps: float = 4) -> None:
    """Within a few fp32 ulps of the tensor's largest element of a result computed in fp64."""
    for name, tensor in found.items():
        right = wanted(name).double()
        assert (tensor.double() - right).abs().max() <= ulps * 2**-24 * right.abs().max() * 2, name


def slerp64(a: torch.Tensor, b: torch.Tensor, t: float, scale: str) -> torch.Tensor:
    a, b = a.double(), b.double()
    angle = math.acos(float((a * b).sum() / a.norm() / b.norm()))
    one, two = math.sin((1 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
    if scale == "raw":
        return one * a + two * b
    return (one * a / a.norm() + two * b / b.norm()) * a.norm() ** (1 - t) * b.norm() ** t


# closed forms


@pytest.mark.parametrize("t", [0.25, 0.5, 1.25, -0.5])
def test_linear_is_the_formula_also_beyond_its_ends(trio: Trio, t: float) -> None:
    base, one, _ = trio
    a, b = load(base), load(one)
    near(merge("linear", base, [one], t=t), lambda name: (1 - t) * a[name].double() + t * b[name].double())


def test_linear_of_several_is_their_weighted_mean(trio: Trio) -> None:
    tensors = [load(model) for model in trio]
    weights = (1, 2, 5)
    found = merge("linear", None, list(trio), models=[{"weight": weight} for weight in weights])
    near(found, lambda name: sum(w * each[name].double() for w, each in zip(weights, tensors, strict=True)) / 8)
    near(merge("linear", None, list(trio), weight=2, normalize=False), lambda name: 2 * sum(each[name].double() for each in tensors))


def test_the_base_of_an_average_is_not_mixed_in(trio: Trio) -> None:
    base, one, two = trio
    assert equal(merge("linear", base, [one, two]), merge("linear", None, [one, two]))


@pytest.mark.parametrize("scale", ["raw", "geometric"])
def test_slerp_is_the_formula_with_the_papers_schedule(trio: Trio, scale: str) -> None:
    base, one, _ = trio
    a, b = load(base), load(one)
    near(
        merge("slerp", base, [one], t=PAPER, scale=scale),
        lambda name: slerp64(a[name], b[name], value_at(PAPER, name, depth(name, LAYERS)) or 0.0, scale),
    )


def test_geometric_slerp_keeps_the_geometric_mean_of_the_norms(trio: Trio) -> None:
    base, one, _ = trio
    a, b = load(base), load(one)
    for name, tensor in merge("slerp", base, [one], t=0.5, scale="geometric").items():
        assert tensor.norm() == pytest.approx(math.sqrt(a[name].norm() * b[name].norm()), rel=1e-6)


def test_slerp_of_siblings_at_half_is_linear_over_cos_of_half_the_angle(checkpoint: Callable[..., Artifact], trio: Trio) -> None:
    base = trio[0]
    sibling = checkpoint("sibling", random_tensors(9, near=load(base)))
    a, b = load(base), load(sibling)
    found = merge("slerp", base, [sibling], t=0.5)
    for name, tensor in found.items():
        cosine = float((a[name].double() * b[name].double()).sum() / a[name].double().norm() / b[name].double().norm())
        assert cosine > 0.999
        expected = (a[name].double() + b[name].double()) / 2 / math.cos(math.acos(cosine) / 2)
        assert torch.allclose(tensor.double(), expected, rtol=3e-7, atol=1e-9)


@pytest.mark.parametrize(("normalize", "strength"), [(False, 1.0), (False, 0.5), (True, 1.0)])
def test_task_arithmetic_adds_weighted_deltas(trio: Trio, normalize: bool, strength: float) -> None:
    base, one, two = trio
    a, b, c = (load(model) for model in trio)
    factor = strength / (0.7 + 0.4 if normalize else 1)
    found = merge("task_arithmetic", base, [one, two], models=[{"weight": 0.7}, {"weight": 0.4}], normalize=normalize, lambda_=strength)
    near(found, lambda n: a[n].double() + factor * (0.7 * (b[n].double() - a[n].double()) + 0.4 * (c[n].double() - a[n].double())))


def ties64(base: torch.Tensor, others: list[torch.Tensor], weights: list[float], densities: list[float], normalize: bool) -> torch.Tensor:
    """TIES by sorting, element by element, from the paper's description."""
    deltas = []
    for other, weight, density in zip(others, weights, densities, strict=True):
        delta = (other - base).flatten()
        keep = delta.abs().argsort(descending=True)[: max(1, int(density * len(delta)))]
        trimmed = torch.zeros_like(delta)
        trimmed[keep] = delta[keep]
        deltas.append(weight * trimmed.double())
    stacked = torch.stack(deltas)
    elected = torch.where(stacked.sum(0) >= 0, 1.0, -1.0)
    agrees = stacked.sign() == elected
    divisor = (torch.tensor(weights).double()[:, None] * agrees).sum(0) if normalize else torch.ones(1)
    return (base.double().flatten() + (stacked * agrees).sum(0) / torch.where(divisor == 0, 1.0, divisor)).reshape(base.shape)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("weights", [[1.0, 1.0], [0.3, 0.8], [1.0, -0.5]])
@pytest.mark.parametrize("densities", [[0.5, 0.5], [0.2, 1.0], [0.001, 0.9]])
def test_ties_is_the_papers_three_steps(trio: Trio, weights: list[float], densities: list[float], normalize: bool) -> None:
    tensors = [load(model) for model in trio]
    own = [{"weight": w, "density": d} for w, d in zip(weights, densities, strict=True)]
    found = merge("ties", trio[0], list(trio[1:]), models=own, normalize=normalize)
    near(found, lambda name: ties64(tensors[0][name], [each[name] for each in tensors[1:]], weights, densities, normalize))


def test_ties_keeps_all_elements_of_the_magnitude_at_the_border(checkpoint: Callable[..., Artifact]) -> None:
    """Nothing tells equal magnitudes apart, so the order of elements must not decide."""
    delta = torch.tensor([1.0, -1.0, 1.0, 0.5, 0.0, 2.0, 0.25, -0.5])
    base, model = checkpoint("zero", {"x": torch.zeros(8)}), checkpoint("delta", {"x": delta})
    assert merge("ties", base, [model], density=0.25)["x"].tolist() == [1, -1, 1, 0, 0, 2, 0, 0]
    assert merge("ties", base, [model], density=0.7)["x"].tolist() == [1, -1, 1, 0.5, 0, 2, 0, -0.5]
    same = merge("ties", base, [base], density=0.1)  # no delta at all
    assert same["x"].tolist() == [0.0] * 8


def test_dare_keeps_the_asked_share_and_the_expectation(checkpoint: Callable[..., Artifact]) -> None:
    size, density = 600_000, 0.3  # three parts
    base, model = checkpoint("zero", {"x": torch.zeros(size)}), checkpoint("ones", {"x": torch.ones(size)})
    found = merge("dare_linear", base, [model], density=density, seed=5)["x"]
    kept = (found != 0).double().mean()
    deviation = math.sqrt(density * (1 - density) / size)
    assert abs(kept - density) < 5 * deviation
    assert found.unique().tolist() == [0.0, pytest.approx(1 / density)]
    halves = [(part != 0).double().mean() for part in found.split(group.CHUNK)]
    assert len({float(share) for share in halves}) == len(halves)  # parts draw different numbers


def test_dare_depends_on_seed_but_not_on_order_threads_or_folder(checkpoint: Callable[..., Artifact], trio: Trio) -> None:
    base, one, two = trio
    renamed = checkpoint("elsewhere", load(one))
    own = [{"density": 0.5, "weight": 1.0}, {"density": 0.25, "weight": 0.5}]
    for method in ("dare_linear", "dare_ties"):
        first = merge(method, base, [one, two], seed=1, models=own)
        swapped = merge(method, base, [two, renamed], seed=1, models=own[::-1], threads=1)
        assert equal(first, swapped)
        assert not equal(first, merge(method, base, [one, two], seed=2, models=own))


def test_dare_without_dropping_is_task_arithmetic_or_ties(trio: Trio) -> None:
    base, one, two = trio
    assert equal(merge("dare_linear", base, [one, two], weight=0.4), merge("task_arithmetic", base, [one, two], weight=0.4))
    assert equal(merge("dare_ties", base, [one, two], weight=0.4), merge("ties", base, [one, two], weight=0.4, normalize=False))


# invariants

ENDS = [
    ("linear", {"t": 0}),
    ("slerp", {"t": 0}),
    ("slerp", {"t": 0, "scale": "geometric"}),
    ("task_arithmetic", {"weight": 0}),
    ("ties", {"lambda_": 0}),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(("method", "parameters"), ENDS)
def test_the_base_end_is_the_base_bit_for_bit(
    checkpoint: Callable[..., Artifact], dtype: torch.dtype, method: str, parameters: dict[str, Any]
) -> None:
    tensors = random_tensors(0, dtype)
    tensors[QUERY][0, :3] = torch.tensor([-0.0, 0.0, torch.finfo(dtype).tiny / 4]).to(dtype)  # signed zero and a subnormal
    base, other = checkpoint("base", tensors), checkpoint("other", random_tensors(1, dtype))
    found = merge(method, base, [other], **parameters)
    assert all(torch.equal(found[name].view(torch.uint8), tensors[name].view(torch.uint8)) for name in NAMES)


@pytest.mark.parametrize("method", ["linear", "slerp"])
def test_the_far_end_is_the_model_bit_for_bit_and_swapping_mirrors_t(trio: Trio, method: str) -> None:
    base, one, _ = trio
    assert equal(merge(method, base, [one], t=1), load(one))
    there, back = merge(method, base, [one], t=0.3), merge(method, one, [base], t=0.7)
    for name, tensor in there.items():
        assert torch.allclose(tensor, back[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ["linear", "slerp", "task_arithmetic", "ties"])
def test_merging_a_model_with_itself_changes_nothing(trio: Trio, method: str) -> None:
    base = trio[0]
    parameters = {"t": 0.37} if method in ("linear", "slerp") else {"weight": 0.37}
    near(merge(method, base, [base], **parameters), load(base).__getitem__, ulps=1)


@pytest.mark.parametrize(("method", "parameters"), [("slerp", {"t": PAPER}), ("ties", {"density": 0.4}), ("dare_ties", {"density": 0.4})])
def test_threads_and_parts_do_not_change_a_bit(
    monkeypatch: pytest.MonkeyPatch, trio: Trio, method: str, parameters: dict[str, Any]
) -> None:
    base, one, _ = trio
    monkeypatch.setattr(group, "CHUNK", 64)
    monkeypatch.setattr(stream, "LARGE", 500)
    monkeypatch.setattr(stream, "AHEAD", 700)
    monkeypatch.setattr(group, "BATCH", 3)
    results = [merge(method, base, [one], threads=threads, **parameters) for threads in (1, 2, 5)]
    assert equal(results[0], results[1])
    assert equal(results[0], results[2])
    if method != "dare_ties":
        monkeypatch.undo()
        whole = merge(method, base, [one], **parameters)
        near(results[0], whole.__getitem__, ulps=2)


@pytest.mark.parametrize(
    ("method", "parameters"),
    [("linear", {"t": 0.3}), ("slerp", {"t": 0.3}), ("task_arithmetic", {"weight": 0.3}), ("ties", {"density": 0.6})],
)
def test_bf16_parents_are_merged_in_fp32_and_rounded_once(
    checkpoint: Callable[..., Artifact], method: str, parameters: dict[str, Any]
) -> None:
    tensors = random_tensors(0, torch.bfloat16), random_tensors(1, torch.bfloat16)
    narrow = [checkpoint(f"narrow{i}", each) for i, each in enumerate(tensors)]
    wide = [checkpoint(f"wide{i}", {name: tensor.float() for name, tensor in each.items()}) for i, each in enumerate(tensors)]
    rounded = merge(method, narrow[0], narrow[1:], **parameters)
    exact = merge(method, wide[0], wide[1:], **parameters)
    assert equal(rounded, {name: tensor.bfloat16() for name, tensor in exact.items()})
    assert equal(merge(method, narrow[0], narrow[1:], out_dtype="float32", **parameters), exact)


def test_parents_of_different_storage_types_meet_in_fp32(checkpoint: Callable[..., Artifact]) -> None:
    base, other = checkpoint("base", random_tensors(0, torch.float16)), checkpoint("other", random_tensors(1, torch.bfloat16))
    a, b = load(base), load(other)
    found = merge("linear", base, [other], t=0.5)
    assert all(torch.equal(tensor, ((a[name].float() + b[name].float()) / 2).half()) for name, tensor in found.items())


def test_a_zero_tensor_has_no_angle_and_is_merged_on_a_line(checkpoint: Callable[..., Artifact]) -> None:
    base, other = checkpoint("zero", {"x": torch.zeros(4)}), checkpoint("one", {"x": torch.ones(4)})
    for scale in ("raw", "geometric"):
        assert merge("slerp", base, [other], t=0.25, scale=scale)["x"].tolist() == [0.25] * 4
    opposite = checkpoint("opposite", {"x": -torch.ones(4)})
    assert merge("slerp", other, [opposite], t=0.25)["x"].tolist() == [0.5] * 4


def test_whole_numbers_and_empty_tensors_are_carried_over(checkpoint: Callable[..., Artifact]) -> None:
    extra = {"position": torch.arange(5), "empty": torch.empty(0, 3)}
    base, other = checkpoint("base", {"x": torch.zeros(2), **extra}), checkpoint("other", {"x": torch.ones(2), **extra})
    found = merge("slerp", base, [other], t=0.5, out_dtype="bfloat16")
    assert torch.equal(found["position"], extra["position"])
    assert found["empty"].shape == (0, 3)
    different = checkpoint("different", {"x": torch.ones(2), **extra, "position": torch.ones(5, dtype=torch.int64)})
    with pytest.raises(InputError, match="whole numbers that differ"):
        merge("slerp", base, [different], t=0.5)


def test_a_tied_head_on_disk_is_left_out(checkpoint: Callable[..., Artifact]) -> None:
    plain = {"model.embed_tokens.weight": torch.zeros(3, 2)}
    base = checkpoint("base", plain, tie_word_embeddings=True)
    other = checkpoint(
        "other", {"model.embed_tokens.weight": torch.ones(3, 2), "lm_head.weight": torch.ones(3, 2)}, tie_word_embeddings=True
    )
    assert merge("linear", base, [other], t=0.5)["model.embed_tokens.weight"].unique().tolist() == [0.5]
    untied = checkpoint("untied", {**plain, "lm_head.weight": torch.ones(3, 2)}, tie_word_embeddings=False)
    with pytest.raises(InputError, match=r"lm_head\.weight.*untie"):
        merge("linear", base, [untied], t=0.5)


# written and unwritten


def unwritten(name: str, method: str, base: Artifact | None, models: list[Artifact], **parameters: Any) -> Artifact:
    parents = {"base": (base,) if base else (), "models": tuple(models)}
    return Artifact("checkpoint", name, name, None, MergeStep(method=method, parameters=parameters), parents)


def written(artifact: Artifact, folder: Path) -> Artifact:
    assert isinstance(artifact.spec, MergeStep)
    stream.build(artifact.spec, artifact.parents, folder, Context(threads=2))
    return Artifact("checkpoint", artifact.address, artifact.key, folder)


def test_an_unwritten_parent_gives_what_the_written_one_gives(tmp_path: Path, checkpoint: Callable[..., Artifact]) -> None:
    models = [checkpoint(name, random_tensors(seed, torch.bfloat16)) for seed, name in enumerate(("base", "one", "two"))]
    inner = unwritten("inner", "slerp", models[0], [models[1]], t=0.4)
    outer = unwritten("outer", "dare_ties", models[0], [inner, models[2]], density=0.6)
    on_disk = written(inner, tmp_path / "inner")
    assert equal(
        merge("dare_ties", models[0], [inner, models[2]], density=0.6), merge("dare_ties", models[0], [on_disk, models[2]], density=0.6)
    )
    assert equal(load(written(outer, tmp_path / "outer")), merge("dare_ties", models[0], [inner, models[2]], density=0.6))
    again = unwritten("again", "linear", inner, [models[2]], t=0.5)  # the base itself is unwritten
    assert json.loads((written(again, tmp_path / "again").path / "tokenizer.json").read_text()) == {"of": "base"}


def test_a_written_merge_is_whole_and_has_the_bases_files(tmp_path: Path, trio: Trio) -> None:
    base, one, _ = trio
    ledger = stream.build(
        MergeStep(method="linear", parameters={"t": 0.5}), {"base": (base,), "models": (one,)}, tmp_path / "out", Context()
    )
    for name in ("config.json", "tokenizer.json"):
        assert (tmp_path / "out" / name).read_bytes() == (base.path / name).read_bytes()
    assert equal(load(Artifact("checkpoint", "out", "", tmp_path / "out")), merge("linear", base, [one], t=0.5))
    parameters = sum(tensor.numel() for tensor in load(base).values())
    told = {"tensors": len(NAMES), "parameters": parameters, "bytes": 4 * parameters, "branches": {"linear": len(NAMES)}}
    assert ledger.items() >= told.items()
    assert ledger["digests"] == {SINGLE: digest_file(tmp_path / "out" / SINGLE)}
    card = (tmp_path / "out/README.md").read_text()
    assert f"| base | {base.address} | `{base.key}` |" in card
    assert f"| model | {one.address} | `{one.key}` |" in card


def test_digests_of_shards_are_those_of_their_files(tmp_path: Path) -> None:
    tensors = [(name, torch.randn(size)) for name, size in (("a", 300_000), ("b", 1), ("c", 500_000))]
    with Writer(tmp_path, [(name, t.dtype, tuple(t.shape)) for name, t in tensors], max_shard_bytes=1_500_000) as writer:
        for name, tensor in tensors:
            writer.put(name, tensor)
            writer.seal(name)
        found = writer.digests()
    assert len(found) == 2
    assert found == {file: digest_file(file) for file in found}


def test_without_a_base_everything_else_comes_from_the_first_model(tmp_path: Path, trio: Trio) -> None:
    stream.build(MergeStep(method="linear"), {"models": (trio[2], trio[1])}, tmp_path / "out", Context())
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (trio[2].path / "tokenizer.json").read_bytes()


def test_the_config_names_the_new_type(tmp_path: Path, trio: Trio) -> None:
    base, one, _ = trio
    step = MergeStep(method="linear", parameters={"t": 0.5, "out_dtype": "bfloat16"})
    stream.build(step, {"base": (base,), "models": (one,)}, tmp_path / "out", Context())
    assert json.loads((tmp_path / "out" / "config.json").read_text())["torch_dtype"] == "bfloat16"
    assert open_checkpoint(tmp_path / "out").dtype(QUERY) == torch.bfloat16


# errors


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("method", "parameters"),
    [("linear", {"t": 0.5}), ("slerp", {"t": 0.5}), ("slerp", {"t": 1}), ("ties", {"density": 0.5}), ("dare_ties", {"density": 0.5})],
)
def test_nan_and_infinity_are_named_with_model_tensor_and_count(
    checkpoint: Callable[..., Artifact], trio: Trio, value: float, method: str, parameters: dict[str, Any]
) -> None:
    broken = random_tensors(1)
    broken[QUERY][3, 4:7] = value
    wanted = "3 NaN and 0 infinite" if math.isnan(value) else "0 NaN and 3 infinite"
    with pytest.raises(InputError, match=f"broken: the tensor {QUERY} holds {wanted} of 576"):
        merge(method, trio[0], [checkpoint("broken", broken)], **parameters)


def test_sound_values_whose_sum_overflows_are_not_refused(checkpoint: Callable[..., Artifact]) -> None:
    large = checkpoint("large", {"x": torch.full((64,), 3e38)})
    assert merge("linear", large, [large], t=0.5)["x"].unique().tolist() == [pytest.approx(3e38)]


def test_float16_that_cannot_hold_the_result_is_an_error(checkpoint: Callable[..., Artifact]) -> None:
    base, other = checkpoint("base", {"x": torch.full((4,), 6e4).half()}), checkpoint("other", {"x": -torch.full((4,), 6e4).half()})
    with pytest.raises(WorkError, match="does not fit into float16"):
        merge("linear", base, [other], t=-1)


def without(tensors: dict[str, torch.Tensor], *parts: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not any(part in name for part in parts)}


def test_parents_that_do_not_fit_say_what_differs_and_what_to_do(checkpoint: Callable[..., Artifact], trio: Trio) -> None:
    base, full = trio[0], random_tensors(1)
    cases = {
        "fewer layers": (
            without(full, "layers.4.", "layers.3."),
            r"base has 6 tensors that fewer layers lacks: model\.layers\.3.*5 and 3 layers",
        ),
        "extra": ({**full, "visual.weight": torch.zeros(2)}, r"extra has 1 tensors that base lacks: visual\.weight"),
        "missing": (without(full, "model.norm"), r"base has 1 tensors that missing lacks: model\.norm\.weight"),
        "vocabulary": ({**full, NAMES[0]: torch.zeros(41, 24)}, r"embed_tokens\.weight \[40, 24\] against \[41, 24\].*same tokenizer"),
        "wide": (random_tensors(1, width=32), r"differ in the shape of 17 tensors: .*one size"),
    }
    for name, (tensors, message) in cases.items():
        with pytest.raises(InputError, match=message):
            merge("linear", base, [checkpoint(name, tensors)], t=0.5)
    with pytest.raises(InputError, match="base is a llama model and foreign a gpt2 model"):
        merge("linear", base, [checkpoint("foreign", full, model_type="gpt2")], t=0.5)


@pytest.mark.parametrize(
    ("method", "has_base", "models", "parameters", "message"),
    [
        ("stroke", True, 1, {}, "no merge method 'stroke'.*linear, slerp"),
        ("slerp", False, 2, {"t": 0.5}, "needs a base"),
        ("slerp", True, 2, {"t": 0.5}, "was given 2 models and a base"),
        ("linear", False, 2, {"t": 0.5}, "was given 2 models and no base"),
        ("linear", True, 1, {}, "needs `t`"),
        ("linear", False, 0, {}, "at least 1 model"),
        ("linear", False, 2, {"weight": 0}, "add up to zero"),
        ("linear", False, 2, {"models": [{"weight": 1}, {"weight": -1}]}, "add up to zero"),
        ("ties", True, 2, {"gamma": 1}, "`gamma` is not known"),
    ],
)
def test_a_wrong_request_is_refused(trio: Trio, method: str, has_base: bool, models: int, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        merge(method, trio[0] if has_base else None, list(trio[1 : 1 + models]), **parameters)


def test_check_reads_headers_but_waits_for_parents_that_do_not_exist_yet(
    checkpoint: Callable[..., Artifact], trio: Trio, tmp_path: Path
) -> None:
    step = MergeStep(method="linear", parameters={"t": 0.5})
    future = Artifact("checkpoint", "future", "k", tmp_path / "not yet")
    stream.check(step, {"base": (trio[0],), "models": (future,)})
    stream.check(step, {"base": (trio[0],), "models": (unwritten("u", "linear", trio[0], [future], t=0.5),)})
    small = checkpoint("small", random_tensors(1, width=16))
    with pytest.raises(InputError, match="differ in the shape"):
        stream.check(step, {"base": (trio[0],), "models": (small,)})
    with pytest.raises(InputError, match="needs a base"):
        stream.check(MergeStep(method="ties"), {"models": (future,)})


def test_a_consumer_that_stops_early_stops_the_threads_and_restores_torchs(trio: Trio) -> None:
    before = torch.get_num_threads()
    made = stream.tensors(MergeStep(method="linear", parameters={"t": 0.5}), {"base": (trio[0],), "models": (trio[1],)}, Context(threads=2))
    next(made)
    made.close()
    assert torch.get_num_threads() == before


@pytest.mark.assets
def test_a_real_model_merged_with_itself_is_itself(smol: Path) -> None:
    parent = Artifact("checkpoint", "smol", "smol", smol)
    found = merge("slerp", parent, [parent], t=PAPER)
    own = open_checkpoint(smol)
    assert tuple(found) == own.names
    assert all(torch.equal(tensor, own.tensor(name)) for name, tensor in found.items())


def test_a_merge_is_made_in_a_live_models_own_memory(tiny: Path, tiny_other: Path, tmp_path: Path) -> None:
    base, model = (Artifact("checkpoint", folder.name, folder.name, folder) for folder in (tiny, tiny_other))
    parents, step = {"base": (base,), "models": (model,)}, MergeStep(method="slerp", parameters={"t": 0.3})
    stream.build(step, parents, tmp_path / "out", Context())
    written, live = (loading.load(folder, torch.bfloat16, torch.device("cpu")) for folder in (tmp_path / "out", tiny))
    memory = loading.live(live)
    before = {name: tensor.data_ptr() for name, tensor in memory.items()}
    for name, tensor in stream.tensors(step, parents, Context(), memory):
        assert tensor.data_ptr() == before[name]
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(live(input_ids=ids).logits, written(input_ids=ids).logits)
    loading.swap(live, stream.tensors(step.model_copy(update={"parameters": {"t": 0.0}}), parents, Context(), memory))
    assert torch.equal(live(input_ids=ids).logits, loading.load(tiny, torch.bfloat16, torch.device("cpu"))(input_ids=ids).logits)
