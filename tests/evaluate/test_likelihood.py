"""Packed scores against one full forward pass an option, on tiny models of several families and on the real one."""

import runpy
from pathlib import Path

import pytest
import torch

from eutectic.context import Context
from eutectic.errors import InputError, WorkError
from eutectic.evaluate import prompts
from eutectic.evaluate.likelihood import log_likelihoods
from eutectic.evaluate.tree import Ask
from eutectic.models import loading
from eutectic.specs.rows import Item

CPU = torch.device("cpu")
make_tiny = runpy.run_path(str(Path(__file__).parents[1] / "conftest.py"))["make_tiny"]
TEXTS = [
    ("Which term fits this definition? A hard calcified tissue.", ("bone tissue", "bone marrow", "tooth enamel", "cartilage")),
    ("The main protein of tendons is", ("collagen", "keratin", "elastin", "fibroin of the silkworm")),
    ("How is nacre defined?", ("A composite of aragonite and protein.", "A composite of calcite.", "A composite.")),
    ("Spider silk is", ("a protein", "a sugar")),
    ("The term for the material of a spider's web, which is spun from several glands and dries in the air, is", ("silk", "wax", "wool")),
]
ITEMS = [Item(id=str(i), group="g", question=q, options=o, answer=0) for i, (q, o) in enumerate(TEXTS)]


@torch.inference_mode()
def one_by_one(model, groups):
    """The definition: a forward pass for each option, nothing shared."""
    return [[_alone(model, ask) for ask in group] for group in groups]


def _alone(model, ask):
    logs = model(torch.tensor([ask.tokens])).logits[0].float().log_softmax(-1)
    return sum(logs[j - 1, ask.tokens[j]].item() for j in range(ask.start, len(ask.tokens)))


def gaps(left, right):
    return [abs(a - b) for xs, ys in zip(left, right, strict=True) for a, b in zip(xs, ys, strict=True)]


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "gemma"])
@pytest.mark.parametrize("tied", [True, False])
def test_packed_scores_equal_separate_forward_passes(tmp_path, family, tied):
    folder = make_tiny(tmp_path / family, family=family, tied=tied)
    model = loading.load(folder, torch.float32, CPU)
    groups = prompts.cloze(loading.tokenizer(folder), ITEMS)
    wanted = one_by_one(model, groups)
    for row, batch in ((160, 2048), (40, 90), (1000, 100)):
        assert max(gaps(wanted, log_likelihoods(model, groups, Context(), row_tokens=row, batch_tokens=batch))) < 1e-4


@pytest.mark.assets
def test_on_the_real_model(smol):
    groups = prompts.cloze(loading.tokenizer(smol), ITEMS)
    exact = loading.load(smol, torch.float32, CPU)
    wanted = one_by_one(exact, groups)
    assert max(gaps(wanted, log_likelihoods(exact, groups, Context()))) < 1e-3
    rough = loading.load(smol, torch.bfloat16, CPU)
    many, few = (log_likelihoods(rough, groups, Context(), row_tokens=row, batch_tokens=batch) for row, batch in ((160, 2048), (30, 60)))
    assert max(gaps(many, few)) < 0.5
    assert max(gaps(wanted, many)) < 1.0
    assert max(gaps(many, log_likelihoods(rough, groups, Context()))) == 0.0


def test_an_item_longer_than_the_context_is_refused(tiny):
    model = loading.load(tiny, torch.float32, CPU)
    with pytest.raises(InputError, match=r"item 2 has 600 tokens and the model's context holds 512"):
        log_likelihoods(model, [[Ask((1, 2), 1)], [Ask((1,) * 600, 1)]], Context())


def test_weights_that_are_not_numbers_are_reported(tiny):
    model = loading.load(tiny, torch.float32, CPU)
    with torch.no_grad():
        model.get_decoder().layers[0].mlp.down_proj.weight.fill_(float("nan"))
    with pytest.raises(WorkError, match="not finite"):
        log_likelihoods(model, [[Ask((1, 2, 3), 1)]], Context())
