import pytest
import torch
from training_world import step

from eutectic.models import loading, logprobs
from eutectic.models.attention import tiled_attention
from eutectic.models.packing import sequence, tile
from eutectic.train.optimizer import Masters, make, rounded
from eutectic.train.team import Team

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
        masters = Masters(model, step("cpt"), Team())
        norm = learn(model, masters, batches, 1e-3)
        found.append((norm, masters.masters))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    for name, tensor in found[0][1].items():
        torch.testing.assert_close(tensor, found[1][1][name], atol=1e-5, rtol=1e-4)


def test_small_steps_add_up_in_the_masters_though_bf16_weights_stand(tiny):
    """Fifty Adam steps of 5e-7 move a weight by 2.5e-5: below half a bf16 step of most weights, above one float32 step of all."""
    model = loading.load(tiny, torch.bfloat16, CPU).requires_grad_(True)
    masters = Masters(model, step("cpt"), Team())
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
    masters = Masters(model, step("cpt", max_grad_norm=1e9), Team())
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
    masters = Masters(model, step("cpt"), Team())
    before = {name: tensor.clone() for name, tensor in masters.masters.items()}
    next(iter(masters.gradients.parameters.values())).grad = torch.full_like(next(iter(model.parameters())), float("nan"))
    assert not masters.step(1.0) < float("inf")
    assert all(torch.equal(before[name], tensor) for name, tensor in masters.masters.items())


def displacements(tiny, precision, dtype, rate):
    """What fifty updates added to every weight, as exactly as the optimiser knows it, `[weights]`."""
    model = loading.load(tiny, dtype, CPU).requires_grad_(True)
    optimizer = make(model, step("cpt", precision=precision, learning_rate=rate), Team())
    start = torch.cat([tensor.detach().double().flatten() for tensor in optimizer.weights().values()])
    for _ in range(50):
        learn(model, optimizer, [ITEMS], rate)
    return torch.cat([tensor.detach().double().flatten() for tensor in optimizer.weights().values()]) - start


@pytest.mark.parametrize("rate", [5e-7, 2e-5])
def test_displacement_is_that_of_float32(tiny, rate):
    """Masters take the steps of an all-float32 run though forward and backward are bf16."""
    exact = displacements(tiny, "float32", torch.float32, rate)
    masters = displacements(tiny, "mixed", torch.bfloat16, rate)
    assert float(masters.norm()) == pytest.approx(float(exact.norm()), rel=0.02)


@pytest.mark.parametrize("rate", [5e-7, 2e-5])
def test_stochastic_rounding_moves_weights_as_far_on_average(tiny, rate):
    """A weight moves by whole bf16 steps or not at all, but the mean movement along the float32 one is the float32 one."""
    exact = displacements(tiny, "float32", torch.float32, rate)
    drawn = displacements(tiny, "bf16-stochastic", torch.bfloat16, rate)
    assert float(drawn @ exact / (exact @ exact)) == pytest.approx(1.0, abs=0.02)


def test_stochastic_rounding_is_unbiased_and_to_a_neighbour():
    value = torch.full((200_000,), 1.0 + 2.0**-7 * 0.3)  # three tenths of the way from one bf16 number to the next
    found = rounded(value.clone(), torch.Generator().manual_seed(0)).float()
    assert set(found.tolist()) == {1.0, 1.0 + 2.0**-7}
    assert float((found > 1).float().mean()) == pytest.approx(0.3, abs=0.005)


def test_stochastic_rounding_resumes_bit_for_bit_and_takes_ten_bytes_a_weight(tiny):
    found = []
    for stop in (None, 3):
        model = loading.load(tiny, torch.bfloat16, CPU).requires_grad_(True)
        optimizer = make(model, step("cpt", precision="bf16-stochastic"), Team())
        for _ in range(stop or 6):
            learn(model, optimizer, [ITEMS], 1e-3)
        if stop:
            kept = {name: tensor.clone() for name, tensor in optimizer.tensors()}
            model = loading.load(tiny, torch.bfloat16, CPU).requires_grad_(True)
            optimizer = make(model, step("cpt", precision="bf16-stochastic"), Team())
            for name, tensor in optimizer.tensors():
                tensor.copy_(kept[name])
            optimizer.restored(3)
            for _ in range(3):
                learn(model, optimizer, [ITEMS], 1e-3)
        found.append(optimizer)
    one, other = (dict(each.tensors()) for each in found)
    assert all(torch.equal(one[name], other[name]) for name in one)
    weights = sum(tensor.numel() for tensor in found[0].weights().values())
    state = sum(t.numel() * t.element_size() for t in [*one.values(), *found[0].gradients.sums.values()])
    assert state == 10 * weights
