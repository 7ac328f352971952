"""The probability ensemble in closed form."""

from eutectic.analysis.ensemble import ensemble


def test_ensemble_of_one_is_that_model_and_averages_probabilities():
    rows, tokens = [[-2.0, -9.0, -1.0], [-3.0, -1.0]], [[1, 9, 1], [1, 1]]
    assert ensemble([rows], [tokens]).tolist() == [1, 1]  # -9/9 and -1/1 tie: the first option
    sure, unsure = [[0.0, -10.0]], [[-1.0, -0.9]]
    assert ensemble([sure, unsure], [[[1, 1]]] * 2).tolist() == [0]
    assert ensemble([unsure, unsure], [[[1, 1]]] * 2).tolist() == [1]
