"""Faults that were seen in mergekit 0.1.5 (docs/methods.md numbers them) and that ours must not have, through `eutectic merge`'s door."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_tensors import random_tensors

from eutectic import doors
from eutectic.artifacts import Artifact
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.models.checkpoint import open_checkpoint, write

Make = Callable[..., Artifact]
ONE = Context(threads=1)


def merge(folder: Path, name: str, seed: int = 0, **config: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    (folder / f"{name}.yaml").write_text(json.dumps(config))
    ledger = doors.merge(folder / f"{name}.yaml", folder / name, ONE, seed)
    return dict(open_checkpoint(folder / name).tensors()), ledger


def listed(*models: Artifact, **parameters: Any) -> list[dict[str, Any]]:
    return [{"model": str(model.path), "parameters": parameters} for model in models]


def test_1_without_a_base_the_first_model_gives_the_config(tmp_path: Path, checkpoint: Make) -> None:
    models = [checkpoint(f"m{i}", random_tensors(i), rope_theta=theta) for i, theta in enumerate((1e4, 5e5, 1e6))]
    for first in range(3):
        merge(tmp_path, f"out{first}", merge_method="linear", models=listed(*models[first:], *models[:first], weight=1.0))
        assert (tmp_path / f"out{first}/config.json").read_bytes() == (models[first].path / "config.json").read_bytes()


def test_2_one_nan_is_told(tmp_path: Path, checkpoint: Make) -> None:
    tensors = random_tensors(1)
    tensors["model.norm.weight"][3] = torch.nan
    base, broken = checkpoint("base", random_tensors(0)), checkpoint("broken", tensors)
    with pytest.raises(InputError, match=r"broken: the tensor model.norm.weight holds 1 NaN and 0 infinite of 24 values"):
        merge(tmp_path, "out", merge_method="slerp", base_model=str(base.path), models=listed(broken), parameters={"t": 0.5})
    assert not list(tmp_path.glob("*out*/"))


def test_3_weights_without_effect_are_told(tmp_path: Path, trio: tuple[Artifact, ...]) -> None:
    base, one, two = trio
    same, ledger = merge(tmp_path, "out", merge_method="ties", base_model=str(base.path), models=listed(one, two, weight=0.3, density=0.5))
    assert ledger["without_effect"] == ["weight"]
    other, ledger = merge(
        tmp_path, "other", merge_method="ties", base_model=str(base.path), models=listed(one, two, weight=0.9, density=0.5)
    )
    assert all(torch.allclose(same[name], other[name], atol=1e-6) for name in same)
    models = [*listed(one, weight=0.3, density=0.5), *listed(two, weight=0.4, density=0.5)]
    assert merge(tmp_path, "third", merge_method="ties", base_model=str(base.path), models=models)[1]["without_effect"] == []


def test_4_random_numbers_do_not_depend_on_order_or_run(tmp_path: Path, trio: tuple[Artifact, ...]) -> None:
    base, one, two = trio
    config: dict[str, Any] = {"merge_method": "dare_linear", "base_model": str(base.path), "parameters": {"density": 0.5}}
    runs = [
        merge(tmp_path, f"out{i}", **config, models=listed(*models, weight=0.5))[0] for i, models in enumerate(((one, two), (two, one)))
    ]
    again = merge(tmp_path, "again", **config, models=listed(one, two, weight=0.5))[0]
    assert all(torch.equal(runs[0][name], again[name]) for name in again)
    assert all(torch.allclose(runs[0][name], runs[1][name], atol=1e-6) for name in again)
    other = merge(tmp_path, "other", seed=1, **config, models=listed(one, two, weight=0.5))[0]
    assert any(not torch.equal(other[name], again[name]) for name in again)


METHODS = {"ties": {"density": 0.5}, "nuslerp": {}, "karcher": {}, "model_stock": {}, "sce": {}}


@pytest.mark.parametrize("method", METHODS)
def test_5_bf16_is_only_the_type_of_the_result(tmp_path: Path, checkpoint: Make, method: str) -> None:
    base = random_tensors(0, torch.bfloat16)
    models = [checkpoint(f"m{i}", random_tensors(i, torch.bfloat16, near=base)) for i in (1, 2)]
    first = checkpoint("base", base)
    config = {
        "merge_method": method,
        "models": listed(*models, weight=0.5, **METHODS[method]),
        **({} if method == "karcher" else {"base_model": str(first.path)}),
    }
    if method in ("karcher", "model_stock", "sce"):
        config["models"] = listed(*models)
    exact, narrow = (merge(tmp_path, f"{method}-{dtype}", **config, dtype=dtype)[0] for dtype in ("float32", "bfloat16"))
    assert all(torch.equal(narrow[name], exact[name].to(torch.bfloat16)) for name in exact)


def test_6_a_bare_list_gives_embeddings_its_first_and_the_end_its_last_entry(tmp_path: Path, trio: tuple[Artifact, ...]) -> None:
    base, model = trio[:2]
    found, _ = merge(tmp_path, "out", merge_method="slerp", base_model=str(base.path), models=listed(model), parameters={"t": [0, 1]})
    for name, source in (("model.embed_tokens.weight", base), ("model.norm.weight", model)):
        assert torch.equal(found[name], open_checkpoint(source.path).tensor(name))


def test_7_no_tensor_is_dropped_whatever_its_name(tmp_path: Path, checkpoint: Make) -> None:
    extra = {"value_head.bias": torch.ones(3), "model.layers.2.mlp.gate_of_our_own.scale": torch.ones(2, 5)}
    models = [checkpoint(f"m{i}", random_tensors(i) | {name: i * value for name, value in extra.items()}) for i in (1, 3)]
    found, _ = merge(tmp_path, "out", merge_method="linear", models=listed(*models, weight=1.0))
    assert all(torch.equal(found[name], 2 * value) for name, value in extra.items())


def test_8_a_killed_merge_leaves_nothing_and_is_made_again(tmp_path: Path, soak: bool) -> None:
    """Killed at moments spread over the whole run: OUT is not there or it is whole, and nothing hidden stays behind for good."""
    shapes = {f"model.layers.{i}.w": (1024, 2048) for i in range(40)}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"model_type": "llama"}')
        write(tmp_path / name, ((tensor, torch.randn(shape)) for tensor, shape in shapes.items()), torch.bfloat16)
    config = {"merge_method": "linear", "models": [{"model": str(tmp_path / n), "parameters": {"weight": 1}} for n in "ab"]}
    (tmp_path / "merge.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "eutectic", "merge", str(tmp_path / "merge.yaml"), str(tmp_path / "out"), "--threads", "1"]
    environment = os.environ | {"EUTECTIC_CACHE": str(tmp_path / "cache")}
    hidden = lambda: [path for path in tmp_path.iterdir() if path.name.startswith(".out")]  # noqa: E731
    interrupted = 0
    for _ in range(20 if soak else 2):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and not hidden():
            time.sleep(0.002)
        time.sleep(0.02 + 0.01 * interrupted)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if not (tmp_path / "out").exists():
            interrupted += 1
            assert hidden()
        else:
            break
    assert interrupted
    if not (tmp_path / "out").exists():
        subprocess.run(command, env=environment, check=True, capture_output=True)
    assert not hidden()
    assert doors.verify(tmp_path / "out")["against"] == ", as its record says"


def test_9_a_missing_folder_is_told_before_anything_is_written(tmp_path: Path, trio: tuple[Artifact, ...]) -> None:
    models = [*listed(trio[0], weight=1.0), {"model": "some/where", "parameters": {"weight": 1.0}}]
    with pytest.raises(InputError, match="there is no folder 'some/where', and the model hub did not give") as caught:
        merge(tmp_path, "out", merge_method="linear", models=models)
    assert caught.value.file == tmp_path / "out.yaml"
    assert not list(tmp_path.glob("*out*/"))


def test_10_ties_is_tensor_by_tensor(tmp_path: Path, checkpoint: Make) -> None:
    """A tensor that changed little keeps its largest elements; over the whole model at once it would lose all."""
    base = random_tensors(0)
    small = {name: tensor + (1e-4 if "norm" in name else 1.0) * torch.randn(tensor.shape) for name, tensor in base.items()}
    first, model = checkpoint("base", base), checkpoint("model", small)
    found, _ = merge(tmp_path, "out", merge_method="ties", base_model=str(first.path), models=listed(model, weight=1.0, density=0.5))
    name = "model.norm.weight"
    assert int((found[name] != base[name]).sum()) == 12


def test_11_the_angle_of_siblings_is_exact(tmp_path: Path, checkpoint: Make) -> None:
    base = random_tensors(0, width=96)
    other = {name: tensor * (1 + 1e-3 * torch.randn(tensor.shape)) for name, tensor in base.items()}
    first, model = checkpoint("base", base), checkpoint("model", other)
    found, _ = merge(tmp_path, "out", merge_method="slerp", base_model=str(first.path), models=listed(model), parameters={"t": 0.3})
    for name, value in found.items():
        a, b = base[name].double(), other[name].double()
        angle = torch.acos(((a * b).sum() / a.norm() / b.norm()).clamp(-1, 1))
        wanted = (torch.sin(0.7 * angle) * a + torch.sin(0.3 * angle) * b) / torch.sin(angle)
        assert torch.allclose(value.double(), wanted, rtol=3e-7, atol=1e-9), name
