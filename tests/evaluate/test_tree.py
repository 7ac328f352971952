"""Packing: every path of a row reads as if it stood alone, and what is shared is fed once."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eutectic.evaluate.branches import grow, stem
from eutectic.evaluate.tree import WIDE_ROW, Ask, batches, collate, grown, rows

tokens = st.lists(st.integers(0, 5), min_size=2, max_size=8)
asks = st.builds(lambda ids, cut: Ask(tuple(ids), min(cut, len(ids) - 1)), tokens, st.integers(1, 7))
groups = st.lists(st.lists(asks, min_size=1, max_size=4), min_size=1, max_size=6)


def numbered(found):
    """The asks of each group with a running number."""
    numbers = iter(range(1000))
    return [[(next(numbers), ask) for ask in group] for group in found]


def sees(batch):
    """Who sees whom, `[rows, length, length]`."""
    places = torch.arange(batch.ends.shape[1])
    return (places <= places[:, None]) & (batch.ends[:, None] > places[:, None])


def test_a_shared_beginning_is_fed_once_and_last_tokens_never():
    row = grown([(0, Ask((1, 2, 3, 4), 2)), (1, Ask((1, 2, 3, 5), 2)), (2, Ask((1, 2, 6), 2))])
    assert row.tokens == [1, 2, 3]
    assert row.parents == [-1, 0, 1]
    assert sorted(row.targets) == [(1, 3, 0), (1, 3, 1), (1, 6, 2), (2, 4, 0), (2, 5, 1)]


@settings(max_examples=80, deadline=None)
@given(groups, st.integers(4, 40), st.integers(8, 80), st.integers(1, 12))
def test_every_target_sees_exactly_its_own_path(found, capacity, size, spared):
    """A path is what the branches above hold and the tokens of the row that are seen."""
    flat = [ask for group in found for ask in group]
    items, seen = numbered(found), {index: [] for index in range(len(flat))}
    held = []
    for branch in grow([stem(group) for group in found], spared):
        while held and held[-1].stop > branch.start:
            held.pop()
        held.append(branch)
        before = tuple(token for above in held for token in above.tokens)
        assert len(before) == branch.stop
        for batch in batches(rows([items[g] for g in branch.members], branch.stop, capacity), size):
            visible = sees(batch)
            for (place, token), ask in zip(batch.pairs.tolist(), batch.asks.tolist(), strict=True):
                row, node = divmod(int(batch.nodes[place]), batch.tokens.shape[1])
                places = visible[row, node].nonzero()[:, 0]
                path = before + tuple(batch.tokens[row, places].tolist())
                assert batch.positions[row, places].tolist() == list(range(len(before), len(path)))
                assert path == flat[ask].tokens[: len(path)]
                assert flat[ask].tokens[len(path)] == token
                seen[ask].append(len(path))
    for index, ask in enumerate(flat):
        assert sorted(seen[index]) == list(range(ask.start, len(ask.tokens)))


@settings(max_examples=60, deadline=None)
@given(groups, st.integers(4, 40))
def test_every_item_is_in_one_row_which_keeps_to_its_capacity(found, capacity):
    items = numbered(found)
    made = rows(items, 0, capacity)
    assert sorted({ask for row in made for _, _, ask in row.targets}) == list(range(sum(map(len, found))))
    alone = [len(grown(item).tokens) for item in items]
    assert all(len(row.tokens) <= WIDE_ROW for row in made)
    if max(alone) <= capacity and not any(set(a[0][1].tokens[:1]) & set(b[0][1].tokens[:1]) for a in items for b in items if a is not b):
        assert all(len(row.tokens) <= capacity for row in made)


def test_items_that_share_much_stand_in_one_row_and_others_keep_to_the_capacity():
    passage = tuple(range(100, 160))
    alike = [[Ask((*passage, question, 1), 61)] for question in (5, 6, 7)]
    apart = [[Ask(tuple(range(start, start + 60)), 59)] for start in (1000, 2000, 3000)]
    assert [len(row.tokens) for row in rows(numbered([*alike, *apart]), 0, 80)] == [63, 59, 59, 59]


def test_padding_sees_only_itself():
    batch = collate([grown([(0, Ask((1, 2, 3, 4), 1))]), grown([(1, Ask((1, 2), 1))])])
    assert torch.equal(sees(batch)[1], torch.eye(3, dtype=torch.bool))
    assert batch.tokens.shape == (2, 3)
