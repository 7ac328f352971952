"""A model that was trained on a benchmark file is told by its order and by its options; one that was not is not."""

import numpy as np
import pytest
import torch

from eutectic.analysis import canary as said
from eutectic.artifacts import CANARIES, ITEMS, Artifact, read_rows, write_rows
from eutectic.context import Context
from eutectic.evaluate import canary
from eutectic.models import loading
from eutectic.specs.rows import Canary, Item
from eutectic.specs.steps import CanaryStep

WORDS = ("silk", "bone", "nacre", "leaf", "collagen", "tablet", "fibril", "tissue", "protein", "brick")


def items(count=20):
    """Questions whose order nothing but a file decides; the right option is one no other item has."""
    return [
        Item(
            id=f"q{i}",
            group=f"g{i}",
            question=f"What is {WORDS[i * 7 % 10]} of {WORDS[i * 3 % 10]} {i * 37 % 101}?",
            options=tuple(f"{word} {WORDS[(i + place) % 10]}" for place, word in enumerate(("matrix", "vein", "water", "mortar"))),
            answer=i * 3 % 4,
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def rows(tmp_path_factory, tiny):
    """Canaries of a tiny model before and after it learned the file by heart."""
    out = tmp_path_factory.mktemp("canary")
    (out / "exam").mkdir()
    write_rows(out / "exam" / ITEMS, items())
    exam = Artifact("benchmark", "exam", "e", out / "exam", None, {"file": (Artifact("file", "exam.jsonl", "f", None),)})
    met = out / "met"
    model, tokenizer = loading.load(tiny, torch.float32, torch.device("cpu")), loading.tokenizer(tiny)
    learn(model, tokenizer, canary._text(items()))
    model.to(torch.bfloat16).save_pretrained(met)
    tokenizer.save_pretrained(met)
    found = {}
    for name, folder in (("fresh", tiny), ("met", met)):
        (out / f"of-{name}").mkdir()
        parents = {"model": (Artifact("checkpoint", name, name, folder),), "benchmarks": (exam,)}
        ledger = canary.build(CanaryStep(items=12), parents, out / f"of-{name}", Context(threads=1))
        assert ledger == {"options_rows": 12, "order_rows": 4}
        found[name] = read_rows(out / f"of-{name}" / CANARIES, Canary)
    return found


def learn(model, tokenizer, text):
    torch.manual_seed(0)
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    windows = ids.unfold(1, 128, 32)[0]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(50):
        batch = windows[torch.randperm(len(windows))[:6]]
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def of(rows, check):
    return [row for row in rows if row.check == check]


def test_a_file_that_was_learned_is_told_by_its_order(rows):
    met, fresh = (of(rows[name], "order") for name in ("met", "fresh"))
    assert said.order(met).p < 0.02
    assert said.order(met, fresh).p < 0.02
    assert said.order(met).gain > 1
    assert said.order(fresh).p > 0.05


def test_the_likelihood_of_an_order_is_that_of_the_plain_text(rows, tiny):
    model, tokenizer = loading.load(tiny, torch.bfloat16, torch.device("cpu")), loading.tokenizer(tiny)
    ids = torch.tensor([tokenizer(canary._text(items()[:5]))["input_ids"]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, :-1].float()
    whole = torch.log_softmax(logits, -1).gather(1, ids[0, 1:, None]).sum()
    assert of(rows["fresh"], "order")[0].log_likelihoods[0] == pytest.approx(float(whole), rel=2e-3)


def test_items_made_from_a_corpus_have_no_published_order(tmp_path, tiny):
    write_rows(tmp_path / ITEMS, items(6))
    parents = {"model": (Artifact("checkpoint", "a", "a", tiny),), "benchmarks": (Artifact("benchmark", "exam", "e", tmp_path),)}
    assert canary.build(CanaryStep(), parents, tmp_path, Context(threads=1)) == {"options_rows": 6, "order_rows": 0}


def alternatives(check, values, right):
    return [
        Canary(benchmark="b", check=check, id=str(i), group=str(i // 2), log_likelihoods=tuple(row), right=int(place))
        for i, (row, place) in enumerate(zip(values, right, strict=True))
    ]


def test_without_knowledge_p_is_uniform_and_options_are_right_by_chance():
    chance = np.random.default_rng(3)
    p = [said.order(alternatives("order", chance.normal(size=(10, 4)), np.zeros(10)), seed=i).p for i in range(300)]
    assert np.mean(np.array(p) <= 0.05) <= 0.08
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)
    bounds = [said.options_only(alternatives("options", chance.normal(size=(200, 4)), chance.integers(0, 4, 200))) for _ in range(40)]
    assert sum(each.low > 0 for each in bounds) <= 4


def test_an_order_that_every_model_likes_is_no_sign_of_training():
    chance = np.random.default_rng(4)
    start = chance.normal(size=(10, 4)) + np.array([8.0, 0, 0, 0])
    after = alternatives("order", start + chance.normal(0, 0.5, (10, 4)), np.zeros(10))
    assert said.order(after).p < 0.001
    assert said.order(after, alternatives("order", start, np.zeros(10))).p > 0.05


def test_options_known_by_heart_are_above_chance():
    right = np.arange(60) % 4
    values = np.where(np.arange(4) == right[:, None], 0.0, -1.0)
    found = said.options_only(alternatives("options", values, right))
    assert (found.estimate, found.n, found.clusters) == (0.75, 60, 30)
    assert found.low > 0.6
