"""The probability ensemble in closed form."""

from eutectic.analysis.ensemble import ensemble
from eutectic.specs.rows import ItemScore


def row(answer, **found):
    return ItemScore(id="i", benchmark="b", group="g", role="", split="test", form="cloze", score=0, answer=answer, **found)


def test_ensemble_of_one_is_that_model():
    rows = [row(1, log_likelihoods=(-2.0, -9.0, -1.5), tokens=(1, 9, 1)), row(0, log_likelihoods=(-3.0, -1.0), tokens=(1, 1))]
    assert ensemble([rows]).tolist() == [1, 0]
    assert ensemble([[row(0, log_likelihoods=(-1.0, -9.0), tokens=(1, 9))]]).tolist() == [1]  # of equals the first
    assert ensemble([[row(0, log_likelihoods=(-3.0, -2.0), tokens=(1, 1), priors=(-5.0, -2.0))]]).tolist() == [1]


def test_ensemble_averages_probabilities():
    sure, unsure = (row(0, log_likelihoods=values, tokens=(1, 1)) for values in ((0.0, -10.0), (-1.0, -0.9)))
    assert ensemble([[sure], [unsure]]).tolist() == [1]
    assert ensemble([[unsure], [unsure]]).tolist() == [0]


def test_ensemble_counts_rotations_apart():
    one = row(0, log_likelihoods=(-1.0, -1.0), rotated=((-0.1, -3.0), (-3.0, -0.1)))
    other = row(0, log_likelihoods=(-1.0, -1.0), rotated=((-0.2, -2.0), (-0.1, -4.0)))
    assert ensemble([[one], [one]]).tolist() == [0.5]
    assert ensemble([[one], [other]]).tolist() == [1]
