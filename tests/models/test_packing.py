import runpy
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eutectic.context import Context
from eutectic.models import device, loading, logprobs
from eutectic.models.attention import tiled_attention
from eutectic.models.packing import ROUND, pack, sequence, tile, tree_mask

CPU = torch.device("cpu")


def plain(name, tokens):
    return sequence(name, tokens, [True] * len(tokens))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 90), max_size=60), st.integers(90, 200))
def test_every_sequence_is_in_one_row_and_no_row_overflows(lengths, capacity):
    rows = pack(lengths, capacity)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= capacity for row in rows)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=40))
def test_tiles_hold_every_token_once_and_score_what_was_asked(lengths):
    sequences = [plain(str(i), [7] * n) for i, n in enumerate(lengths)]
    tiles = tile(sequences, 1024)
    assert sorted(m for t in tiles for m in t.members) == list(range(len(lengths)))
    for t in tiles:
        assert 0 <= t.tokens - sum(lengths[m] for m in t.members) < ROUND
        assert t.tokens == t.ids.numel() == t.positions.numel()
        assert t.tokens % ROUND == 0
    assert sum(len(t.targets) for t in tiles) == sum(n - 1 for n in lengths)
    for t in tiles:
        assert t.ids.numel() <= max(1024, 1 << (max(lengths) - 1).bit_length())


def test_a_token_sees_its_own_document_its_branch_and_the_trunk():
    document = torch.tensor([[0, 0, 0, 0, 1, -1]])
    branch = torch.tensor([[0, 1, 1, 2, 0, 0]])
    seen = tree_mask(document, branch)[0, 0]
    assert seen.tolist() == [
        [True, False, False, False, False, False],
        [True, True, False, False, False, False],
        [True, True, True, False, False, False],
        [True, False, False, True, False, False],
        [False, False, False, False, True, False],
        [False, False, False, False, False, True],
    ]


def test_packed_scores_equal_single_ones_for_every_family(tmp_path):
    make_tiny = runpy.run_path(str(Path(__file__).parents[1] / "conftest.py"))["make_tiny"]
    for family in ("llama", "mistral", "qwen2", "gemma"):
        model = loading.load(make_tiny(tmp_path / family, family), torch.float32, CPU)
        generator = torch.Generator().manual_seed(3)
        texts = [torch.randint(4, 300, (n,), generator=generator).tolist() for n in (3, 17, 40, 5, 64, 33)]
        together = [plain(str(i), t) for i, t in enumerate(texts)]
        with torch.no_grad(), tiled_attention(model):
            for tiles in tile(together, 2048):
                sums, _ = logprobs.group_logprobs(model, tiles, 0)
                for member, value in zip(tiles.members, sums[:, 0].tolist(), strict=True):
                    ids = torch.tensor([texts[member]])
                    logs = torch.log_softmax(model(input_ids=ids).logits[0, :-1].float(), -1)
                    assert abs(float(logs.gather(1, ids[0, 1:, None]).sum()) - value) < 2e-3, family


def test_branches_score_as_whole_texts_do(tiny):
    model = loading.load(tiny, torch.float32, CPU)
    prompt, chosen, rejected = [5, 6, 7, 8], [20, 21, 22], [30, 31, 32, 33, 34]
    tree = sequence("p", prompt, [False] * 4, [(chosen, [True] * 3), (rejected, [True] * 5)])
    sums, counts = logprobs.completion_logprobs(model, [tree], 2)
    for answer, value in zip((chosen, rejected), sums[0].tolist(), strict=True):
        flags = [False] * 4 + [True] * len(answer)
        loss, tokens = logprobs.mean_loss(model, [sequence("x", prompt + answer, flags)])
        assert abs(value + loss * tokens) < 1e-4
    assert counts.tolist() == [[3.0, 5.0]]


def test_the_usual_attention_returns_afterwards(tiny):
    model = loading.load(tiny, torch.float32, device.prepare(Context(threads=1)))
    with tiled_attention(model):
        pass
    assert model.config._attn_implementation == "sdpa"
