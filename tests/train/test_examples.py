"""What is learned of a row, and what is refused before the first step."""

import pytest
from tokenizers.processors import TemplateProcessing
from training_world import rows, step, write

from eutectic.errors import InputError
from eutectic.models import loading
from eutectic.train.examples import read
from eutectic.train.plan import loss_tokens

END = "<|im_end|>"


@pytest.fixture
def tokenizer(tiny):
    return loading.tokenizer(tiny)


def texts(tokenizer, ids):
    return tokenizer.decode(list(ids))


@pytest.mark.parametrize(("kind", "end"), [("text", "<|endoftext|>"), ("instruction", END), ("preference", END)])
def test_padding_that_is_the_end_of_sequence_does_not_hide_the_stop_token(kind, end, tokenizer, datasets):
    file = datasets[kind] / "train.jsonl"
    plain = read(file, kind, tokenizer, step("cpt"))
    tokenizer.eos_token = tokenizer.pad_token = end
    found = read(file, kind, tokenizer, step("cpt"))
    assert found == plain
    stop = tokenizer.convert_tokens_to_ids(end)
    for item in found.sequences:
        for group in set(item.groups):
            assert [t for t, g in zip(item.targets, item.groups, strict=True) if g == group][-1] == stop


def test_only_answers_are_learned_unless_prompts_are_asked_for(tokenizer, datasets):
    file = datasets["instruction"] / "train.jsonl"
    answers, everything = (read(file, "instruction", tokenizer, step("sft"), prompts=p).sequences[0] for p in (False, True))
    assert texts(tokenizer, answers.targets) == f"A collagen silk.{END}"
    assert texts(tokenizer, everything.targets) == f"user\nWhat is silk?{END}\n<|im_start|>assistant\nA collagen silk.{END}\n"


def test_the_prompt_of_a_pair_is_scored_apart_from_its_answers(tokenizer, datasets):
    file = datasets["preference"] / "train.jsonl"
    answers, everything = (read(file, "preference", tokenizer, step("orpo"), prompts=p).sequences[0] for p in (False, True))
    assert answers.tokens == everything.tokens
    assert set(answers.groups) == {1, 2}
    trunk = everything.branches.count(0)
    assert everything.groups.count(0) == trunk - 1
    assert [g for g in everything.groups if g] == list(answers.groups)
    assert loss_tokens(everything, pairs=True) == trunk - 1 + loss_tokens(answers, pairs=True)
    assert loss_tokens(answers, pairs=True) == answers.branches.count(1)


@pytest.mark.parametrize("kind", ["instruction", "preference"])
@pytest.mark.parametrize(
    ("template", "found"),
    [
        (None, "no chat template"),
        (
            "{% for m in messages %}{{ m['role'] }}:\n{{ m['content'] }}\n{% endfor %}{{ 'assistant:\n' if add_generation_prompt }}",
            "to stop",
        ),
        ("<s><s>{% for m in messages %}{{ m['content'] }}<|im_end|>{% endfor %}", "twice"),
        # the blank before an answer becomes part of its first token: apart and together are not the same tokens
        (
            "{% for m in messages %}{{ m['role'] }}: {{ m['content'] | lower }}<|im_end|>{% endfor %}"
            "{{ 'assistant: ' if add_generation_prompt }}",
            "tokenised differently",
        ),
    ],
)
def test_a_template_that_cannot_be_trained_with_is_an_error(kind, template, found, tokenizer, datasets):
    tokenizer.chat_template = template
    if template and "<s>" in template:
        tokenizer.add_special_tokens({"bos_token": "<s>"})
    with pytest.raises(InputError, match=found) as error:
        read(datasets[kind] / "train.jsonl", kind, tokenizer, step("sft"))
    assert (error.value.file, error.value.line) == (datasets[kind] / "train.jsonl", 1)


@pytest.mark.parametrize("opening", ["<|endoftext|>", "<s>"])
def test_a_document_that_brings_its_own_beginning_is_an_error(opening, tokenizer, tmp_path):
    """Whether the tokenizer writes a beginning-of-text token or the end of the document before stands there."""
    if opening == "<s>":
        tokenizer.add_special_tokens({"bos_token": "<s>"})
        number = tokenizer.convert_tokens_to_ids("<s>")
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", number)])
    made = rows("text", 2)
    write(tmp_path / "good.jsonl", made)
    first = read(tmp_path / "good.jsonl", "text", tokenizer, step("cpt")).sequences[0]
    assert texts(tokenizer, first.tokens).count(opening) == (1 if opening == "<s>" else 2)
    made[1]["text"] = opening + made[1]["text"]
    write(tmp_path / "bad.jsonl", made)
    with pytest.raises(InputError, match="opens a document") as error:
        read(tmp_path / "bad.jsonl", "text", tokenizer, step("cpt"))
    assert error.value.line == 2


def test_more_than_the_allowed_share_of_cut_rows_is_an_error(tokenizer, tmp_path):
    made = rows("instruction", 20)
    made[7]["messages"][1]["content"] = "Bone. " * 60
    write(tmp_path / "rows.jsonl", made)
    found = read(tmp_path / "rows.jsonl", "instruction", tokenizer, step("sft", most_cut=0.05))
    assert (found.rows, found.cut_rows, len(found.sequences)) == (20, 1, 20)
    assert found.cut_tokens > 50
    with pytest.raises(InputError, match=rf"1 of 20 .* would lose {found.cut_tokens} tokens; `most_cut` allows 4.0%"):
        read(tmp_path / "rows.jsonl", "instruction", tokenizer, step("sft", most_cut=0.04))
