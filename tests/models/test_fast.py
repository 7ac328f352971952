"""Which models may be computed piecewise, and how far."""

import json

import pytest
import torch
import transformers

from eutectic.models import fast, loading
from eutectic.models.fast import FAR, fast_head

CPU = torch.device("cpu")
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def made(family, **extra):
    """A tiny random model of a class that the fixtures do not make."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES, **extra)
    return getattr(transformers, f"{family}ForCausalLM")(config).eval()


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_families_that_agree_with_their_own_forward(tmp_path, make_tiny, family, dtype):
    model = loading.load(make_tiny(tmp_path, family=family), dtype, CPU)
    head = fast_head(model, 500)
    states = torch.randn(3, 32, dtype=dtype, generator=torch.Generator().manual_seed(1))
    assert head is not None
    assert head(states).shape == (3, model.config.vocab_size)


@pytest.mark.parametrize(
    ("family", "extra"), [("Granite", {"logits_scaling": 4.0, "residual_multiplier": 0.5}), ("Cohere", {"logit_scale": 0.25})]
)
@torch.inference_mode()
def test_heads_that_scale_their_logits(family, extra):
    model, ids = made(family, **extra), torch.tensor([[5, 6, 7]])
    head = fast_head(model, 100)
    assert head is not None
    assert torch.allclose(head(model.get_decoder()(ids).last_hidden_state), model(ids).logits, atol=1e-6)


def test_a_head_that_does_more_than_is_known_is_not_trusted(monkeypatch):
    model = made("Cohere", logit_scale=0.25)
    monkeypatch.setattr(model, "logit_scale", 0.5)  # not what the configuration says
    assert fast_head(model, 10) is None


def test_state_space_layers_are_not_given_forests():
    config = transformers.MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, state_size=4, pad_token_id=0)
    assert fast_head(transformers.MambaForCausalLM(config).eval(), 10) is None


def test_angles_that_change_with_the_length_of_a_row_limit_it(tmp_path, make_tiny):
    folder = make_tiny(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0, "original_max_position_embeddings": 128}
    (folder / "config.json").write_text(json.dumps(config))
    model = loading.load(folder, torch.float32, CPU)
    assert fast_head(model, 128) is not None
    assert fast_head(model, 129) is None


def test_a_window_that_layers_tell_is_no_limit_and_one_they_keep_to_themselves_is(tmp_path, make_tiny):
    folder = make_tiny(tmp_path, family="mistral")
    config = json.loads((folder / "config.json").read_text()) | {"sliding_window": 24}
    (folder / "config.json").write_text(json.dumps(config))
    model = loading.load(folder, torch.float32, CPU)
    assert fast_head(model, 500) is not None
    assert fast._told(model.config, {24}) == FAR
    assert fast._told(model.config, set()) == 24


def test_weights_that_are_not_numbers_say_nothing_about_the_architecture(tiny):
    model = loading.load(tiny, torch.float32, CPU)
    kept = model.get_decoder().norm.weight.clone()
    with torch.no_grad():
        model.get_decoder().norm.weight.fill_(float("nan"))
        assert fast_head(model, 10) is not None
        assert model not in fast._reach
        model.get_decoder().norm.weight.copy_(kept)
    assert fast_head(model, 10) is not None
    assert fast._reach[model] == FAR
