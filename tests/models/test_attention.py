import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from eutectic.models import attention, loading, logprobs
from eutectic.models.attention import Rows, attend
from eutectic.models.packing import sequence, tile

CPU = torch.device("cpu")
HEADS, GROUPS, SIZE = 6, 2, 8


def items():
    prompt, answers = list(range(4, 30)), [list(range(30, 75)), list(range(80, 230))]
    tree = sequence("tree", prompt, [False] * len(prompt), [(a, [True] * len(a)) for a in answers])
    return [sequence(str(n), list(range(4, 4 + n)), [True] * n) for n in (200, 190, 33, 300)] + [tree]


def states(tokens):
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(1, heads, tokens, SIZE, generator=generator).requires_grad_() for heads in (HEADS, GROUPS, GROUPS)]


def dense(tiles, query, key, value, softcap=None):
    """The same attention with the mask of the whole row."""
    seen = torch.zeros(tiles.tokens, tiles.tokens, dtype=torch.bool)
    for block in tiles.blocks:
        for places, mask in zip(block.places.view(block.documents, -1), masks(block), strict=True):
            for here, row in zip(places.tolist(), mask, strict=True):
                seen[here, places[row]] = True
    causal = torch.ones_like(seen).tril()
    key, value = (part.repeat_interleave(HEADS // GROUPS, dim=1) for part in (key, value))
    scores = query @ key.transpose(2, 3) * SIZE**-0.5
    scores = scores if softcap is None else torch.tanh(scores / softcap) * softcap
    return (scores.masked_fill(~(seen & causal), -1e30).softmax(-1) @ value).transpose(1, 2)


def masks(block):
    """Rows of a block's mask without its padding."""
    filled = (
        torch.ones(block.documents * block.width, dtype=torch.bool).index_fill_(0, block.padding, value=False).view(block.documents, -1)
    )
    whole = torch.ones(1, block.width, block.width, dtype=torch.bool).tril() if block.mask is None else block.mask[:, 0]
    return [mask & row & row[:, None] for mask, row in zip(whole, filled, strict=True)]


@pytest.mark.parametrize(("softcap", "widest"), [(None, 1024), (None, 64), (5.0, 1024)])
def test_packed_attention_and_its_gradient_are_those_of_a_masked_row(softcap, widest, monkeypatch):
    monkeypatch.setattr(attention, "WIDEST_PRODUCT", widest)
    for tiles in tile(items(), 1024):
        rows = Rows(tiles.blocks, tiles.tokens, torch.float32, CPU)
        given, wanted = states(tiles.tokens), states(tiles.tokens)
        module = torch.nn.Module()
        out, _ = attend(module, *given, None, softcap=softcap, rows=rows)
        expected = dense(tiles, *wanted, softcap)
        torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
        (out * weights).sum().backward()
        (expected * weights).sum().backward()
        for one, other in zip(given, wanted, strict=True):
            torch.testing.assert_close(one.grad, other.grad, atol=1e-4, rtol=1e-3)


def test_without_packing_it_is_causal_attention():
    query, key, value = states(50)
    out, _ = attend(torch.nn.Module(), query, key, value, None)
    key, value = (part.repeat_interleave(HEADS // GROUPS, dim=1) for part in (key, value))
    torch.testing.assert_close(out.transpose(1, 2), scaled_dot_product_attention(query, key, value, is_causal=True), atol=1e-5, rtol=1e-4)


def test_a_sequence_beyond_the_models_window_is_an_error():
    (tiles,) = tile(items()[:1], 1024)
    with pytest.raises(attention.InputError, match="attention window of 128"):
        attend(torch.nn.Module(), *states(200), None, sliding_window=128, rows=Rows(tiles.blocks, 200, torch.float32, CPU))


def test_a_trunk_that_does_not_hand_over_the_packing_is_found_out(tiny, monkeypatch):
    model = loading.load(tiny, torch.float32, CPU)
    texts = [sequence(str(n), list(range(n, n + 30)), [True] * 30) for n in (5, 60)]
    forward = model.model.forward
    monkeypatch.setattr(model.model, "forward", lambda rows=None, **kwargs: forward(**kwargs))
    with pytest.raises(attention.InputError, match="apart from single ones"):
        logprobs.check_fast_path(model, texts)
