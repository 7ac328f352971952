"""Merges equal in formula share one spec; every merge gets the controls it must beat."""

from typing import Any

import pytest

from eutectic.merge.canonical import canonical, controls
from eutectic.specs.steps import MergeStep

SCHEDULE = [{"filter": "mlp", "value": [0, 1]}, 0.5]


def step(method: str, seed: int = 0, **parameters: Any) -> MergeStep:
    return MergeStep(method=method, seed=seed, parameters={name.removesuffix("_"): value for name, value in parameters.items()})


SAME = [
    (step("linear", t=0.5), step("linear", 17, t=0.5)),
    (step("linear", t=0.5), step("linear", t=[0.5, 0.5])),
    (step("linear", t=0.5), step("linear", t=[{"filter": "mlp", "value": 0.5}, 0.5])),
    (step("linear", t=1), step("linear", t=1.0, normalize=True)),
    (step("linear", t=0.3), step("task_arithmetic", weight=0.3)),
    (step("linear", t=0.5), step("task_arithmetic", weight=0.25, lambda_=2)),
    (step("linear", t=SCHEDULE), step("task_arithmetic", weight=SCHEDULE)),
    (step("linear", t=1), step("task_arithmetic", weight=0.3, normalize=True)),
    (step("linear", t=1), step("ties", weight=0.3)),
    (step("linear", t=0.3), step("ties", weight=0.3, normalize=False)),
    (step("linear", t=0.3), step("dare_linear", 3, weight=0.3, density=1.0)),
    (step("linear", t=0.3), step("dare_linear", 3, weight=0.3, rescale=False)),
    (step("linear", t=0.3), step("della_linear", 3, weight=0.3, epsilon=0.1)),
    (step("linear", t=1), step("della", 3, weight=0.3, models=[{"epsilon": 0.1}])),
    (step("linear", t=0.3), step("breadcrumbs", weight=0.3, gamma=0.2)),
    (step("linear", t=0.3), step("breadcrumbs_ties", weight=0.3)),
    (step("linear", t=0), step("slerp", t=0)),
    (step("linear", t=1), step("slerp", t=[1, 1], scale="geometric")),
    (step("slerp", t=0.5), step("slerp", t=0.5, scale="raw")),
]
DIFFERENT = [
    (step("linear", t=0.5), step("linear", t=0.25)),
    (step("linear", t=0.5), step("slerp", t=0.5)),
    (step("slerp", t=0.5), step("slerp", t=0.5, scale="geometric")),
    (step("linear", t=0.5), step("ties", weight=0.5, density=0.5)),
    (step("dare_linear", 1, density=0.5), step("dare_linear", 2, density=0.5)),
    (step("linear", t=0.5), step("linear", t=0.5, out_dtype="float16")),
    (step("task_arithmetic", weight=[{"filter": "mlp", "value": 0.5}]), step("linear", t=0.5)),  # elsewhere the weight is 1
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_formulas_have_one_spec(one: MergeStep, other: MergeStep) -> None:
    assert canonical(one, has_base=True, n_models=1) == canonical(other, has_base=True, n_models=1)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_formulas_keep_different_specs(one: MergeStep, other: MergeStep) -> None:
    assert canonical(one, has_base=True, n_models=1) != canonical(other, has_base=True, n_models=1)


@pytest.mark.parametrize("made", [one for pair in SAME + DIFFERENT for one in pair])
def test_canonical_is_idempotent(made: MergeStep) -> None:
    once = canonical(made, has_base=True, n_models=1)
    assert canonical(once, has_base=True, n_models=1) == once


def test_several_models_keep_their_method() -> None:
    several = step("ties", models=[{"weight": 0.5, "density": 0.5}, {"weight": 0.5, "density": 0.7}])
    found = canonical(several, has_base=True, n_models=2)
    assert found == step("ties", models=[{"density": 0.5}, {"density": 0.7}])  # equal weights cancel out
    apart = step("ties", normalize=False, models=[{"weight": 0.5, "density": 0.5}, {"weight": 0.5, "density": 0.7}])
    assert canonical(apart, has_base=True, n_models=2).parameters["weight"] == 0.5
    assert canonical(step("linear", weight=3), has_base=False, n_models=2) == step("linear")
    assert canonical(step("linear", weight=3, normalize=False), has_base=False, n_models=2) == step("linear", weight=3, normalize=False)


def test_a_scheduled_slerp_gets_both_controls() -> None:
    assert controls(step("slerp", t=SCHEDULE)) == [
        ("linear_schedule", step("linear", t=[{"filter": "mlp", "value": [0, 1]}, 0.5])),
        ("linear", step("linear", t=0.5)),
    ]


def test_a_control_equal_to_the_merge_is_left_out() -> None:
    assert controls(step("linear", t=0.3)) == []
    assert controls(step("task_arithmetic", weight=0.3)) == []
    assert controls(step("linear", t=SCHEDULE)) == [("linear", step("linear", t=0.5))]
    assert controls(step("slerp", t=0.3)) == [("linear", step("linear", t=0.3))]


def test_a_blend_of_several_is_compared_with_their_average() -> None:
    assert controls(step("ties", density=0.5), n_models=2) == [("linear", step("linear"))]
    assert controls(step("linear", weight=2), n_models=2) == []
    assert controls(step("ties", density=0.5, normalize=False, weight=0.4), n_models=1) == [("linear", step("linear", t=0.4))]
