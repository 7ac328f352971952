import pytest
import torch

from eutectic.models import loading, logprobs
from eutectic.models.attention import tiled_attention
from eutectic.models.packing import sequence, tile

CPU = torch.device("cpu")
TEXTS = [[5, 9, 11, 40, 41, 7], [8, 8, 30], list(range(20, 70))]


def sequences():
    return [sequence(str(i), t, [True] * len(t)) for i, t in enumerate(TEXTS)]


def full_loss(model):
    """Mean loss by the model's own head on whole logits."""
    losses = []
    for text in TEXTS:
        logs = torch.log_softmax(model(input_ids=torch.tensor([text])).logits[0, :-1].float(), -1)
        losses.append(-logs.gather(1, torch.tensor(text)[1:, None])[:, 0])
    return torch.cat(losses).mean()


@pytest.mark.parametrize("ahead", [True, False])
def test_loss_and_gradient_are_those_of_whole_logits(tiny, ahead):
    model = loading.load(tiny, torch.float32, CPU).requires_grad_(True)
    full_loss(model).backward()
    wanted = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    total = sum(len(t) - 1 for t in TEXTS)
    with tiled_attention(model):
        for tiles in tile(sequences(), 64):  # several batches: gradients add up
            loss = logprobs.token_loss(model, tiles, 1 / total) if ahead else -logprobs.token_logprobs(model, tiles).sum() / total
            loss.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, wanted[name], atol=1e-5, rtol=1e-4)


def test_chunks_do_not_matter(tiny, monkeypatch):
    model = loading.load(tiny, torch.float32, CPU)
    whole, tokens = logprobs.mean_loss(model, sequences())
    monkeypatch.setattr(logprobs, "CHUNK", 7)
    monkeypatch.setattr(logprobs, "CACHED", 2)
    parts, _ = logprobs.mean_loss(model, sequences())
    assert parts == pytest.approx(whole, abs=1e-6)
    assert tokens == sum(len(t) - 1 for t in TEXTS)


def test_the_fast_path_is_checked_against_the_models_own_forward(tiny):
    assert logprobs.check_fast_path(loading.load(tiny, torch.float32, CPU), sequences()) < 1e-4
    assert logprobs.check_fast_path(loading.load(tiny, torch.bfloat16, CPU), sequences()) < 0.05


def test_perplexity_of_a_uniform_model_is_its_vocabulary(tiny):
    model = loading.load(tiny, torch.float32, CPU)
    with torch.no_grad():
        model.base_model.norm.weight.zero_()
    assert logprobs.perplexity(model, sequences()) == pytest.approx(model.config.vocab_size, rel=1e-5)


@pytest.mark.assets
def test_the_real_model_scores_tiles_as_it_scores_texts(smol):
    model = loading.load(smol, torch.float32, CPU)
    tokenizer = loading.tokenizer(smol)
    texts = ["Nacre is a composite of aragonite tablets and protein.", "Bone is a mineralised tissue."]
    items = [sequence(t, ids, [True] * len(ids)) for t in texts for ids in [tokenizer(t)["input_ids"]]]
    assert logprobs.check_fast_path(model, items) < 1e-4
