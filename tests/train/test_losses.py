import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eutectic.train import losses


@settings(deadline=None)
@given(st.floats(-80, -1e-6))
def test_log1mexp_is_exact(x):
    found = losses.log1mexp(torch.tensor(x, dtype=torch.float64))
    assert float(found) == pytest.approx(math.log(-math.expm1(x)) if x > -0.7 else math.log1p(-math.exp(x)), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("x", [-1e-7, -0.1, -0.6931, -0.7, -5.0, -200.0])
def test_log1mexp_has_a_finite_gradient(x):
    value = torch.tensor(x, requires_grad=True)
    losses.log1mexp(value).backward()
    assert float(value.grad) == pytest.approx(math.exp(x) / math.expm1(x), rel=1e-4)


def test_dpo_of_the_reference_itself_is_log_two_with_slope_half_beta():
    chosen, rejected = torch.tensor([-3.0, -40.0], requires_grad=True), torch.tensor([-5.0, -20.0])
    loss = losses.dpo(chosen, rejected, chosen.detach(), rejected, beta=0.3)
    assert loss.tolist() == pytest.approx([math.log(2)] * 2)
    loss.sum().backward()
    assert chosen.grad.tolist() == pytest.approx([-0.15] * 2)


def test_dpo_by_hand():
    loss = losses.dpo(torch.tensor([-1.0]), torch.tensor([-4.0]), torch.tensor([-2.0]), torch.tensor([-3.0]), beta=0.5)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-1.0)))


def test_hinge_by_hand():
    pairs = (torch.tensor([-1.0, -1.0]), torch.tensor([-4.0, -9.0]), torch.tensor([-2.0, -2.0]), torch.tensor([-3.0, -3.0]))
    assert losses.hinge(*pairs, beta=0.25).tolist() == pytest.approx([0.5, 0.0])  # log ratios part by 2 and by 7


def test_ipo_by_hand_is_0_at_its_target():
    pairs = (torch.tensor([-1.0, -1.0]), torch.tensor([-4.0, -3.0]), torch.tensor([-2.0, -2.0]), torch.tensor([-3.0, -4.5]))
    assert losses.ipo(*pairs, beta=0.25).tolist() == pytest.approx([0.0, 6.25])  # 2 and -0.5 against 1 / (2 beta) = 2


def test_simpo_by_hand():
    loss = losses.simpo(torch.tensor([-1.0, -1.0]), torch.tensor([-1.5, -3.0]), beta=2.0, gamma=1.0)
    assert loss.tolist() == pytest.approx([math.log(2), math.log(1 + math.exp(-3.0))])  # rewards part by gamma, and by gamma + 3


def test_orpo_by_hand():
    p, q = 0.6, 0.2
    odds = (p / (1 - p)) / (q / (1 - q))
    loss = losses.orpo(torch.tensor([math.log(p)]), torch.tensor([math.log(q)]))
    assert float(loss) == pytest.approx(-math.log(odds / (1 + odds)), rel=1e-6)


def test_orpo_stays_finite_where_an_answer_is_certain():
    certain = torch.tensor([0.0, -1e-9, -1e-3], requires_grad=True)
    loss = losses.orpo(certain, torch.tensor([-90.0, -1e-8, -2.0]))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(certain.grad).all()
