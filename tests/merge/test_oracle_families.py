"""Generated merge files of four families, of layer ranges and of different vocabularies, through mergekit 0.1.5 and through ours."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mergekit_oracle
import pytest
import torch
from transformers import AutoTokenizer

from eutectic import doors
from eutectic.context import Context
from eutectic.models.checkpoint import open_checkpoint, write

pytestmark = pytest.mark.oracle
FAMILIES = {"llama": True, "mistral": False, "qwen2": False, "gemma": True}  # whether the head is the embedding
LAYERS, EACH = 4, 45
DETERMINISTIC = (
    "linear", "slerp", "nuslerp", "multislerp", "karcher", "task_arithmetic", "ties", "breadcrumbs", "breadcrumbs_ties", "sce", "ram",
    "ramplus_tl", "model_stock", "nearswap", "arcee_fusion", "passthrough",
)  # fmt: skip
Config = dict[str, Any]


def scheduled(draw: random.Random, low: float, high: float) -> Any:
    """A number, a list over the layers, or filters. (A list alone would tell mergekit's first entry to the final norm, ours its last.)"""
    number = lambda: round(draw.uniform(low, high), 3)  # noqa: E731
    match draw.randrange(4):
        case 0:
            return [{"filter": "layers", "value": [number() for _ in range(draw.randrange(2, 6))]}, {"value": number()}]
        case 1:
            return [
                {"filter": "self_attn", "value": [number(), number(), number()]},
                {"filter": "mlp", "value": number()},
                {"value": number()},
            ]
        case _:
            return number()


def generated(draw: random.Random) -> Config:
    """A whole merge of a deterministic method with random parameters."""
    method = draw.choice(DETERMINISTIC)
    own: list[Config | None] = [{}, {}, {}]
    shared: Config = {}
    base: str | None = "m0"
    if method in ("linear", "passthrough", "nuslerp", "multislerp", "karcher"):
        base = None
    match method:
        case "linear":
            own = [{"weight": scheduled(draw, 0.1, 1)} for _ in range(draw.choice((2, 3)))]
            shared = {"normalize": draw.random() < 0.7}
        case "slerp" | "nearswap":
            own, shared = [{}, {}], {"t": scheduled(draw, 0, 1) if method == "slerp" else 0.02}
        case "nuslerp":
            own = [{"weight": scheduled(draw, 0.1, 1)}, {"weight": scheduled(draw, 0.1, 1)}]
            shared = {"nuslerp_flatten": draw.random() < 0.5, "nuslerp_row_wise": draw.random() < 0.5}
        case "multislerp":
            own = [{"weight": scheduled(draw, 0.1, 1)} for _ in range(3)]
        case "arcee_fusion":
            own = [{}, {}]
        case "passthrough":
            own, shared = [{}], {"scale": scheduled(draw, 0.5, 2)}
        case "model_stock":
            shared = {"filter_wise": draw.random() < 0.5}
        case "ram" | "ramplus_tl" | "sce":
            own = [None, {}, {}]
        case "task_arithmetic" | "ties" | "breadcrumbs" | "breadcrumbs_ties":
            own = [None, {"weight": scheduled(draw, 0.1, 1)}, {"weight": scheduled(draw, 0.1, 1)}]
            shared = {"normalize": draw.random() < 0.5, "lambda": round(draw.uniform(0.3, 1.2), 2)}
            if method != "task_arithmetic":
                shared["density"] = scheduled(draw, 0.3, 0.9)
            if "breadcrumbs" in method:
                shared["gamma"] = round(draw.uniform(0.01, 0.1), 3)
    models = [{"model": f"m{i}", "parameters": given} if given else {"model": f"m{i}"} for i, given in enumerate(own) if given is not None]
    config: Config = {"merge_method": method, "models": models, "dtype": "float32", **({"base_model": base} if base else {})}
    return config | ({"parameters": shared} if shared else {})


def ranges(draw: random.Random) -> Config:
    """A merge of layer ranges."""
    first, second = sorted(draw.sample(range(1, LAYERS + 1), 2))
    kind = draw.choice(("passthrough", "linear", "slerp", "task_arithmetic"))
    if kind == "passthrough":
        parts = [("m0", [0, second]), ("m1", [first, LAYERS]), ("m2", [0, LAYERS])]
        slices: list[Config] = [{"sources": [{"model": model, "layer_range": layers}]} for model, layers in parts]
        return {"merge_method": kind, "slices": slices, "dtype": "float32"}
    names = ("m0", "m1") if kind == "slerp" else ("m0", "m1", "m2")
    own: Callable[[str], Config] = lambda name: {"parameters": {"weight": scheduled(draw, 0.1, 1)}} if kind != "slerp" else {}  # noqa: E731
    slices = [
        {"sources": [{"model": name, "layer_range": layers} | own(name) for name in names]}
        for layers in ([0, first], [first - 1, second], [0, 1])
    ]
    if kind != "linear":
        slices[1]["base_model"] = "m1"
    if kind == "slerp":
        slices[2]["parameters"] = {"t": scheduled(draw, 0, 1)}
        return {"merge_method": kind, "slices": slices, "base_model": "m0", "parameters": {"t": scheduled(draw, 0, 1)}, "dtype": "float32"}
    return {"merge_method": kind, "slices": slices, "dtype": "float32", **({"base_model": "m0"} if kind != "linear" else {})}


def configurations() -> dict[str, tuple[str, Config]]:
    draw = random.Random(7)
    found = {}
    for family in FAMILIES:
        for number in range(EACH):
            # mergekit leaves `layer_types` of Qwen's config as they were, which transformers refuses once the weights are written
            config = ranges(draw) if number % 9 == 0 and family != "qwen2" else generated(draw)
            found[f"{family}-{number:02d}-{config['merge_method']}{'-slices' if 'slices' in config else ''}"] = (family, config)
    modules = {"default": {"models": [{"model": "m0"}, {"model": "m1"}], "parameters": {"weight": 0.5}}}
    found["llama-modules"] = ("llama", {"merge_method": "linear", "modules": modules, "dtype": "float32"})
    return found


CONFIGURATIONS = configurations()


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory, make_tiny: Callable[..., Path]) -> Path:
    """Three random fp32 models a family, the second in shards, and mergekit's results."""
    folder = tmp_path_factory.mktemp("families")
    for family, tied in FAMILIES.items():
        for index in range(3):
            model = make_tiny(folder / family / f"m{index}", family, seed=index, tied=tied, layers=LAYERS, hidden=16)
            generator = torch.Generator().manual_seed(index)
            tensors = {n: torch.randn(t.shape, generator=generator) * 0.05 for n, t in open_checkpoint(model).tensors()}
            (model / "model.safetensors").unlink()
            write(model, tensors.items(), torch.float32, max_shard_bytes=20_000 if index == 1 else 1e9)
    return mergekit_oracle.run(folder, {name: (folder / family, config) for name, (family, config) in CONFIGURATIONS.items()})


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_generated_file_gives_the_same_model(merged: Path, name: str) -> None:
    method = CONFIGURATIONS[name][1]["merge_method"]
    theirs = dict(open_checkpoint(merged / name).tensors())
    found, parents = mergekit_oracle.ours(merged / f"{name}.yaml")
    assert found.keys() == theirs.keys()
    exact = method in ("linear", "passthrough")
    for tensor, value in found.items():
        if exact:
            assert torch.equal(value, theirs[tensor]), tensor
            continue
        inside = all(tensor in parent for parent in parents) and "slices" not in name
        largest = max(float(t.abs().max()) for parent in parents for t in parent.values())
        bound = (
            mergekit_oracle.allowed(method, tensor, parents, value.dtype)
            if inside
            else torch.tensor(len(parents) * largest * 8 * mergekit_oracle.EPS)
        )
        difference = (value - theirs[tensor]).abs()
        assert bool((difference <= bound).all()), (tensor, float(difference.max()))


# --- vocabularies

TOKENS = {"<fibre>": {"source": {"kind": "model_token", "model": "m0", "token": "s"}, "force": True}, "<mineral>": {"source": "m1"}}
VOCABULARIES: dict[str, Config] = {
    "union": {"tokenizer_source": "union"},
    "base": {"tokenizer_source": "base"},
    "model": {"tokenizer_source": "m1"},
    "tokens": {"tokenizer": {"source": "union", "tokens": TOKENS, "pad_to_multiple_of": 64}},
    "zero": {"tokenizer": {"source": "union", "tokens": {"<new>": {"source": {"kind": "zero"}}}}},
}
METHODS: dict[str, Config] = {
    "linear": {"parameters": {"weight": 0.5}},
    "task_arithmetic": {"parameters": {"weight": 0.3}},
}


def vocabularies() -> dict[str, Config]:
    models = [{"model": "m0"}, {"model": "m1"}, {"model": "m2"}]
    return {
        f"{method}-{name}": {"merge_method": method, "base_model": "m0", "models": models, "dtype": "float32", **given, **vocabulary}
        for method, given in METHODS.items()
        for name, vocabulary in VOCABULARIES.items()
    }


@pytest.fixture(scope="module")
def of_vocabularies(tmp_path_factory: pytest.TempPathFactory, make_tiny: Callable[..., Path]) -> Path:
    """A base, a model with three tokens more, and one with other tokens and more rows than tokens; an untied head."""
    folder = tmp_path_factory.mktemp("vocabularies")
    added = ([], ["<fibre>", "<mineral>", "<matrix>"], ["<matrix>", "<void>"])
    for index, tokens in enumerate(added):
        model = make_tiny(folder / "models" / f"m{index}", seed=index, tied=False, hidden=16)
        tokenizer = AutoTokenizer.from_pretrained(model)
        tokenizer.add_tokens(tokens)
        tokenizer.save_pretrained(model)
        rows = len(tokenizer) + (4 if index == 2 else 0)
        config = json.loads((model / "config.json").read_text()) | {"vocab_size": rows}
        (model / "config.json").write_text(json.dumps(config))
        generator = torch.Generator().manual_seed(index)
        shapes = {
            n: (rows, *s[1:]) if "embed" in n or "head" in n else s
            for n, s in ((n, open_checkpoint(model).shape(n)) for n in open_checkpoint(model).names)
        }
        write(model, ((name, torch.randn(shape, generator=generator)) for name, shape in shapes.items()), torch.float32)
    return mergekit_oracle.run(folder, {name: (folder / "models", config) for name, config in vocabularies().items()})


@pytest.mark.parametrize("name", vocabularies())
def test_different_vocabularies_give_the_same_rows_by_token(of_vocabularies: Path, tmp_path: Path, name: str) -> None:
    """By token, not by number: mergekit numbers added tokens in an order that changes from run to run."""
    doors.merge(of_vocabularies / f"{name}.yaml", tmp_path / "out", Context(threads=1))
    folders = (tmp_path / "out", of_vocabularies / name)
    found, theirs = (dict(open_checkpoint(folder).tensors()) for folder in folders)
    mine, other = (AutoTokenizer.from_pretrained(folder).get_vocab() for folder in folders)
    assert mine.keys() == other.keys()
    configs = [json.loads((folder / "config.json").read_text()) for folder in folders]
    assert configs[0]["vocab_size"] == configs[1]["vocab_size"] == len(found["lm_head.weight"])
    for tensor, value in found.items():
        assert value.shape == theirs[tensor].shape
        if "embed" in tensor or "head" in tensor:
            rows = torch.tensor([mine[token] for token in mine]), torch.tensor([other[token] for token in mine])
            torch.testing.assert_close(value[rows[0]], theirs[tensor][rows[1]], atol=2e-6, rtol=0)
            torch.testing.assert_close(value[len(mine) :], theirs[tensor][len(mine) :], atol=2e-6, rtol=0)
        else:
            torch.testing.assert_close(value, theirs[tensor], atol=2e-6, rtol=0)
    text = "Spider silk <fibre> and <mineral> bone"
    assert AutoTokenizer.from_pretrained(folders[0]).tokenize(text) == AutoTokenizer.from_pretrained(folders[1]).tokenize(text)
