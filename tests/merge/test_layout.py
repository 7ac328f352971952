"""Merges of layer ranges, of modules and of parents under adapters: which tensors of which parents make a merged one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from tiny_tensors import LAYERS, random_tensors
from transformers import AutoModelForCausalLM

from eutectic import doors
from eutectic.artifacts import Artifact
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.merge import stream
from eutectic.merge.adapted import Adapted
from eutectic.merge.schedule import layer_of
from eutectic.merge.sources import Written
from eutectic.models.checkpoint import open_checkpoint
from eutectic.specs.steps import MergeModule, MergeSlice, MergeStep, SliceSource

ONE = Context(threads=1)
PEFTS_OWN = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT asks transformers so
Make = Callable[..., Artifact]


def merged(spec: MergeStep, models: tuple[Artifact, ...], base: Artifact | None = None) -> dict[str, torch.Tensor]:
    parents = {"models": models, **({"base": (base,)} if base else {})}
    return dict(stream.tensors(spec, parents, ONE))


def whole(source: Artifact) -> dict[str, torch.Tensor]:
    return dict(open_checkpoint(source.path).tensors())


def stacked(*ranges: tuple[int, tuple[int, int]]) -> MergeStep:
    slices = tuple(MergeSlice(sources=(SliceSource(model=model, layers=layers),)) for model, layers in ranges)
    return MergeStep(method="passthrough", modules=(MergeModule(slices=slices),))


def test_layers_are_stacked_in_the_order_of_the_slices(trio: tuple[Artifact, ...]) -> None:
    found = merged(stacked((0, (0, 3)), (1, (1, 5)), (0, (4, 5))), trio[:2])
    one, two = whole(trio[0]), whole(trio[1])
    assert max(layer_of(name) or 0 for name in found) == 7
    origin = [(one, 0), (one, 1), (one, 2), (two, 1), (two, 2), (two, 3), (two, 4), (one, 4)]
    for layer, (source, own) in enumerate(origin):
        name = "model.layers.{}.mlp.up_proj.weight"
        assert torch.equal(found[name.format(layer)], source[name.format(own)])
    assert torch.equal(found["model.embed_tokens.weight"], one["model.embed_tokens.weight"])
    assert torch.equal(found["model.norm.weight"], one["model.norm.weight"])


def test_what_stands_outside_the_layers_goes_with_the_first_and_the_last_slice(trio: tuple[Artifact, ...]) -> None:
    found = merged(stacked((0, (0, 3)), (1, (3, 5))), trio[:2])
    assert torch.equal(found["model.embed_tokens.weight"], whole(trio[0])["model.embed_tokens.weight"])
    assert torch.equal(found["model.norm.weight"], whole(trio[1])["model.norm.weight"])


def test_the_config_tells_the_number_of_layers_and_of_what_kind_they_are(tmp_path: Path, checkpoint: Make) -> None:
    kinds = ["full", "sliding", "full", "sliding", "full"]
    model = checkpoint("m", random_tensors(0), num_hidden_layers=LAYERS, layer_types=kinds)
    (tmp_path / "out").mkdir()
    stream.build(stacked((0, (0, 2)), (0, (1, 3))), {"models": (model,)}, tmp_path / "out", ONE)
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["num_hidden_layers"] == 4
    assert config["layer_types"] == ["full", "sliding", "sliding", "full"]


def test_lists_over_depth_run_over_each_slice(trio: tuple[Artifact, ...]) -> None:
    """Slices 0-2 and 2-5 with t from 0 to 1: each begins at its base and ends at its model."""
    base, model = trio[:2]

    def part(first: int, end: int) -> MergeSlice:
        return MergeSlice(sources=tuple(SliceSource(model=index, layers=(first, end)) for index in (-1, 0)), base=0)

    spec = MergeStep(method="slerp", parameters={"t": [0, 1]}, modules=(MergeModule(slices=(part(0, 2), part(2, 5))),))
    found, a, b = merged(spec, (model,), base), whole(base), whole(model)
    name = "model.layers.{}.mlp.up_proj.weight"
    for layer, source in ((0, a), (1, b), (2, a), (4, b)):
        assert torch.equal(found[name.format(layer)], source[name.format(layer)])
    assert torch.equal(found["model.embed_tokens.weight"], a["model.embed_tokens.weight"])
    assert torch.equal(found["model.norm.weight"], b["model.norm.weight"])


def test_a_slice_may_have_its_own_base_and_parameters(trio: tuple[Artifact, ...]) -> None:
    base, one, two = trio
    own = MergeSlice(
        sources=(SliceSource(model=0, layers=(0, 2)), SliceSource(model=1, layers=(1, 3), parameters={"weight": 0.5})),
        base=0,
        parameters={"weight": 3.0},
    )
    rest = MergeSlice(sources=(SliceSource(model=-1, layers=(2, 5)), SliceSource(model=1, layers=(2, 5))), base=0)
    spec = MergeStep(method="task_arithmetic", parameters={"weight": 0.25}, modules=(MergeModule(slices=(own, rest)),))
    found, a, b, c = merged(spec, (one, two), base), whole(base), whole(one), whole(two)
    name = "model.layers.{}.self_attn.q_proj.weight"
    torch.testing.assert_close(found[name.format(0)], b[name.format(0)] + 0.5 * (c[name.format(1)] - b[name.format(0)]))
    torch.testing.assert_close(found[name.format(3)], a[name.format(3)] + 0.25 * (c[name.format(3)] - a[name.format(3)]))


WRONG: dict[str, tuple[MergeStep, str]] = {
    "beyond the model": (stacked((0, (0, 3)), (1, (3, 9))), "has 5 layers, not 3 to 9"),
    "different lengths": (
        MergeStep(
            method="linear",
            modules=(MergeModule(slices=(MergeSlice(sources=(SliceSource(model=0, layers=(0, 2)), SliceSource(model=1, layers=(0, 3)))),)),),
        ),
        "takes 2 layers of base.* and 3 of one",
    ),
    "no base": (
        MergeStep(method="slerp", parameters={"t": 0.5}, modules=(MergeModule(slices=(MergeSlice(sources=(SliceSource(model=0),)),)),)),
        "`slerp` needs a base",
    ),
    "no t": (
        MergeStep(
            method="slerp", modules=(MergeModule(slices=(MergeSlice(sources=(SliceSource(model=0), SliceSource(model=1)), base=0),)),)
        ),
        "`t` is missing",
    ),
    "half a model": (
        MergeStep(method="passthrough", modules=tuple(MergeModule(name=n, slices=(MergeSlice(sources=(SliceSource(model=0),)),)) for n in "ab")),
        "no module or slice gives the tensors",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_slices_that_do_not_fit_are_told(trio: tuple[Artifact, ...], name: str) -> None:
    spec, message = WRONG[name]
    with pytest.raises(InputError, match=message):
        stream.check(spec, {"models": trio[:2]})


def test_slices_of_models_of_another_width_are_told(checkpoint: Make) -> None:
    narrow, wide = checkpoint("narrow", random_tensors(0)), checkpoint("wide", random_tensors(1, width=32))
    with pytest.raises(InputError, match=r"wide.* has model.layers.2.*\[32, 32\], but the config comes from narrow"):
        stream.check(stacked((0, (0, 2)), (1, (2, 5))), {"models": (narrow, wide)})


def test_modules_are_merged_each_in_its_own_way(checkpoint: Make) -> None:
    def both(seed: int) -> dict[str, torch.Tensor]:
        text = {name.replace("model.", "language_model.model.", 1): tensor for name, tensor in random_tensors(seed).items()}
        return text | {f"vision_tower.encoder.layers.{i}.fc.weight": torch.full((3, 4), seed * 10.0 + i) for i in range(2)}

    one, two = checkpoint("one", both(0)), checkpoint("two", both(1))
    average = MergeSlice(sources=(SliceSource(model=0), SliceSource(model=1)))
    spec = MergeStep(
        method="linear",
        modules=(
            MergeModule(name="text_decoder", slices=(average,)),
            MergeModule(name="vision_tower", slices=(average,), parameters={"weight": 2.0, "normalize": False}),
        ),
    )
    found, a, b = merged(spec, (one, two)), whole(one), whole(two)
    for name, value in found.items():
        torch.testing.assert_close(value, (a[name] + b[name]) * (2 if "vision" in name else 0.5))
    assert set(found) == set(a)


# --- adapters


@pytest.fixture(params=["lora", "rslora", "dora", "pickled"])
def adapter(request: pytest.FixtureRequest, tiny: Path, tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """An adapter of the tiny model with random values, in PEFT's format, and the model that PEFT folds it into."""
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    kind = {"rslora": {"use_rslora": True}, "dora": {"use_dora": True}}.get(request.param, {})
    config = peft.LoraConfig(
        r=3, lora_alpha=5, target_modules=["q_proj", "down_proj"], alpha_pattern={"layers.1.mlp.down_proj": 11}, **kind
    )
    wrapped = peft.get_peft_model(model, config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(parameter * (1 + 0.3 * noise) if "magnitude" in name else 0.1 * noise)
    wrapped.save_pretrained(tmp_path / "adapter", safe_serialization=request.param != "pickled")
    if request.param == "pickled" and (tmp_path / "adapter/adapter_model.safetensors").exists():
        held = Artifact("a", "a", "a", tmp_path / "adapter")
        torch.save(_adapter_tensors(held.path), tmp_path / "adapter/adapter_model.bin")
        (tmp_path / "adapter/adapter_model.safetensors").unlink()
    return tmp_path / "adapter", {name: tensor.detach() for name, tensor in wrapped.merge_and_unload().state_dict().items()}


def _adapter_tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


@PEFTS_OWN
def test_an_adapter_is_folded_while_its_model_is_read(adapter: tuple[Path, dict[str, torch.Tensor]], tiny: Path, tmp_path: Path) -> None:
    folder, folded = adapter
    config = tmp_path / "merge.yml"
    models = [{"model": str(tiny)}, {"model": f"{tiny}+{folder}", "parameters": {"weight": 3}}]
    config.write_text(json.dumps({"merge_method": "linear", "models": models, "dtype": "float32"}))
    ledger = doors.merge(config, tmp_path / "out", ONE)
    start, made = dict(open_checkpoint(tiny).tensors()), dict(open_checkpoint(tmp_path / "out").tensors())
    assert ledger["tensors"] == len(made) == len(start)
    for name, value in made.items():
        torch.testing.assert_close(value, 0.25 * start[name].float() + 0.75 * folded[name], atol=2e-6, rtol=2e-6)
    changed = [name for name in made if not torch.equal(made[name], start[name].float())]
    assert changed
    assert all("q_proj" in name or "down_proj" in name for name in changed)
    doors.verify(tmp_path / "out")
    assert f"{tiny}+{folder}" in (tmp_path / "out/README.md").read_text()


@PEFTS_OWN
def test_an_adapter_of_transposed_maps_is_folded(tmp_path: Path) -> None:
    """GPT-2 stores its maps as [in, out], which PEFT calls `fan_in_fan_out`."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    shape = {"vocab_size": 40, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=0, eos_token_id=0, tie_word_embeddings=False))
    model.save_pretrained(tmp_path / "model")
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=3, lora_alpha=7, target_modules=["c_attn"], fan_in_fan_out=True))
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape) * 0.2)
    wrapped.save_pretrained(tmp_path / "adapter")
    folded = wrapped.merge_and_unload().state_dict()
    source = Adapted(Written(tmp_path / "model", "model"), tmp_path / "adapter")
    changed = [name for name in source.names if name.endswith("c_attn.weight")]
    assert len(changed) == 2
    for name in source.names:
        found = torch.empty(source.shape(name), dtype=source.dtype(name))
        source.read(name, 0, found.view(-1))
        torch.testing.assert_close(found, folded[name], atol=1e-6, rtol=1e-6)


BROKEN: dict[str, tuple[Callable[[dict[str, Any], dict[str, torch.Tensor]], Any], str]] = {
    "another kind": (lambda config, _: config.update(peft_type="LOHA"), "no LoRA adapter"),
    "another model": (
        lambda _, tensors: tensors.update({"base_model.model.model.layers.77.mlp.up_proj.lora_A.weight": torch.ones(2, 2)}),
        "layers.77.mlp.up_proj.weight, which .* lacks",
    ),
    "half of a map": (lambda _, tensors: tensors.pop(next(n for n in tensors if "lora_B" in n)), "has half of"),
    "something else": (lambda _, tensors: tensors.update({"base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(2)}), "no low-rank"),
    "nothing": (lambda _, tensors: tensors.clear(), "holds no tensors"),
}  # fmt: skip


@PEFTS_OWN
@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("adapter", ["lora"], indirect=True)
def test_an_adapter_that_does_not_fit_is_told(adapter: tuple[Path, dict[str, torch.Tensor]], tiny: Path, name: str) -> None:
    from safetensors.torch import save_file

    folder, _ = adapter
    spoil, message = BROKEN[name]
    config, tensors = json.loads((folder / "adapter_config.json").read_text()), _adapter_tensors(folder)
    spoil(config, tensors)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    with pytest.raises(InputError, match=message):
        Adapted(Written(tiny, "tiny"), folder)
