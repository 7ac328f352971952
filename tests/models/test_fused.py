import copy
import shutil

import pytest
import torch

from eutectic.models import adapters, fused, loading, logprobs
from eutectic.models.attention import tiled_attention
from eutectic.models.packing import sequence, tile
from eutectic.specs.study import LoraSpec

CPU = torch.device("cpu")
ITEMS = [sequence(str(n), list(range(n, n + 40)), [True] * 40) for n in (5, 60, 120)]


def run(model):
    """Loss and gradients of one row."""
    (tiles,) = tile(ITEMS, 1024)
    with tiled_attention(model):
        loss = logprobs.token_loss(model.train(), tiles, 0.01)
        loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def pair(folder, dtype, lora):
    model = loading.load(folder, dtype, CPU)
    if lora is None:
        model.requires_grad_(True)
    else:
        adapters.attach(model, lora, 1)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(2))
    return model, copy.deepcopy(model)


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma"])
@pytest.mark.parametrize("lora", [None, LoraSpec(rank=4)])
def test_parts_give_the_loss_and_gradients_of_the_model_they_replace(family, lora, make_tiny, tmp_path):
    plain, other = pair(make_tiny(tmp_path / family, family), torch.float32, lora)
    loss, wanted = run(plain)
    found, grads = run(fused.fuse(other))
    assert float(found) == pytest.approx(float(loss), abs=1e-6)
    assert grads.keys() == wanted.keys()
    for name, grad in grads.items():
        torch.testing.assert_close(grad, wanted[name], atol=1e-6, rtol=1e-4)


def test_in_bf16_the_forward_is_the_same_bit_for_bit(tiny):
    plain, other = pair(tiny, torch.bfloat16, None)
    assert torch.equal(run(plain)[0], run(fused.fuse(other))[0])


def test_parts_are_found_in_a_llama_and_left_alone_where_they_differ(tiny, make_tiny, tmp_path):
    def replaced(folder):
        model = fused.fuse(loading.load(folder, torch.float32, CPU))
        return {type(module).__name__ for module in model.modules() if "forward" in vars(module)}

    assert replaced(tiny) == {"LlamaRMSNorm", "LlamaMLP"}
    assert replaced(make_tiny(tmp_path / "gemma", "gemma")) == set()  # its gain is 1 + weight, its gate a GELU


def test_dropout_keeps_pefts_own_layer(tiny):
    model, _ = pair(tiny, torch.float32, LoraSpec(rank=4, dropout=0.5))
    fused.fuse(model)
    assert not any("forward" in vars(module) for module in model.modules() if isinstance(module, fused.LoraLayer))


def test_written_gradients_are_those_of_autograd():
    gate, up, grad = (torch.randn(3, 50, dtype=torch.float64) for _ in range(3))
    for backward in (fused.gate_backward, fused.gate_backward_eager):
        inputs = [gate.clone().requires_grad_(), up.clone().requires_grad_()]
        fused.gate_forward(*inputs).backward(grad)
        for found, wanted in zip(backward(grad, gate, up), inputs, strict=True):
            torch.testing.assert_close(found, wanted.grad.to(found.dtype), atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler here")
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of its own parts
def test_compiled_parts_differ_in_rounding_only(tiny):
    plain, other = pair(tiny, torch.float32, None)
    loss, wanted = run(plain)
    found, grads = run(fused.fuse(other, compiled=True))
    assert float(found) == pytest.approx(float(loss), abs=1e-5)
    for name, grad in grads.items():
        torch.testing.assert_close(grad, wanted[name], atol=1e-5, rtol=1e-3)
