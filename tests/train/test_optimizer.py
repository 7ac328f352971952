import pytest
import torch
from training_world import step

from eutectic.models import loading, logprobs
from eutectic.models.attention import tiled_attention
from eutectic.models.packing import sequence, tile
from eutectic.train.optimizer import Masters

CPU = torch.device("cpu")
ITEMS = [sequence(str(i), [4 + i, 9, 11, 30 + i, 7, 8], [True] * 6) for i in range(12)]


def learn(model, masters, batches, rate):
    total = sum(len(item.targets) for batch in batches for item in batch)
    with tiled_attention(model):
        for batch in batches:
            for tiles in tile(batch, 2048):
                logprobs.token_loss(model, tiles, 1 / total).backward()
    return masters.step(rate)


def test_accumulated_batches_equal_the_big_one(tiny):
    found = []
    for batches in ([ITEMS], [ITEMS[:5], ITEMS[5:6], ITEMS[6:]]):
        model = loading.load(tiny, torch.float32, CPU).requires_grad_(True)
        masters = Masters(model, step("cpt"))
        norm = learn(model, masters, batches, 1e-3)
        found.append((norm, masters.masters))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for name, tensor in found[0][1].items():
        torch.testing.assert_close(tensor, found[1][1][name], atol=1e-5, rtol=1e-4)


def test_small_steps_add_up_in_the_masters_though_bf16_weights_stand(tiny):
    """Fifty Adam steps of 5e-7 move a weight by 2.5e-5: below half a bf16 step of most weights, above one float32 step of all."""
    model = loading.load(tiny, torch.bfloat16, CPU).requires_grad_(True)
    masters = Masters(model, step("cpt"))
    start = {name: tensor.clone() for name, tensor in masters.masters.items()}
    for _ in range(50):
        learn(model, masters, [ITEMS], 5e-7)
    name = "model.layers.0.mlp.up_proj.weight"
    moved = (masters.masters[name] - start[name]).abs()
    assert float(moved.mean()) > 0.5e-5
    live = dict(model.named_parameters())[name]
    assert torch.equal(live, masters.masters[name].to(torch.bfloat16))


def test_masters_are_plain_adamw(tiny):
    model, twin = (loading.load(tiny, torch.float32, CPU).requires_grad_(True) for _ in range(2))
    masters = Masters(model, step("cpt", max_grad_norm=1e9))
    adam = torch.optim.AdamW(twin.parameters(), lr=1e-3, weight_decay=0.0)
    total = sum(len(item.targets) for item in ITEMS)
    for _ in range(3):
        learn(model, masters, [ITEMS], 1e-3)
        adam.zero_grad()
        with tiled_attention(twin):
            for tiles in tile(ITEMS, 2048):
                logprobs.token_loss(twin, tiles, 1 / total).backward()
        adam.step()
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(masters.masters[name], parameter.detach(), atol=1e-5, rtol=1e-4)


def test_the_gradient_is_clipped_to_its_norm_and_a_broken_one_changes_nothing(tiny):
    model = loading.load(tiny, torch.float32, CPU).requires_grad_(True)
    masters = Masters(model, step("cpt"))
    before = {name: tensor.clone() for name, tensor in masters.masters.items()}
    next(iter(masters.masters.values())).grad.fill_(float("nan"))
    assert not masters.step(1.0) < float("inf")
    assert all(torch.equal(before[name], tensor) for name, tensor in masters.masters.items())
