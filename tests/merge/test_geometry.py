"""What a merge did: angles, distances and branches against closed forms; ulps against the next float."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_tensors import NAMES, random_tensors

from eutectic.artifacts import SUMMARY, TENSORS, Artifact, read_rows
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.merge import geometry
from eutectic.models.checkpoint import open_checkpoint
from eutectic.specs.rows import TensorGeometry
from eutectic.specs.steps import GeometryStep, MergeStep


def measured(
    out: Path, method: str, base: Artifact | None, parents: list[Artifact], **parameters: Any
) -> tuple[dict[str, TensorGeometry], dict[str, Any]]:
    roles = {"base": (base,) if base else (), "models": tuple(parents)}
    merge = Artifact("checkpoint", "m", "m", None, MergeStep(method=method, parameters=parameters), roles)
    out.mkdir(exist_ok=True)
    geometry.build(GeometryStep(), {"merge": (merge,)}, out, Context(threads=2))
    rows = read_rows(out / TENSORS, TensorGeometry)
    return {row.tensor: row for row in rows}, json.loads((out / SUMMARY).read_text())


def test_angles_norms_and_distances_are_those_of_the_vectors(tmp_path: Path, trio: tuple[Artifact, ...]) -> None:
    rows, summary = measured(tmp_path, "slerp", trio[0], [trio[1]], t=[0, 1])
    a, b = (dict(open_checkpoint(model.path).tensors()) for model in trio[:2])
    assert tuple(rows) == NAMES
    for name, row in rows.items():
        x, y = a[name].double().flatten(), b[name].double().flatten()
        assert row.angle == pytest.approx(math.acos(float(x @ y / x.norm() / y.norm())), rel=1e-12)
        assert row.norms == pytest.approx((float(x.norm()), float(y.norm())), rel=1e-12)
        assert row.relative_distance == pytest.approx(float((x - y).norm() / x.norm()), rel=1e-9)
        assert row.sign_conflicts == pytest.approx(float((x * y < 0).double().mean()))
    assert rows["model.layers.0.mlp.up_proj.weight"].branch == "copy"
    middle = rows["model.layers.2.mlp.up_proj.weight"]
    assert (middle.branch, middle.layer, middle.module, middle.t) == ("slerp", 2, "mlp.up_proj", 0.5)
    assert middle.ulps_from_linear > 1000  # unrelated models are far from a line
    assert summary["max_ulps_from_linear"] == max(row.ulps_from_linear for row in rows.values())
    assert summary["branches"] == {"copy": 8, "slerp": 9}
    assert 0 < summary["linear_share"] < 1


def test_slerp_of_bf16_siblings_is_linear_within_an_ulp(tmp_path: Path, checkpoint: Callable[..., Artifact]) -> None:
    """At 3 % apart the arc is 1/cos(w/2), that is 1.0001 times the line: less than an ulp of bf16."""
    parents = random_tensors(0, torch.bfloat16)
    base, model = checkpoint("base", parents), checkpoint("sibling", random_tensors(1, torch.bfloat16, near=parents))
    rows, summary = measured(tmp_path, "slerp", base, [model], t=0.5)
    assert {row.branch for row in rows.values()} == {"slerp"}
    assert 0 < summary["max_ulps_from_linear"] <= geometry.EQUAL_ULPS
    assert summary["linear_share"] == 1
    assert summary["angle_median"] == pytest.approx(0.03, rel=0.1)


def test_a_linear_merge_is_no_distance_from_itself(tmp_path: Path, trio: tuple[Artifact, ...]) -> None:
    rows, summary = measured(tmp_path, "linear", trio[0], [trio[1]], t=0.5)
    assert summary["max_ulps_from_linear"] == 0
    assert {row.branch for row in rows.values()} == {"linear"}


def test_a_blend_is_compared_with_the_average_of_its_models(tmp_path: Path, trio: tuple[Artifact, ...]) -> None:
    rows, summary = measured(tmp_path, "ties", trio[0], list(trio[1:]), density=0.5)
    assert {len(row.norms) for row in rows.values()} == {3}
    assert summary["branches"] == {"elected": 17}
    assert summary["linear_share"] < 0.1


def test_signs_of_several_models_are_those_of_their_deltas(tmp_path: Path, trio: tuple[Artifact, ...]) -> None:
    rows, summary = measured(tmp_path, "ties", trio[0], list(trio[1:]), density=0.5)
    base, one, two = (dict(open_checkpoint(model.path).tensors()) for model in trio)
    for name, row in rows.items():
        assert row.sign_conflicts == pytest.approx(float(((one[name] - base[name]) * (two[name] - base[name]) < 0).double().mean()))
    assert 0.2 < summary["sign_conflicts"] < 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_ulps_count_steps_to_the_next_number(dtype: torch.dtype) -> None:
    start = torch.tensor([1.0, 1.5, -3.0, 1e-3, 0.0]).to(dtype)
    bits = torch.int32 if dtype == torch.float32 else torch.int16
    none = torch.zeros(5)
    for steps in (0, 1, 2, 5):
        moved = (start.view(bits) + steps).view(dtype)  # steps away from zero
        assert geometry.ulps_between(start, moved, none).tolist() == [steps] * 5
        assert geometry.ulps_between(moved, start, none).tolist() == [steps] * 5
        assert geometry.ulps_between(start, moved, 4 * start.float().abs()).tolist()[:3] == [steps / 4] * 3
    assert (
        geometry.ulps_between(torch.tensor([1.0]).to(dtype), torch.tensor([-1.0]).to(dtype), torch.zeros(1)).item()
        == 2 / torch.finfo(dtype).eps
    )


def test_cancelling_siblings_are_judged_at_the_size_of_their_parents(tmp_path: Path, checkpoint: Callable[..., Artifact]) -> None:
    """Weights that change sign between siblings leave a result near zero, whose own last place means nothing."""
    generator = torch.Generator().manual_seed(0)
    tensor, noise = (torch.randn(200_000, generator=generator) for _ in range(2))
    base, model = checkpoint("base", {"x": tensor.bfloat16()}), checkpoint("model", {"x": (tensor + 0.03 * noise).bfloat16()})
    rows, _ = measured(tmp_path, "slerp", base, [model], t=0.3)
    assert rows["x"].angle == pytest.approx(0.03, rel=0.05)
    assert 0 < rows["x"].ulps_from_linear <= geometry.EQUAL_ULPS


def test_only_a_merge_has_a_geometry(tmp_path: Path, trio: tuple[Artifact, ...]) -> None:
    with pytest.raises(InputError, match="base is no merge"):
        geometry.build(GeometryStep(), {"merge": (trio[0],)}, tmp_path, Context())
