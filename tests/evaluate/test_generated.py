from collections import Counter

import pytest
import torch

from eutectic.context import Context
from eutectic.evaluate import contexts, extraction, generated, prompts
from eutectic.evaluate.generated import row, subset
from eutectic.models import loading
from eutectic.specs.rows import Extracted, Item
from eutectic.specs.steps import PromptStep

GREEDY = PromptStep(forms=("greedy",))
KINDS = [
    Item(id="c", group="g", question="What is silk?", options=("a fibre", "a metal", "a gas"), answer=0),
    Item(id="t", group="g", kind="true_false", question="Silk is a metal.", options=("True", "False"), answer=1),
    Item(id="n", group="g", kind="numeric", question="The strength of silk?", value=1.1, unit="GPa"),
    Item(id="s", group="g", kind="short", question="The protein of tendons?", answers=("collagen",)),
    Item(
        id="e",
        group="g",
        kind="extraction",
        question="Silk has a strength of 1.1 GPa.",
        records=(Extracted(material="silk", property="strength", value=1.1, unit="GPa"),),
    ),
]


def task(prompt: PromptStep, items: list[Item]) -> contexts.Task:
    return contexts.task(prompt, prompt.forms[0], "b", items, ())


def choice(n: int, split="test") -> Item:
    return Item(id=f"i{n}", group="g", split=split, question="q", options=("a", "b", "c", "d"), answer=1)


@pytest.fixture
def model(tiny):
    found = loading.load(tiny, torch.float32, torch.device("cpu"))
    found.config.max_position_embeddings = 2048  # rotary positions have no end
    return found, loading.tokenizer(tiny)


def test_a_larger_subset_holds_the_smaller_one_and_no_dev_item():
    items = [choice(n, "dev" if n % 3 == 0 else "test") for n in range(60)]
    small, large = subset(items, 5), subset(items, 20)
    assert large[:5] == small
    assert Counter(item.split for item in large) == {"test": 20}
    assert subset(items[::-1], 5) == small
    assert len(subset(items, None)) == 40


def test_a_judged_row_keeps_the_text(model):
    item = choice(1)
    letter = "ABCD"[prompts.order(item).index(1)]
    good, bad = (row(model[0], task(GREEDY, [item]), item, text) for text in (letter, "no idea"))
    assert (good.score, good.choice, good.precision, good.format_failure) == (1, 1, "float32", False)
    assert (bad.score, bad.choice, bad.text, bad.format_failure) == (0, None, "no idea", True)


@pytest.mark.parametrize("chat", [True, False])
def test_a_constrained_answer_never_breaks_the_form(model, chat):
    prompt = PromptStep.model_validate({"name": "p", "forms": ("constrained",), "chat": chat})
    asked = [item for item in KINDS if "constrained" in prompts.forms(item.kind)]
    rows = generated.scores(*model, task(prompt, asked), Context())
    assert [each.id for each in rows] == ["c", "t", "n", "e"]
    assert not any(each.format_failure for each in rows), [each.text for each in rows]
    assert len(extraction.restored(rows[3].parsed)) >= 1
    assert rows[0].choice in (0, 1, 2)
    assert rows[1].choice in (0, 1)
    assert all(each.label == "constrained:p" for each in rows)


def test_free_answers_of_a_random_model_break_it(model):
    rows = generated.scores(*model, task(GREEDY, KINDS[:4]), Context())
    assert sum(each.format_failure for each in rows) >= 3


def test_plain_text_answers_end_with_their_line(model):
    prompt = PromptStep.model_validate({"name": "p", "forms": ("greedy",), "chat": False})
    rows = generated.scores(*model, task(prompt, KINDS[:4]), Context())
    assert not any("\n" in each.text for each in rows)


def test_answers_do_not_depend_on_the_batch(model):
    together = generated.scores(*model, task(GREEDY, KINDS[:4]), Context())
    alone = [generated.scores(*model, task(GREEDY, [item]), Context())[0] for item in KINDS[:4]]
    assert together == alone
