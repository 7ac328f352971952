"""A space is written like the parameters of a merge, with ranges; a wrong one is told with its place."""

import pytest

from eutectic.errors import InputError
from eutectic.search.space import Space
from eutectic.specs.steps import SearchStep


def space(method="slerp", n_models=1, has_base=True, **fields):
    return Space(SearchStep(**{"method": method, "budget": 4, "items": 4, **fields}), n_models, has_base=has_base)


def test_numbers_schedules_and_filters_take_coordinates_in_their_order():
    made = space(space={"t": [{"filter": "mlp", "value": [[0, 1], [0.2, 0.4], 0.5]}, [0.5, 1.5]]})
    assert [(axis.name, axis.low, axis.high) for axis in made.axes] == [
        ("t.0.value.0", 0, 1),
        ("t.0.value.1", 0.2, 0.4),
        ("t.1", 0.5, 1.5),
    ]
    assert made.parameters((0.25, 0.5, 1.0)) == {"t": [{"filter": "mlp", "value": [0.25, pytest.approx(0.3), 0.5]}, 1.5]}
    assert made.merge((0, 0, 0)).method == "slerp"


def test_what_may_differ_is_tuned_for_each_model():
    made = space("ties", 2, space={"weight": [0, 1], "density": [0.2, 1], "lambda": [0.5, 1]}, parameters={"normalize": False})
    names = [axis.name for axis in made.axes]
    assert names == ["lambda", "models.0.weight", "models.0.density", "models.1.weight", "models.1.density"]
    assert made.parameters((0.0, 0.1, 1.0, 0.2, 0.5)) == {
        "normalize": False,
        "lambda": 0.5,
        "models": [{"weight": 0.1, "density": 1.0}, {"weight": 0.2, "density": pytest.approx(0.6)}],
    }
    own = space("ties", 2, space={"models": [{"weight": [0, 1]}, {"weight": [0, 0.5]}]}, parameters={"models": [{"density": 0.3}, {}]})
    assert own.parameters((0.5, 0.5))["models"] == [{"density": 0.3, "weight": 0.5}, {"weight": 0.25}]
    assert [axis.name for axis in space("task_arithmetic", 1, space={"weight": [0, 1]}).axes] == ["weight"]


def test_the_last_coordinate_chooses_among_models():
    made = space(n_models=3, one_of=True, space={"t": [0, 1]})
    assert made.dimension == 2
    assert [made.choice((0.5, place)) for place in (0.0, 0.3, 0.34, 0.99, 1.0)] == [0, 0, 1, 2, 2]
    assert made.parameters((0.5, 0.9)) == {"t": 0.5}
    assert space(space={"t": [0, 1]}).choice((0.9,)) == 0


@pytest.mark.parametrize(
    ("found", "place", "fields"),
    [
        ("`tt` is not known", "space.tt", {"space": {"t": [0, 1], "tt": [0, 1]}}),
        (r"range \[1, 1\] is empty", "space.t", {"space": {"t": [1, 1]}}),
        (r"range \[0.4, 0.2\] is empty", "space.t.1", {"space": {"t": [[0, 1], [0.4, 0.2]]}}),
        ("holds no range", "space", {"space": {"t": 0.5}}),
        ("'high' is no range", "space.t", {"space": {"t": "high"}}),
        ("no number that could be tuned", "space.scale", {"space": {"t": [0, 1], "scale": [0, 1]}}),
        ("stands in `parameters` too", "space.t", {"space": {"t": [0, 1]}, "parameters": {"t": 0.5}}),
        ("no merge method", "method", {"method": "slerpp", "space": {"t": [0, 1]}}),
        ("`density` is 0", "space.density", {"method": "ties", "n_models": 2, "space": {"density": [0, 1]}}),
        ("one mapping for each of the 2 models", "space.models", {"method": "ties", "n_models": 2, "space": {"models": [{}]}}),
        ("one mapping for each model", "space.models", {"method": "ties", "n_models": 2, "space": {"models": 3}}),
        ("takes 1 model", "models", {"n_models": 2, "space": {"t": [0, 1]}}),
    ],
)
def test_a_space_that_cannot_be_searched(found, place, fields):
    with pytest.raises(InputError, match=found) as error:
        space(**fields)
    assert error.value.place == place
