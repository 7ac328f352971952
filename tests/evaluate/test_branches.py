"""Branches: what many items share, each token of it once."""

from eutectic.evaluate.branches import grow, stem
from eutectic.evaluate.tree import Ask

SHOTS, PASSAGE, OTHER = tuple(range(100, 200)), tuple(range(200, 260)), tuple(range(300, 360))


def items(count, before, own):
    return [(*before, own + i, own + i + 1) for i in range(count)]


def test_a_prefix_of_all_and_passages_of_some_are_branches_one_behind_the_other():
    stems = items(20, SHOTS + PASSAGE, 1000) + items(20, SHOTS + OTHER, 2000) + items(20, SHOTS, 3000)
    root, shots, first, second = grow(stems, spared=500)
    assert (root.tokens, root.members) == ((), [])
    assert (shots.start, shots.tokens, sorted(shots.members)) == (0, SHOTS, list(range(40, 60)))
    assert (first.start, first.tokens, sorted(first.members)) == (100, PASSAGE, list(range(20)))
    assert (second.start, second.tokens, sorted(second.members)) == (100, OTHER, list(range(20, 40)))


def test_what_spares_too_little_stays_with_the_rows_side_by_side():
    stems = [items(2, PASSAGE, 1000)[0], (1, 2, 3), items(2, PASSAGE, 1000)[1]]
    (root,) = grow(stems, spared=1000)
    assert root.members == [1, 0, 2]


def test_equal_stems_and_stems_that_begin_another_are_kept():
    stems = [SHOTS] * 5 + [SHOTS[:50]] * 5 + [()]
    found = grow(stems, spared=100)
    assert sorted(member for branch in found for member in branch.members) == list(range(11))
    assert [branch.stop for branch in found] == [0, 50, 100]
    assert grow([]) == grow([])


def test_a_story_told_in_ever_longer_parts_needs_no_recursion():
    found = grow([tuple(range(length)) for length in range(1500)], spared=1 << 30)
    assert [len(branch.members) for branch in found] == [1500]


def test_a_stem_ends_before_the_token_that_predicts_the_first_target():
    assert stem([Ask((1, 2, 3, 4, 5), 3), Ask((1, 2, 3, 6), 3)]) == (1, 2)
    assert stem([Ask((1, 2, 3, 4, 5), 4), Ask((1, 7, 3, 6), 3)]) == (1,)
    assert stem([Ask((1, 2), 1)]) == ()
