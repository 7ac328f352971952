import pytest
import torch

from eutectic.models import loading
from eutectic.models.packing import sequence
from eutectic.train import divergence

CPU = torch.device("cpu")
PROMPT, ANSWERS = [5, 9, 11], [([40, 41, 42], [43, 44]), ([45], [46, 47, 48, 49])]
PAIRS = [sequence(str(i), PROMPT, [False] * 3, [(a, [True] * len(a)) for a in answers]) for i, answers in enumerate(ANSWERS)]


def direct(policy, start):
    """The mean over all answer positions, from the models' own whole logits in float64."""
    found = []
    for answers in ANSWERS:
        for answer in answers:
            ids = torch.tensor([PROMPT + answer])
            p, q = (torch.log_softmax(m(input_ids=ids).logits[0, 2:-1].double(), -1) for m in (policy, start))
            found.append((p.exp() * (p - q)).sum(-1))
    return float(torch.cat(found).mean())


@pytest.mark.parametrize("tied", [True, False])
def test_it_is_the_divergence_of_whole_distributions(tied, make_tiny, tmp_path, monkeypatch):
    folders = [make_tiny(tmp_path / name, seed=seed, tied=tied) for seed, name in enumerate(("start", "policy"))]
    start, policy = (loading.load(folder, torch.float32, CPU) for folder in folders)
    kept = divergence.states(start, PAIRS)
    assert kept.shape == (3 + 2 + 1 + 4, 32)
    with torch.no_grad():
        wanted = direct(policy, start)
    assert wanted > 1e-3
    assert divergence.kl(policy, PAIRS, kept, folders[0]) == pytest.approx(wanted, rel=1e-4)
    monkeypatch.setattr(divergence, "ROWS", 3)
    monkeypatch.setattr(divergence, "COLUMNS", 7)
    assert divergence.kl(policy, PAIRS, kept, folders[0]) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_does_not_part_from_itself(tiny, dtype):
    model = loading.load(tiny, dtype, CPU)
    assert divergence.kl(model, PAIRS, divergence.states(model, PAIRS), tiny) == pytest.approx(0.0, abs=1e-7)


def test_pairs_are_taken_evenly():
    many = [sequence(str(i), [5], [False]) for i in range(300)]
    some = divergence.some(many)
    assert [item.id for item in some] == [str(i) for i in range(0, 300, 5)]
    assert divergence.some(many[:64]) == many[:64]
