from collections import Counter

import pytest

from eutectic.errors import InputError
from eutectic.evaluate import prompts
from eutectic.models import loading
from eutectic.specs.rows import Item


def item(name, question="What is silk?", options=("a fibre", "a metal", "a gas", "a rock")):
    return Item(id=name, group="g", question=question, options=options, answer=0)


def test_options_continue_the_question_after_one_space(tiny):
    tokenizer = loading.tokenizer(tiny)
    (group,) = prompts.cloze(tokenizer, [item("a", question="The term is ")])
    for ask, option in zip(group, item("a").options, strict=True):
        assert tokenizer.decode(ask.tokens) == f"The term is {option}"
        assert tokenizer.decode(ask.tokens[ask.start :]) == f" {option}"


def test_a_tokenizer_that_opens_every_text_keeps_its_opening(tiny):
    from tokenizers.processors import TemplateProcessing

    tokenizer = loading.tokenizer(tiny)
    assert prompts.leading(tokenizer) == ()
    opening = tokenizer.convert_tokens_to_ids("<|im_start|>")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|im_start|> $A", special_tokens=[("<|im_start|>", opening)])
    ((ask, *_),) = prompts.cloze(tokenizer, [item("a")])
    assert ask.tokens[0] == opening
    assert tokenizer.decode(ask.tokens[ask.start :]) == " a fibre"


def test_letters_are_balanced_and_every_order_is_a_permutation():
    asked = [item(f"item {n}") for n in range(2000)]
    assert all(sorted(prompts.order(i)) == [0, 1, 2, 3] for i in asked)
    where = Counter(prompts.order(i).index(i.answer) for i in asked)
    assert all(420 < where[letter] < 580 for letter in range(4))


def test_a_numeric_item_names_its_unit():
    numeric = Item(id="n", group="g", kind="numeric", question="Melting point of iron?", value=1811.0, unit="kelvin")
    (message,) = prompts.in_words(numeric)
    assert "kelvin" in message.content
    assert message.content.endswith("Melting point of iron?")


def test_an_empty_option_is_refused(tiny):
    with pytest.raises(InputError, match="item a"):
        prompts.cloze(loading.tokenizer(tiny), [item("a", question=" ")])
