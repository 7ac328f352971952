from collections import Counter

import pytest
from example_items import cloze_groups

from eutectic.errors import InputError
from eutectic.evaluate import contexts, prompts
from eutectic.models import loading
from eutectic.specs.rows import Item
from eutectic.specs.steps import PLAIN, PromptStep


def item(name, question="What is silk?", options=("a fibre", "a metal", "a gas", "a rock")):
    return Item(id=name, group="g", question=question, options=options, answer=0)


def test_options_continue_the_question_after_one_space(tiny):
    tokenizer = loading.tokenizer(tiny)
    (group,) = cloze_groups(tokenizer, [item("a", question="The term is ")])
    for ask, option in zip(group, item("a").options, strict=True):
        assert tokenizer.decode(ask.tokens) == f"The term is {option}"
        assert tokenizer.decode(ask.tokens[ask.start :]) == f" {option}"


def test_a_tokenizer_that_opens_every_text_keeps_its_opening(tiny):
    from tokenizers.processors import TemplateProcessing

    tokenizer = loading.tokenizer(tiny)
    assert contexts.leading(tokenizer) == ()
    opening = tokenizer.convert_tokens_to_ids("<|im_start|>")
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|im_start|> $A", special_tokens=[("<|im_start|>", opening)])
    ((ask, *_),) = cloze_groups(tokenizer, [item("a")])
    assert ask.tokens[0] == opening
    assert tokenizer.decode(ask.tokens[ask.start :]) == " a fibre"


def test_letters_are_balanced_and_every_order_is_a_permutation():
    asked = [item(f"item {n}") for n in range(2000)]
    assert all(sorted(prompts.order(i)) == [0, 1, 2, 3] for i in asked)
    where = Counter(prompts.order(i).index(i.answer) for i in asked)
    assert all(420 < where[letter] < 580 for letter in range(4))


def test_a_numeric_item_names_its_unit():
    numeric = Item(id="n", group="g", kind="numeric", question="Melting point of iron?", value=1811.0, unit="kelvin")
    (message,) = prompts.conversation(PLAIN, numeric, "greedy", ())
    assert "kelvin" in message.content
    assert message.content.endswith("Melting point of iron?")


def test_an_empty_option_is_refused(tiny):
    with pytest.raises(InputError, match="item a"):
        cloze_groups(loading.tokenizer(tiny), [item("a", question=" ")])


def prompt(**keys):
    return PromptStep.model_validate({"name": "p", **keys})


def pool():
    return [item(f"d{n}", f"Question {n}?").model_copy(update={"split": "dev", "group": f"d{n}"}) for n in range(5)]


def test_examples_are_the_same_for_all_items_and_never_of_the_own_group(tiny):
    own = pool()[0].model_copy(update={"id": "x", "split": "test"})
    shots = prompts.shots(prompt(shots=3), item("a"), pool(), "b")
    assert [shot.id for shot in shots] == [shot.id for shot in prompts.shots(prompt(shots=3), item("z"), pool(), "b")]
    assert len(shots) == 3
    assert own.group not in {shot.group for shot in prompts.shots(prompt(shots=4), own, pool(), "b")}
    with pytest.raises(InputError, match=r"shows 5 solved items and b has only 4 dev items of kind choice outside the group of item x"):
        prompts.shots(prompt(shots=5), own, pool(), "b")


def test_a_prompt_is_said_in_its_own_words():
    asked = item("a")
    said = prompt(system="You know silk.", instruction="One word of {letters}.", shots=1)
    turns = prompts.conversation(said, asked, "greedy", prompts.order(asked), [pool()[0]])
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[0].content == "You know silk."
    assert turns[3].content.startswith("One word of A, B, C or D.\n\nWhat is silk?\nA. ")
    assert turns[2].content == prompts.labels(pool()[0], prompts.order(pool()[0]))[0]
    plain = prompts.plain_text(said, asked, "letter", prompts.order(asked), [pool()[0]])
    assert plain.startswith("One word of A, B, C or D.\n\nQuestion 0?\nA. ")
    assert plain.endswith("\nAnswer:")


def test_a_template_that_refuses_a_system_prompt_is_told(tiny):
    tokenizer = loading.tokenizer(tiny)
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}{{ messages[0]['content'] }}"
    )
    with pytest.raises(InputError, match=r"prompt 'p': no system role"):
        contexts.contexts(tokenizer, prompt(system="x"), "greedy", [contexts.asked(prompt(), item("a"), (), "b")])


def test_an_item_longer_than_the_context_is_named(tiny):
    import torch

    model = loading.load(tiny, torch.float32, torch.device("cpu"))
    wanted = [contexts.asked(prompt(), item("a"), (), "b"), contexts.asked(prompt(), item("nacre-7"), (), "b")]
    with pytest.raises(InputError, match=r"item nacre-7 of facts takes 600 tokens with its answer and the model's context holds 512"):
        contexts.check_lengths(model, "facts", wanted, [5, 600])
