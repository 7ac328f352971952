"""Layer schedules and filters: the values at each tensor, and what is refused."""

from typing import Any

import pytest

from eutectic.errors import InputError
from eutectic.merge.methods import find
from eutectic.merge.schedule import check_parameters, count_layers, depth, interpolate, layer_of, resolve, value_at

PAPER = [{"filter": "self_attn", "value": [0, 0.5, 0.3, 0.7, 1]}, {"filter": "mlp", "value": [1, 0.5, 0.7, 0.3, 0]}, 0.5]


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("model.layers.7.mlp.up_proj.weight", 7),
        ("transformer.h.11.attn.weight", 11),
        ("lm_head.weight", None),
        ("model.layers.3.experts.5.w", 3),
    ],
)
def test_the_layer_is_the_first_number_of_a_name(tensor: str, layer: int | None) -> None:
    assert layer_of(tensor) == layer


def test_depth_runs_from_embeddings_to_head() -> None:
    names = ["model.embed_tokens.weight", *(f"model.layers.{i}.mlp.w" for i in range(5)), "model.norm.weight", "lm_head.weight"]
    assert count_layers(names) == 5
    assert [depth(name, 5) for name in names] == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert depth("model.layers.0.mlp.w", 1) == 1  # as in mergekit


def test_a_list_is_piecewise_linear_and_exact_at_its_entries() -> None:
    entries = [0.1, 0.7, 0.3]
    assert [interpolate(entries, place) for place in (0, 0.25, 0.5, 1)] == [0.1, pytest.approx(0.4), 0.7, 0.3]
    assert interpolate([0.4], 0.9) == 0.4


def test_the_papers_schedule() -> None:
    def at(name: str) -> float | None:
        return value_at(PAPER, name, depth(name, 5))

    assert [at(f"model.layers.{i}.self_attn.q_proj.weight") for i in range(5)] == [0, 0.5, 0.3, 0.7, 1]
    assert [at(f"model.layers.{i}.mlp.up_proj.weight") for i in range(5)] == [1, 0.5, 0.7, 0.3, 0]
    assert at("model.embed_tokens.weight") == at("model.norm.weight") == at("model.layers.2.input_layernorm.weight") == 0.5
    assert value_at(PAPER, "model.layers.0.self_attn.q_proj.weight", depth("model.layers.0.self_attn.q_proj.weight", 5)) == 0
    assert value_at(PAPER, "model.layers.1.self_attn.q_proj.weight", depth("model.layers.1.self_attn.q_proj.weight", 9)) == 0.25


def test_a_bare_list_gives_the_head_its_last_entry() -> None:
    assert value_at([0, 1], "model.embed_tokens.weight", depth("model.embed_tokens.weight", 3)) == 0
    assert (
        value_at([0, 1], "lm_head.weight", depth("lm_head.weight", 3))
        == value_at([0, 1], "model.norm.weight", depth("model.norm.weight", 3))
        == 1
    )


def test_the_first_filter_that_fits_wins() -> None:
    assert (
        value_at([{"filter": "proj", "value": 1}, {"filter": "up_proj", "value": 2}], "layers.0.up_proj", depth("layers.0.up_proj", 1)) == 1
    )
    assert value_at([{"filter": "*", "value": 1}, {"value": 2}], "x", depth("x", 1)) == 1
    assert value_at({"filter": "mlp", "value": 3}, "layers.0.mlp", depth("layers.0.mlp", 1)) == 3


def test_values_of_one_model_come_before_those_of_the_merge() -> None:
    parameters = {"weight": 0.5, "density": 0.2, "models": [{"weight": [{"filter": "mlp", "value": 0.9}]}, {}]}
    found = resolve([parameters], parameters["models"], find("ties").schema, "layers.0.mlp.w", 1)
    assert found == {"weight": (0.9, 0.5), "density": (0.2, 0.2), "normalize": True, "rescale": False, "lambda_": 1.0}
    assert resolve([parameters], parameters["models"], find("ties").schema, "norm", 1)["weight"] == (0.5, 0.5)


def test_a_tensor_left_out_by_all_filters_is_an_error_naming_it() -> None:
    with pytest.raises(InputError, match=r"parameters\.t: no entry of `t` fits the tensor model\.norm.*bare value"):
        resolve([{"t": PAPER[:2]}], [{}], find("slerp").schema, "model.norm.weight", 1)


@pytest.mark.parametrize(
    ("method", "parameters", "message"),
    [
        ("slerp", {}, "`t` is missing"),
        ("slerp", {"t": "half"}, "neither a number"),
        ("slerp", {"t": True}, "neither a number"),
        ("slerp", {"t": []}, "neither a number"),
        ("slerp", {"t": float("nan")}, "finite"),
        ("slerp", {"t": [{"filtre": "x", "value": 1}]}, "is no filter"),
        ("slerp", {"t": [{"filter": "x", "value": [[1]]}]}, "numbers only"),
        ("slerp", {"t": 0.5, "scale": "log"}, "one of raw, geometric"),
        ("slerp", {"t": 0.5, "weight": 1}, "`weight` is not known"),
        ("ties", {"density": 0}, "above 0 and at most 1"),
        ("ties", {"density": [0.5, 1.5]}, "above 0 and at most 1"),
        ("ties", {"normalize": 1}, "true or false"),
        ("ties", {"models": [{}]}, "one mapping for each of the 2 models"),
        ("ties", {"models": [{"lambda": 1}, {}]}, "holds for the whole merge"),
        ("ties", {"out_dtype": "int8"}, "one of float32"),
    ],
)
def test_what_is_wrong_with_parameters_is_said_with_its_place(method: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        check_parameters([("parameters", parameters)], parameters.get("models", []), find(method).schema, 2)
    assert caught.value.place.startswith("parameters")
