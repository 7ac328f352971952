"""Merges in a sweep are those of the engine, bit for bit, whatever was merged before."""

import pytest
import torch

from eutectic.artifacts import Artifact
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.merge import stream
from eutectic.merge.sweep import Sweep
from eutectic.models import checkpoint, loading
from eutectic.specs.steps import MergeStep


def model(name, folder):
    return Artifact("checkpoint", name, name, folder)


@pytest.fixture
def parents(tiny, tiny_other, make_tiny, tmp_path):
    third = make_tiny(tmp_path / "third", seed=2)
    return {"base": (model("base", tiny),), "models": (model("one", tiny_other), model("two", third))}


def one(parents):
    return {**parents, "models": parents["models"][:1]}


STEPS = [
    *(MergeStep(method="slerp", parameters={"t": t}) for t in (0.2, 0.7, 0.0, 1.0, [0.1, 0.9])),
    MergeStep(method="slerp", parameters={"t": 0.4, "scale": "geometric"}),
    MergeStep(method="linear", parameters={"t": 0.3}),
    *(MergeStep(method="ties", parameters={"density": density}) for density in (0.3, 0.6)),
    *(MergeStep(method="dare_ties", parameters={"density": density, "weight": 0.4}, seed=seed) for density, seed in ((0.5, 1), (0.5, 2))),
    *(MergeStep(method="multislerp", parameters={"models": [{"weight": w}, {"weight": 1 - w}]}) for w in (0.3, 0.8)),
    MergeStep(method="nuslerp", parameters={"nuslerp_flatten": False}),
    MergeStep(method="task_arithmetic", parameters={"weight": 0.4}),
]


def test_a_sweep_is_bit_identical_to_written_merges(parents, tiny, tmp_path):
    live = loading.load(tiny, torch.bfloat16, torch.device("cpu"))
    sweep = Sweep(Context())
    for number, step in enumerate([*STEPS, *STEPS[:2]]):
        mine = one(parents) if step.method in ("slerp", "linear") else parents
        out = tmp_path / str(number)
        out.mkdir()
        stream.build(step, mine, out, Context())
        loading.swap(live, sweep.tensors(step, mine, loading.live(live)))
        for name, tensor in checkpoint.open_checkpoint(out).tensors():
            assert torch.equal(tensor, loading.live(live)[name]), (step, name)


def test_parents_are_read_once_and_angles_measured_once(parents, tmp_path, monkeypatch):
    from eutectic.merge import group

    sweep, counted = Sweep(Context()), []
    measure = group._products
    monkeypatch.setattr(group, "_products", lambda *given, **named: counted.append(1) or measure(*given, **named))
    first = [tensor.clone() for _, tensor in sweep.tensors(STEPS[0], one(parents), {})]
    measured = len(counted)
    assert measured >= len(first)
    monkeypatch.setattr(checkpoint.Checkpoint, "read", lambda *_: pytest.fail("read again"))
    second = list(sweep.tensors(STEPS[1], one(parents), {}))
    assert len(counted) == measured
    assert any(not torch.equal(a, b) for a, (_, b) in zip(first, second, strict=True))


def test_an_unwritten_merge_is_a_parent_of_a_sweep(parents, tiny):
    below = Artifact("checkpoint", "below", "below", None, STEPS[0], one(parents))
    above = {"base": (below,), "models": parents["models"][1:]}
    swept = dict(Sweep(Context()).tensors(STEPS[1], above, {}))
    for name, tensor in stream.tensors(STEPS[1], above, Context()):
        assert torch.equal(tensor, swept[name])


def test_a_parent_alone_and_a_broken_parent(parents, make_tiny, tmp_path):
    sweep = Sweep(Context())
    expected = dict(checkpoint.open_checkpoint(parents["models"][0].path).tensors())
    for name, tensor in sweep.parent(parents["models"][0], {}):
        assert torch.equal(tensor, expected[name])
    folder = make_tiny(tmp_path / "broken", seed=3)
    tensors = dict(checkpoint.open_checkpoint(folder).tensors())
    tensors["model.norm.weight"][0] = float("nan")
    checkpoint.write(folder, tensors.items(), layout=[(n, t.dtype, tuple(t.shape)) for n, t in tensors.items()])
    with pytest.raises(InputError, match="1 NaN"):
        list(sweep.parent(model("broken", folder), {}))
