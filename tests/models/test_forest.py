"""Attention over forests of tokens against attention of each path alone."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eutectic.models import forest, loading
from eutectic.models.forest import Forest, attend, forest_attention, hidden, read, trunk

HEADS, SIZE = 6, 8
LAYER = SimpleNamespace(layer_idx=0)


def walk(generator, length):
    """Parents of a random forest in the order of a walk: a token goes on from the one before or from one of its ancestors."""
    parents, line = [], []
    for place in range(length):
        drawn = float(torch.rand(1, generator=generator))
        line = line if drawn < 0.7 else line[: int(torch.randint(len(line) + 1, (1,), generator=generator))]
        parents.append(line[-1] if line else -1)
        line = [*line, place]
    return parents


def path(parents, place):
    found = []
    while place >= 0:
        found.insert(0, place)
        place = parents[place]
    return found


def ends(parents):
    return [max(other for other in range(len(parents)) if place in path(parents, other)) + 1 for place in range(len(parents))]


def states(generator, rows, length, groups):
    """Queries, keys and values laid out in memory as a model's linear maps leave them."""
    return [torch.randn(rows, length, heads, SIZE, generator=generator).transpose(1, 2) for heads in (HEADS, groups, groups)]


def alone(query, keys, values, distance, window, softcap):
    """One query `[heads, size]` over its path `[groups, tokens, size]`; `distance` of each of its tokens."""
    keys, values = (part.repeat_interleave(HEADS // len(part), 0) for part in (keys, values))
    scores = (keys @ query[:, :, None])[..., 0] * SIZE**-0.5
    scores = scores if softcap is None else torch.tanh(scores / softcap) * softcap
    scores = scores if window is None else scores.masked_fill(distance >= window, -torch.inf)
    return (scores.softmax(-1)[:, None] @ values)[:, 0]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    rows=st.sampled_from([1, 3]),
    groups=st.sampled_from([1, 2, HEADS]),
    length=st.integers(1, 12),
    pieces=st.lists(st.integers(1, 6), max_size=2),
    window=st.sampled_from([None, 1, 5]),
    softcap=st.sampled_from([None, 2.0]),
    queries=st.sampled_from([4, 128]),
    room=st.sampled_from([1, 1 << 19]),
)
def test_every_token_sees_its_path_and_nothing_else(seed, rows, groups, length, pieces, window, softcap, queries, room):
    generator = torch.Generator().manual_seed(seed)
    trees = [walk(generator, length) for _ in range(rows)]
    past = sum(pieces)
    query, key, value = states(generator, rows, length, groups)
    held = [{0: tuple(states(generator, 1, count, groups)[1:])} for count in pieces]
    before = [torch.cat([key[0, :, :0], *(piece[0][side][0] for piece in held)], 1) for side in (0, 1)]
    depths = torch.tensor([[past + len(path(tree, place)) - 1 for place in range(length)] for tree in trees])
    given = Forest(torch.tensor([ends(tree) for tree in trees]), depths, held)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forest, "QUERIES", queries)
        patch.setattr(forest, "SCORES_CPU", room)
        found, _ = attend(LAYER, query, key, value, sliding_window=window, softcap=softcap, forest=given)
    for row, tree in enumerate(trees):
        for place in range(length):
            seen = path(tree, place)
            keys, values = (torch.cat([part, own[row][:, seen]], 1) for part, own in zip(before, (key, value), strict=True))
            distance = torch.arange(past + len(seen) - 1, -1, -1)
            wanted = alone(query[row, :, place], keys, values, distance, window, softcap)
            assert torch.allclose(found[row, place], wanted, atol=1e-5)


@torch.inference_mode()
def test_a_beginning_read_in_pieces_is_the_beginning_read_at_once(tiny):
    model = loading.load(tiny, torch.float32, torch.device("cpu"))
    tokens = list(range(4, 44))
    wanted = model(torch.tensor([tokens])).logits[0, 30:]
    with forest_attention(model):
        first = read(model, tokens[:11], 0, [])
        second = read(model, tokens[11:30], 11, [first])
        rest = Forest(torch.full((1, 10), 10), torch.arange(30, 40)[None], [first, second])
        states = hidden(model, torch.tensor([tokens[30:]]), rest)
    assert torch.allclose(model.get_output_embeddings()(states[0]), wanted, atol=1e-5)


def test_the_usual_attention_comes_back_also_after_an_error(tiny):
    model = loading.load(tiny, torch.float32, torch.device("cpu"))
    before = trunk(model).config._attn_implementation
    with forest_attention(model):
        assert trunk(model).config._attn_implementation == forest.FOREST
    assert trunk(model).config._attn_implementation == before
    with pytest.raises(ValueError, match="input_ids"), forest_attention(model):
        hidden(model, None, Forest(torch.ones(1, 1), torch.zeros(1, 1)))
    assert trunk(model).config._attn_implementation == before
