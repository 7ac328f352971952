"""Answers held to a form, whatever a model would rather write."""

import json

import pytest
import torch

from eutectic.errors import InputError
from eutectic.models import loading
from eutectic.models.generate import end_tokens
from eutectic.models.grammar import Grammars

RECORDS = {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}, "minItems": 1}


@pytest.fixture
def vocabulary(tiny):
    tokenizer = loading.tokenizer(tiny)
    ends = end_tokens(loading.load(tiny, torch.float32, torch.device("cpu")), tokenizer)
    return tokenizer, Grammars(tokenizer, ends), ends


def written(matcher, tokenizer, ends, wish, most):
    """What is written by a model that always likes one token best, else the first that fits."""
    answer: list[int] = []
    for _ in range(most):
        logits = -torch.arange(len(tokenizer), dtype=torch.float32)
        logits[wish] = 1.0
        matcher.forbid(logits)
        answer.append(int(logits.argmax()))
        if matcher.take(answer[-1]) or answer[-1] in ends:
            break
    return tokenizer.decode([token for token in answer if token not in ends])


def test_a_text_that_would_never_end_is_closed_in_time(vocabulary):
    tokenizer, grammars, ends = vocabulary
    (wish,) = tokenizer("a", add_special_tokens=False)["input_ids"]
    text = written(grammars.schema(RECORDS, 128), tokenizer, ends, wish, 128)
    (record,) = json.loads(text)
    assert set(record["name"]) == {"a"}
    assert len(record["name"]) > 16


def test_only_what_matches_is_written(vocabulary):
    tokenizer, grammars, ends = vocabulary
    (wish,) = tokenizer("C", add_special_tokens=False)["input_ids"]
    assert written(grammars.pattern(" ?(A|B)"), tokenizer, ends, wish, 8).strip() in ("A", "B")
    assert written(grammars.pattern(" ?(B|C)"), tokenizer, ends, wish, 8) == "C"


def test_what_is_no_grammar_is_told(vocabulary):
    with pytest.raises(InputError, match="held to their form"):
        vocabulary[1].pattern("(")
