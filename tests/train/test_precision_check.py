"""Half an ulp by torch's own numbers, and when the warning is given."""

import math

import pytest
import torch
from training_world import step

from eutectic.models import checkpoint
from eutectic.specs.study import LoraSpec
from eutectic.train import precision_check


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("value", [0.021, 0.03125, 1.0, 3.9])
def test_half_an_ulp_is_where_rounding_turns(dtype, value):
    stored = torch.tensor(value, dtype=dtype)
    half = precision_check.half_ulp(float(stored), dtype)
    assert (stored.double() + 0.99 * half).to(dtype) == stored
    assert (stored.double() + 1.01 * half).to(dtype) > stored


def test_nothing_is_below_the_smallest_normal_number():
    assert precision_check.half_ulp(0.0, torch.bfloat16) == precision_check.half_ulp(torch.finfo(torch.bfloat16).tiny, torch.bfloat16) > 0


def test_the_sentence_has_the_numbers_and_the_remedy():
    spec = step("dpo", learning_rate=5e-7)
    said = precision_check.warning("instruct/dpo", spec, 80, 0.021)
    assert said.startswith("instruct/dpo: 80 updates at a learning rate of at most 5e-07 move a weight by at most 4e-05")
    assert "half a step of bfloat16 (6.1e-05) at the median weight 0.021" in said
    assert "publish_dtype: float32" in said


@pytest.mark.parametrize(
    "changes", [{"learning_rate": 1e-5}, {"publish_dtype": "float32"}, {"publish_dtype": "float16"}, {"lora": LoraSpec(rank=2)}]
)
def test_it_is_silent_where_weights_move(changes):
    assert precision_check.warning("a", step("dpo", **({"learning_rate": 5e-7} | changes)), 80, 0.021) == ""
    assert precision_check.warning("a", step("dpo", learning_rate=5e-7), 8000, 0.021) == ""


def test_the_median_is_that_of_the_matrices(tmp_path):
    torch.manual_seed(0)
    tensors = [(f"model.layers.{i}.mlp.up_proj.weight", torch.randn(300, 300) * 0.02) for i in range(40)]
    checkpoint.write(tmp_path, [*tensors, ("model.norm.weight", torch.full((100_000,), 9.0))], dtype=torch.bfloat16)
    assert math.isclose(precision_check.median_weight(tmp_path), 0.6745 * 0.02, rel_tol=0.02)
