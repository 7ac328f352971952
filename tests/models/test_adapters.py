import torch

from eutectic.models import adapters, loading
from eutectic.models.checkpoint import open_checkpoint
from eutectic.specs.study import LoraSpec


def test_folding_gives_the_function_of_base_and_adapters(tiny):
    model = loading.load(tiny, torch.float32, torch.device("cpu"))
    adapters.attach(model, LoraSpec(rank=4, alpha=8), seed=1)
    learned = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert learned
    assert all("lora_" in name for name in learned)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in learned.values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    state = adapters.fold(model, {n: p.detach() for n, p in learned.items()})
    assert set(state) == set(open_checkpoint(tiny).names)
    plain = loading.load(tiny, torch.float32, torch.device("cpu"))
    loading.swap(plain, state.items())
    ids = torch.tensor([[5, 6, 7, 8]])
    torch.testing.assert_close(plain(input_ids=ids).logits, model(input_ids=ids).logits, atol=1e-4, rtol=1e-4)


def test_adapters_start_without_effect(tiny):
    model, plain = (loading.load(tiny, torch.float32, torch.device("cpu")) for _ in range(2))
    adapters.attach(model, LoraSpec(), seed=1)
    ids = torch.tensor([[5, 6, 7, 8]])
    torch.testing.assert_close(plain(input_ids=ids).logits, model(input_ids=ids).logits)
