import pytest

from eutectic.errors import InputError
from eutectic.models import chat_template, loading
from eutectic.specs.rows import Message

CHAT = (Message(role="user", content="What is nacre?"), Message(role="assistant", content="A composite."))


def learned_text(tokenizer, messages):
    ids, learned = chat_template.assistant_spans(tokenizer, messages)
    return tokenizer.decode([i for i, flag in zip(ids, learned, strict=True) if flag])


def test_the_answer_and_its_end_are_learned_and_nothing_else(tiny):
    assert learned_text(loading.tokenizer(tiny), CHAT) == "A composite.<|im_end|>"


def test_every_assistant_turn_is_learned(tiny):
    more = (*CHAT, Message(role="user", content="Of what?"), Message(role="assistant", content="Tablets."))
    assert learned_text(loading.tokenizer(tiny), more) == "A composite.<|im_end|>Tablets.<|im_end|>"


def test_padding_that_is_the_end_of_sequence_does_not_hide_the_stop_token(tiny):
    tokenizer = loading.tokenizer(tiny)
    tokenizer.pad_token = tokenizer.eos_token
    assert learned_text(tokenizer, CHAT).endswith("<|im_end|>")


def test_a_template_without_an_end_of_turn_is_an_error(tiny):
    tokenizer = loading.tokenizer(tiny)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}:\n{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant:\n{% endif %}"
    )
    with pytest.raises(InputError, match="never learn to stop"):
        chat_template.assistant_spans(tokenizer, CHAT)


def test_two_beginnings_are_an_error(tiny):
    tokenizer = loading.tokenizer(tiny)
    tokenizer.bos_token = "<|im_start|>"
    tokenizer.chat_template = "<|im_start|>" + tokenizer.chat_template
    with pytest.raises(InputError, match="twice"):
        chat_template.render(tokenizer, CHAT, generation_prompt=False)


def test_a_template_that_rewrites_the_prompt_is_an_error(tiny):
    tokenizer = loading.tokenizer(tiny)
    tokenizer.chat_template = "{{ messages|length }}" + tokenizer.chat_template
    with pytest.raises(InputError, match="tokenised differently"):
        chat_template.assistant_spans(tokenizer, CHAT)


def test_no_template_is_an_error(tiny):
    tokenizer = loading.tokenizer(tiny)
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="no chat template"):
        chat_template.render(tokenizer, CHAT, generation_prompt=True)


def test_prompt_and_continuation_join_to_the_whole(tiny):
    tokenizer = loading.tokenizer(tiny)
    prompt, answer = chat_template.continuation(tokenizer, CHAT[:1], CHAT[1:])
    assert prompt == chat_template.render(tokenizer, CHAT[:1], generation_prompt=True)
    assert tokenizer.decode(answer) == "A composite.<|im_end|>"


def test_a_document_opens_and_closes_with_the_end_of_text(tiny):
    tokenizer = loading.tokenizer(tiny)
    opening, ids = chat_template.document(tokenizer, "Bone.")
    assert tokenizer.decode(opening) == "<|endoftext|>"
    assert tokenizer.decode(ids) == "Bone.<|endoftext|>"
