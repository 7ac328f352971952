"""The same files through mergekit 0.1.5 and through ours: linear bit for bit, the others to the rounding of fp32.

mergekit computes the angle of slerp in fp32 and takes a line above |cos| = 0.9995, where the arc differs from it by at most
1/cos(w/2) - 1 = 1.25e-4, and the norms of whole tensors in fp32. TIES is compared where magnitudes are distinct: at equal ones mergekit keeps what its sort happens to put first.
"""

import json
from pathlib import Path
from typing import Any

import mergekit_oracle
import pytest
import torch

from eutectic.merge.group import Group
from eutectic.models.checkpoint import copy_assets, open_checkpoint, write

pytestmark = pytest.mark.oracle
PAPER = [{"filter": "self_attn", "value": [0, 0.5, 0.3, 0.7, 1]}, {"filter": "mlp", "value": [1, 0.5, 0.7, 0.3, 0]}, {"value": 0.5}]
BY_LAYER = [{"filter": "layers", "value": [0.2, 0.9, 0.4]}, {"value": 0.6}]
SETS = ("far", "near", "half", "untied")  # unrelated fp32, siblings fp32, unrelated bf16, unrelated fp32 with a head of its own


def configurations() -> dict[str, tuple[str, dict[str, Any]]]:
    """name -> (set of models, configuration with models named m0 (the base), m1, m2)."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}

    def add(kind: str, method: str, own: list[dict[str, Any] | None], base: str | None = "m0", **rest: Any) -> None:
        models = [{"model": f"m{i}"} | ({"parameters": given} if given else {}) for i, given in enumerate(own) if given is not None]
        config = {"merge_method": method, "models": models, **({"base_model": base} if base else {}), "dtype": "float32", **rest}
        found[f"{len(found):02d}-{method}-{kind}"] = (kind, config)

    for kind in SETS:
        add(kind, "linear", [{"weight": 0.25}, {"weight": 0.75}], base=None)
        add(kind, "slerp", [{}, {}], parameters={"t": PAPER})
        add(kind, "task_arithmetic", [None, {"weight": 0.3}, {"weight": BY_LAYER}])
        if kind != "half":
            add(kind, "ties", [None, {"weight": 0.5, "density": 0.6}, {"weight": 0.8, "density": BY_LAYER}])
    add("far", "linear", [{"weight": 1}, {"weight": 0.7}, {"weight": -0.2}], base=None)
    add("far", "linear", [{"weight": 0.5}, {"weight": BY_LAYER}, {"weight": 2}], base=None, parameters={"normalize": False})
    add("half", "linear", [{"weight": 0.1}, {"weight": 0.3}, {"weight": 0.6}], base="m0", out_dtype="bfloat16")
    add("half", "linear", [{"weight": 0.1}, {"weight": 0.9}], base=None, out_dtype="float16")
    add("near", "linear", [{"weight": 0.5}, {"weight": 0.5}], base=None, out_dtype="bfloat16")
    for t in (0, 0.1, 0.9, 1, BY_LAYER):
        add("far", "slerp", [{}, {}], parameters={"t": t})
    add("far", "task_arithmetic", [{}, {"weight": 0.6}, {"weight": 0.3}], parameters={"normalize": True, "lambda": 0.7})
    add("near", "task_arithmetic", [None, {"weight": -1.0}, {"weight": 0.5}])
    add("far", "ties", [None, {"weight": 1, "density": 0.3}, {"weight": 1, "density": 0.9}], parameters={"normalize": False, "lambda": 1.5})
    add("far", "ties", [None, {"weight": 1.0}, {"weight": -0.4}], parameters={"density": 0.5, "int8_mask": True})
    add("near", "ties", [None, {"weight": 0.9, "density": 0.02}, {"weight": 0.1, "density": 1.0}])
    add("half", "slerp", [{}, {}], parameters={"t": 0.3}, out_dtype="bfloat16")
    for kind in SETS:
        for flatten, by_row in ((True, False), (False, False), (False, True)):
            shape = {"nuslerp_flatten": flatten, "nuslerp_row_wise": by_row}
            add(kind, "nuslerp", [{"weight": 0.3}, {"weight": 0.9}], base=None, parameters=shape)
            add(kind, "nuslerp", [None, {"weight": BY_LAYER}, {"weight": 0.4}], parameters=shape)
        add(kind, "multislerp", [{"weight": 0.3}, {"weight": 0.9}, {"weight": 0.5}], base=None)
        add(kind, "multislerp", [None, {"weight": 0.3}, {"weight": 0.9}], parameters={"normalize_weights": False})
        add(kind, "karcher", [{}, {}, {}], base=None)
        add(kind, "karcher", [{}, {}, {}], parameters={"max_iter": 50, "tol": 1e-6})
        for by_row in (False, True):
            add(kind, "model_stock", [{}, {}, {}], parameters={"filter_wise": by_row})
        add(kind, "nearswap", [{}, {}], parameters={"t": 0.01})
        add(kind, "arcee_fusion", [{}, {}])
        add(kind, "ram", [None, {}, {}], parameters={"epsilon": 0.02})
        add(kind, "ramplus_tl", [None, {}, {}], parameters={"epsilon": 0.02, "r": 0.3})
        add(kind, "sce", [None, {}, {}])
        if kind != "half":  # where magnitudes are equal, mergekit keeps what its sort happens to put first
            add(kind, "sce", [None, {}, {}], parameters={"select_topk": 0.3})
            for method in ("breadcrumbs", "breadcrumbs_ties"):
                add(kind, method, [None, {"weight": 0.7, "density": 0.5, "gamma": 0.1}, {"weight": 0.4, "density": 0.8}])
            for method in ("ties", "breadcrumbs", "breadcrumbs_ties") if kind != "near" else ("ties",):  # there too, at that density
                add(kind, method, [None, {"weight": 0.7, "density": 0.4}, {"weight": 0.4}], parameters={"rescale": True, "density": 0.8})
        add(kind, "passthrough", [{"scale": 0.3}], base=None)
    add("far", "task_arithmetic", [None, {"weight": 0.7}, {"weight": 0.4}], parameters={"rescale": True, "density": 0.5})  # both idle
    return found


def random_ones() -> dict[str, tuple[str, dict[str, Any]]]:
    """Methods that draw random numbers, without rescaling, which mergekit does by sums of magnitudes and ours by the probability."""
    found = {}
    for kind in SETS:  # della ranks magnitudes: of the bf16 models many are equal
        for method in ("dare_linear", "dare_ties", *(("della_linear", "della") if kind != "half" else ())):
            for density in (0.25, 0.5, 0.75):
                models = [{"model": f"m{i}", "parameters": {"weight": 0.4 * i, "density": density}} for i in (1, 2)]
                shared: dict[str, Any] = {"rescale": False} | ({"epsilon": 0.125} if "della" in method else {})
                config = {"merge_method": method, "base_model": "m0", "models": models, "parameters": shared, "dtype": "float32"}
                found[f"{kind}-{method}-{density}"] = (kind, config)
    return found


CONFIGURATIONS, RANDOM = configurations(), random_ones()


def write_models(folder: Path, tiny: Path) -> None:
    """Three models of each set: the shapes, config and tokenizer of the tiny Llama with tensors of their own."""
    shapes = {name: open_checkpoint(tiny).shape(name) for name in open_checkpoint(tiny).names}
    for kind in SETS:
        names = {**shapes, **({"lm_head.weight": shapes["model.embed_tokens.weight"]} if kind == "untied" else {})}
        generator = torch.Generator().manual_seed(SETS.index(kind))
        base = {name: torch.randn(shape, generator=generator) * 0.05 for name, shape in names.items()}
        for index in range(3):
            model = folder / kind / f"m{index}"
            copy_assets(tiny, model)
            config = json.loads((model / "config.json").read_text()) | {"tie_word_embeddings": kind != "untied"}
            (model / "config.json").write_text(json.dumps(config))
            noise = {name: torch.randn(shape, generator=generator) for name, shape in names.items()}
            if kind == "near":
                tensors = {name: tensor * (1 + 0.02 * index * noise[name]) for name, tensor in base.items()}
            else:
                tensors = {name: tensor * 0.05 for name, tensor in noise.items()}
            write(model, tensors.items(), torch.bfloat16 if kind == "half" else torch.float32)


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A folder with models, NAME.yaml and mergekit's result NAME for every configuration."""
    folder = tmp_path_factory.mktemp("mergekit")
    write_models(folder, tiny)
    return mergekit_oracle.run(folder, {name: (folder / kind, config) for name, (kind, config) in CONFIGURATIONS.items()})


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_same_file_gives_the_same_model(merged: Path, name: str) -> None:
    config = CONFIGURATIONS[name][1]
    method, by_norms = config["merge_method"], bool(config.get("parameters", {}).get("rescale"))
    theirs = dict(open_checkpoint(merged / name).tensors())
    found, parents = mergekit_oracle.ours(merged / f"{name}.yaml")
    assert found.keys() == theirs.keys()
    for tensor, value in found.items():
        assert value.dtype == theirs[tensor].dtype
        if method == "linear":
            assert torch.equal(value, theirs[tensor]), tensor
        else:
            difference = (value.float() - theirs[tensor].float()).abs()
            assert bool((difference <= mergekit_oracle.allowed(method, tensor, parents, value.dtype, by_norms=by_norms)).all()), (
                tensor,
                float(difference.max()),
            )


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """The same of the random methods, mergekit drawing given numbers."""
    folder = tmp_path_factory.mktemp("drawn")
    write_models(folder, tiny)
    return mergekit_oracle.run(folder, {name: (folder / kind, config) for name, (kind, config) in RANDOM.items()}, mask=True)


@pytest.mark.parametrize("name", RANDOM)
def test_the_same_random_numbers_give_the_same_model(drawn: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(Group, "_drawn", mergekit_oracle.masked)
    theirs = dict(open_checkpoint(drawn / name).tensors())
    found, parents = mergekit_oracle.ours(drawn / f"{name}.yaml")
    for tensor, value in found.items():
        difference = (value - theirs[tensor]).abs()
        allowed = mergekit_oracle.allowed(name.split("-")[1], tensor, parents, value.dtype)
        assert bool((difference <= allowed).all()), (tensor, float(difference.max()))
