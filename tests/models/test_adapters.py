import json

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from eutectic.errors import InputError
from eutectic.models import adapters, loading
from eutectic.models.checkpoint import copy_assets, open_checkpoint
from eutectic.specs.study import LoraSpec

PEFTS_OWN = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PeftModel asks transformers so
CPU = torch.device("cpu")
IDS = torch.tensor([[5, 6, 7, 8, 90, 21]])
FORMS = {
    "lora": LoraSpec(rank=4, alpha=8),
    "rslora": LoraSpec(rank=4, alpha=8, rslora=True),
    "dora": LoraSpec(rank=4, alpha=8, dora=True),
    "some": LoraSpec(rank=4, alpha=8, rslora=True, dora=True, targets=("q_proj", "mlp.down_proj")),
}


def learned(model):
    return {name: p.detach().float().clone() for name, p in model.named_parameters() if p.requires_grad}


def trained(folder, lora, dtype):
    """A model with adapters that have learned something, and their float32 masters, of which the live ones are roundings."""
    model = loading.load(folder, dtype, CPU)
    adapters.attach(model, lora, seed=1)
    masters = learned(model)
    generator = torch.Generator().manual_seed(0)
    for name, master in masters.items():
        master.add_(torch.randn(master.shape, generator=generator) * 0.1)
        dict(model.named_parameters())[name].data.copy_(master)
    return model, masters


@PEFTS_OWN
@pytest.mark.parametrize(("form", "family"), [*((form, "llama") for form in FORMS), ("dora", "gemma"), ("some", "qwen2")])
def test_folding_is_pefts_own_merge_in_float32(form, family, make_tiny, tmp_path):
    start = make_tiny(tmp_path / "start", family)
    model, masters = trained(start, FORMS[form], torch.float32)
    folded = adapters.Folded(model, masters, start)
    assert list(folded) == list(open_checkpoint(start).names)
    adapters.save(tmp_path / "adapter", model, folded)
    base = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(base, str(tmp_path / "adapter")).merge_and_unload()
    theirs = dict(merged.named_parameters())
    changed = [name for name in folded if not torch.equal(folded[name].float(), open_checkpoint(start).tensor(name).float())]
    assert len(changed) == (4 if form == "some" else 14)
    for name, tensor in folded.items():
        assert float((theirs[name].detach() - tensor).norm()) <= 1e-6 * float(tensor.float().norm())


@PEFTS_OWN
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_kept_adapters_give_the_folded_model(form, dtype, tiny, tmp_path):
    """Also where the live model was bf16 and a start in float32 holds more digits than that."""
    start, out = tmp_path / "start", tmp_path / "out"
    exact = {n: t.float() + 1e-4 * torch.randn(t.shape) for n, t in open_checkpoint(tiny).tensors()}
    loading.publish(exact, tiny, start, torch.float32)
    model, masters = trained(start, FORMS[form], dtype)
    folded = adapters.Folded(model, masters, start)
    loading.publish(folded, start, out, torch.float32)
    adapters.save(out / "adapter", model, folded)
    base = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    beside = peft.PeftModel.from_pretrained(base, str(out / "adapter"))
    plain = loading.load(out, torch.float32, CPU)
    torch.testing.assert_close(beside(input_ids=IDS).logits, plain(input_ids=IDS).logits, atol=2e-5, rtol=1e-5)
    live = 1e-5 if dtype == torch.float32 else 0.05  # bf16 has eight bits
    found, wanted = model(input_ids=IDS).logits.detach().float(), plain(input_ids=IDS).logits.detach()
    assert float((found - wanted).norm() / wanted.norm()) < live


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_adapters_start_without_effect_alive_and_folded(form, dtype, tiny):
    model, plain = (loading.load(tiny, dtype, CPU) for _ in range(2))
    adapters.attach(model, FORMS[form], seed=1)
    torch.testing.assert_close(plain(input_ids=IDS).logits, model(input_ids=IDS).logits, atol=0, rtol=0)
    for name, tensor in adapters.Folded(model, learned(model), tiny).items():
        torch.testing.assert_close(tensor.float(), open_checkpoint(tiny).tensor(name).float(), atol=0, rtol=3e-7)


def test_only_adapters_are_learned_and_in_the_models_type(tiny):
    for form in FORMS.values():
        model = loading.load(tiny, torch.bfloat16, CPU)
        adapters.attach(model, form, seed=1)
        mine = {name: p for name, p in model.named_parameters() if p.requires_grad}
        assert adapters.attached(mine)
        assert all("lora_" in name and p.dtype == torch.bfloat16 for name, p in mine.items())
        kinds = {name.split("lora_")[1].split(".")[0] for name in mine}
        assert kinds == ({"A", "B", "magnitude_vector"} if form.dora else {"A", "B"})


def test_rank_stabilised_scaling_grows_with_the_root_of_the_rank(tiny):
    for rslora, scaling in ((False, 2.0), (True, 4.0)):
        model = loading.load(tiny, torch.float32, CPU)
        adapters.attach(model, LoraSpec(rank=4, alpha=8, rslora=rslora, targets=("q_proj",)), seed=1)
        assert model.model.layers[0].self_attn.q_proj.scaling == {"default": scaling}


@pytest.mark.parametrize("target", ["query", "proj", "lm_head", "self_attn"])
def test_a_target_that_matches_nothing_is_an_error_with_the_names_there_are(target, tiny):
    model = loading.load(tiny, torch.float32, CPU)
    with pytest.raises(InputError) as error:
        adapters.attach(model, LoraSpec(targets=("q_proj", target)), seed=1)
    assert error.value.place == "lora.targets"
    assert repr(target) in error.value.found
    assert "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj" in error.value.remedy


def test_the_adapters_folder_is_the_same_every_time_and_stays_with_its_stage(tiny, tmp_path):
    for out in ("a", "b"):
        model, masters = trained(tiny, FORMS["dora"], torch.bfloat16)
        adapters.save(tmp_path / out / "adapter", model, adapters.Folded(model, masters, tiny))
    files = sorted(p.name for p in (tmp_path / "a" / "adapter").iterdir())
    assert files == ["adapter_config.json", "adapter_model.safetensors"]
    for name in files:
        assert (tmp_path / "a" / "adapter" / name).read_bytes() == (tmp_path / "b" / "adapter" / name).read_bytes()
    config = json.loads((tmp_path / "a" / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny)
    assert config["target_modules"] == sorted(config["target_modules"])
    assert (config["use_dora"], config["r"], config["lora_alpha"], config["task_type"]) == (True, 4, 8.0, "CAUSAL_LM")
    (tmp_path / "a" / "config.json").write_text("{}")
    copy_assets(tmp_path / "a", tmp_path / "next")
    assert [p.name for p in (tmp_path / "next").iterdir()] == ["config.json"]


def test_a_start_with_other_names_is_an_error(tiny, make_tiny, tmp_path):
    model, masters = trained(tiny, FORMS["lora"], torch.float32)
    with pytest.raises(InputError, match="do not fit"):
        adapters.Folded(model, masters, make_tiny(tmp_path / "short", layers=1))
