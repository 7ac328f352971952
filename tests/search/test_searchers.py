"""Searchers are the same again for the same scores; CMA-ES learns from them."""

import numpy as np
import pytest

from eutectic.search.searchers import Cma, Random

PEAK = np.array([0.31, 0.77, 0.45, 0.12])


def run(searcher, dimension, budget):
    found = []
    for _ in range(budget):
        place = searcher.ask()
        assert len(place) == dimension
        assert all(0 <= x <= 1 for x in place)
        score = -float(np.sum((np.array(place) - PEAK[:dimension]) ** 2))
        searcher.tell(score)
        found.append((place, score))
    return found


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_cma_es_comes_nearer_than_random_search(dimension):
    random, cma = (max(score for _, score in run(made(dimension, 3), dimension, max(120, 60 * dimension))) for made in (Random, Cma))
    assert cma > random
    assert cma > -1e-3


@pytest.mark.parametrize("made", [Random, Cma])
def test_the_same_scores_give_the_same_places(made):
    np.random.seed(5)
    first = run(made(3, 7), 3, 150)  # long enough for CMA-ES to converge and begin anew
    np.random.seed(6)
    assert run(made(3, 7), 3, 150) == first
    assert run(made(3, 8), 3, 10) != first[:10]


def test_cma_es_begins_anew_where_every_score_is_the_same():
    searcher, places = Cma(2, 1), []
    for _ in range(400):
        places.append(searcher.ask())
        searcher.tell(0.5)
    assert len(set(places)) == 400


def test_numpys_own_stream_is_left_alone():
    np.random.seed(5)
    before = np.random.get_state()[1].tolist()
    run(Cma(2, 1), 2, 30)
    assert np.random.get_state()[1].tolist() == before
