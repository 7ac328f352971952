"""Packing: every path of a row reads as if it stood alone, and what is shared is fed once."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eutectic.evaluate.tree import Ask, batches, collate, grown, rows

tokens = st.lists(st.integers(0, 5), min_size=2, max_size=8)
asks = st.builds(lambda ids, cut: Ask(tuple(ids), min(cut, len(ids) - 1)), tokens, st.integers(1, 7))
groups = st.lists(st.lists(asks, min_size=1, max_size=4), min_size=1, max_size=6)


def test_a_shared_beginning_is_fed_once_and_last_tokens_never():
    row = grown([(0, Ask((1, 2, 3, 4), 2)), (1, Ask((1, 2, 3, 5), 2)), (2, Ask((1, 2, 6), 2))])
    assert row.tokens == [1, 2, 3]
    assert row.parents == [-1, 0, 1]
    assert sorted(row.targets) == [(1, 3, 0), (1, 3, 1), (1, 6, 2), (2, 4, 0), (2, 5, 1)]


@settings(max_examples=60, deadline=None)
@given(groups, st.integers(4, 40), st.integers(8, 80))
def test_every_target_sees_exactly_its_own_path(groups, capacity, size):
    flat = [ask for group in groups for ask in group]
    seen = {index: [] for index in range(len(flat))}
    for batch in batches(rows(groups, capacity), size):
        length = batch.tokens.shape[1]
        for (place, token), ask in zip(batch.pairs.tolist(), batch.asks.tolist(), strict=True):
            row, node = divmod(int(batch.nodes[place]), length)
            visible = batch.mask[row, 0, node].nonzero()[:, 0]
            visible = visible[torch.argsort(batch.positions[row, visible])]
            assert batch.positions[row, visible].tolist() == list(range(len(visible)))
            path = tuple(batch.tokens[row, visible].tolist())
            assert path == flat[ask].tokens[: len(path)]
            assert flat[ask].tokens[len(path)] == token
            seen[ask].append(len(path))
    for index, ask in enumerate(flat):
        assert sorted(seen[index]) == list(range(ask.start, len(ask.tokens)))


@settings(max_examples=60, deadline=None)
@given(groups, st.integers(4, 40))
def test_rows_keep_to_the_capacity_unless_one_item_is_larger(groups, capacity):
    alone = [len(grown(list(enumerate(group))).tokens) for group in groups]
    for row in rows(groups, capacity):
        assert len(row.tokens) <= max(capacity, *alone)


def test_padding_sees_only_itself():
    batch = collate([grown([(0, Ask((1, 2, 3, 4), 1))]), grown([(1, Ask((1, 2), 1))])])
    assert np.array_equal(batch.mask[1, 0].numpy(), np.eye(3, dtype=bool))
    assert batch.tokens.shape == (2, 3)
