"""FLOPs by formula against torch's own counter, which watches the operations of a real step."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, mm_flop
from training_world import KINDS, step

from eutectic.errors import InputError
from eutectic.fingerprint import stream_seed
from eutectic.models import adapters, loading
from eutectic.models.attention import tiled_attention
from eutectic.models.logprobs import TILE_TOKENS, group_logprobs, token_loss
from eutectic.models.packing import sequence, tile
from eutectic.specs.study import LoraSpec
from eutectic.train import flops, outline

WIDE = 128  # as wide as a tile, so that nothing is padding


def texts(count=3):
    return [sequence(str(i), [5 + i] * WIDE, [False] * 28 + [True] * 100) for i in range(count)]


def pairs():
    answers = [([7] * 30, [True] * 30), ([8] * 34, [True] * 34)]
    return [sequence("pair", [6] * (WIDE - 64), [False] * (WIDE - 64), answers)]


def counted(model, examples, loss):
    in_place = {torch.ops.aten.addmm_: lambda _, a, b, **more: mm_flop(a, b)}  # the counter knows only the one that returns
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter, tiled_attention(model):
        for tiles in tile(examples, TILE_TOKENS):
            loss(model, tiles).backward()
    return counter.get_total_flops()


def whole(examples):
    """The volume as dense attention sees it: every key of the row, masked or not."""
    found = flops.volume(examples)
    return flops.Volume(found.tokens, sum(len(item) ** 2 for item in examples), found.scored)


@pytest.fixture
def model(tiny):
    loaded = loading.load(tiny, torch.float32, torch.device("cpu"))
    loaded.requires_grad_(True)
    return loaded


@pytest.mark.parametrize("family", ["llama", "gemma", "qwen2"])
def test_full_training_costs_what_torch_counts(make_tiny, tmp_path, family):
    folder = make_tiny(tmp_path / family, family)
    model = loading.load(folder, torch.float32, torch.device("cpu"))
    model.requires_grad_(True)
    measured = counted(model, texts(), lambda m, t: token_loss(m, t, 1.0))
    assert measured == flops.training(flops.shape(folder), whole(texts()), lora=None, logits_twice=False)


def test_preferences_make_the_logits_twice(model, tiny):
    measured = counted(model, pairs(), lambda m, t: group_logprobs(m, t, 2)[0].sum())
    assert measured == flops.training(flops.shape(tiny), whole(pairs()), lora=None, logits_twice=True)


def test_a_reference_pass_is_a_forward(model, tiny):
    with torch.no_grad(), FlopCounterMode(display=False) as counter, tiled_attention(model):
        for tiles in tile(pairs(), TILE_TOKENS):
            group_logprobs(model, tiles, 2)
    assert counter.get_total_flops() == flops.forward(flops.shape(tiny), whole(pairs()))


def test_adapters_spare_the_gradients_of_the_frozen_matrices(model, tiny):
    lora = LoraSpec(rank=4)
    adapters.attach(model, lora, stream_seed(1, "adapters"))
    measured = counted(model, texts(), lambda m, t: token_loss(m, t, 1.0))
    shape, read = flops.shape(tiny), whole(texts())
    first = [size for name, size in shape.maps.items() if ".layers.0.self_attn." in name and "o_proj" not in name]
    spared = sum(2 * out * into + 2 * lora.rank * into for out, into in first) * read.tokens  # no gradient reaches the frozen embedding
    assert measured == flops.training(shape, read, lora=lora, logits_twice=False) - spared
    assert flops.adapter_elements(shape, LoraSpec(rank=4, targets=("q_proj",))) == 2 * 4 * (32 + 32)


def test_a_token_sees_its_trunk_and_its_own_branch(tiny):
    read = flops.volume([sequence("pair", [1, 2, 3], [False] * 3, [([4, 5], [True] * 2), ([6], [True])])])
    assert read == flops.Volume(tokens=6, seen=(1 + 2 + 3) + (4 + 5) + 4, scored=3)


def test_the_embedding_costs_nothing_and_a_token_of_a_mixture_passes_through_its_share(tiny, tmp_path):
    shape = flops.shape(tiny)
    assert not [name for name in shape.maps if "embed" in name or "norm" in name]
    (tmp_path / "config.json").write_text('{"model_type": "mamba2"}')
    with pytest.raises(InputError, match="shape of the model"):
        flops.shape(tmp_path)


@pytest.mark.parametrize("objective", ["cpt", "sft", "dpo", "orpo"])
def test_an_outline_counts_without_training(tiny, datasets, objective):
    found = outline.outline(step(objective), tiny, datasets[KINDS[objective]])
    assert found["examples"] == 48
    assert found["pairs"] == (48 if objective in ("dpo", "orpo") else 0)
    assert 0 < found["loss_tokens"] < found["tokens"]
    assert 1e-3 * found["updates"] / 3 < found["learning_rate_integral"] <= 1e-3 * found["updates"]
    assert len(found["plan"]) == 64


def test_a_reference_and_adapters_show_in_the_flops(tiny, datasets):
    specs = (step("dpo"), step("orpo", parameters={"likelihood": "answer"}))
    dpo, orpo = (outline.outline(spec, tiny, datasets["preference"])["flops"] for spec in specs)
    assert 1.1 < dpo / orpo < 1.25  # one forward for the two epochs: a sixth
    light = outline.outline(step("sft", lora=LoraSpec(rank=2)), tiny, datasets["instruction"])["flops"]
    assert light < outline.outline(step("sft"), tiny, datasets["instruction"])["flops"]
