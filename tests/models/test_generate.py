"""Generation against transformers' own, against itself alone and in company, and at its limits."""

import json
import runpy
from pathlib import Path

import pytest
import torch

from eutectic.errors import InputError, WorkError
from eutectic.models import chat_template, loading
from eutectic.models.generate import generate, groups, nucleus, shared_beginning
from eutectic.specs.rows import Message

CPU = torch.device("cpu")
make_tiny = runpy.run_path(str(Path(__file__).parents[1] / "conftest.py"))["make_tiny"]
QUESTIONS = ("What is collagen?", "What is the toughness of dragline silk? Say it in one number.", "Bone?", "A leaf has veins. Why?")


def prompts_of(tokenizer):
    return [chat_template.render(tokenizer, [Message(role="user", content=q)], generation_prompt=True) for q in QUESTIONS]


def by_transformers(model, prompt, new):
    ids = torch.tensor([prompt])
    ends = [model.generation_config.eos_token_id, 0]  # 0: <|endoftext|>, which ends an answer of ours too
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False, pad_token_id=0, eos_token_id=ends)
    return out[0, len(prompt) :].tolist()


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "gemma"])
def test_greedy_answers_equal_those_of_transformers(tmp_path, family):
    folder = make_tiny(tmp_path / family, family=family)
    model, tokenizer = loading.load(folder, torch.float32, CPU), loading.tokenizer(folder)
    prompts = prompts_of(tokenizer)
    for prompt, answer in zip(prompts, generate(model, tokenizer, prompts, max_new_tokens=12), strict=True):
        wanted = by_transformers(model, prompt, 12)
        assert answer.text == tokenizer.decode(wanted, skip_special_tokens=True)
        assert answer.tokens == len(wanted)


@pytest.mark.parametrize("family", ["mistral", "gemma2", "gemma3"])
def test_windows_of_attention_are_kept_while_an_answer_grows_and_rows_are_dropped(tmp_path, family):
    folder = make_tiny(tmp_path / family, family=family)
    config = json.loads((folder / "config.json").read_text())
    config |= {"sliding_window": 16} | ({"layer_types": ["sliding_attention", "full_attention"]} if "gemma" in family else {})
    (folder / "config.json").write_text(json.dumps(config))
    model, tokenizer = loading.load(folder, torch.float32, CPU), loading.tokenizer(folder)
    with torch.no_grad():  # far from uniform, so that what is out of sight matters
        for parameter in model.parameters():
            parameter.mul_(4.0 if parameter.ndim > 1 else 1.0)
    prompts = [prompt[-length:] for prompt, length in zip(prompts_of(tokenizer), (10, 40, 12, 30), strict=True)]
    free = [by_transformers(model, prompt, 16) for prompt in prompts]
    ends = [free[0][5], tokenizer.eos_token_id]
    model.generation_config.eos_token_id = ends
    for tokens, answer in zip(free, generate(model, tokenizer, prompts, max_new_tokens=16), strict=True):
        stop = next((i for i, token in enumerate(tokens) if token in ends), None)
        assert answer.text == tokenizer.decode(tokens[:stop], skip_special_tokens=True)
    assert free[1] != by_transformers(wide(folder, model), prompts[1], 16)


def wide(folder, model):
    """The same weights with a window wider than any row."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"sliding_window": 4096}))
    other = loading.load(folder, torch.float32, CPU)
    other.load_state_dict(model.state_dict())
    return other


@pytest.mark.assets
def test_on_the_real_model_company_changes_nothing(smol):
    model, tokenizer = loading.load(smol, torch.float32, CPU), loading.tokenizer(smol)
    prompts = prompts_of(tokenizer)
    together = generate(model, tokenizer, prompts, max_new_tokens=10)
    assert [generate(model, tokenizer, [p], max_new_tokens=10)[0] for p in prompts] == together
    for prompt, answer in zip(prompts, together, strict=True):
        assert answer.text == tokenizer.decode(by_transformers(model, prompt, 10), skip_special_tokens=True)


def test_an_answer_ends_at_the_end_token_and_finished_rows_do_not_disturb_the_others(tiny):
    """The first tokens greedy decoding gives are made end tokens in turn."""
    model, tokenizer = loading.load(tiny, torch.float32, CPU), loading.tokenizer(tiny)
    prompts = prompts_of(tokenizer)
    free = [by_transformers(model, prompt, 12) for prompt in prompts]
    model.generation_config.eos_token_id = [free[0][3], tokenizer.eos_token_id]
    for tokens, answer in zip(free, generate(model, tokenizer, prompts, max_new_tokens=12), strict=True):
        stop = next((i for i, t in enumerate(tokens) if t in model.generation_config.eos_token_id), None)
        assert answer.stop_reason == ("length" if stop is None else "end")
        assert answer.tokens == (12 if stop is None else stop + 1)
        assert answer.text == tokenizer.decode(tokens[:stop], skip_special_tokens=True)


def test_the_token_that_closes_documents_ends_an_answer(tiny):
    model, tokenizer = loading.load(tiny, torch.float32, CPU), loading.tokenizer(tiny)
    closing = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert closing != tokenizer.eos_token_id
    prompt = prompts_of(tokenizer)[0]
    with torch.no_grad():  # the head's row of that token points where the prompt ends, so it is the likeliest next token
        model.model.embed_tokens.weight[closing] = 100 * model.model(torch.tensor([prompt])).last_hidden_state[0, -1]
    (answer,) = generate(model, tokenizer, [prompt], max_new_tokens=12)
    assert (answer.text, answer.tokens, answer.stop_reason) == ("", 1, "end")


def test_sampling_repeats_with_its_seed_and_differs_between_rows(tiny):
    model, tokenizer = loading.load(tiny, torch.float32, CPU), loading.tokenizer(tiny)
    prompts = [prompts_of(tokenizer)[0]] * 4

    def draw(seed):
        return [
            a.text
            for a in generate(model, tokenizer, prompts, max_new_tokens=12, temperature=1.0, top_p=0.95, repetition_penalty=1.1, seed=seed)
        ]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert len(set(draw(1))) > 1


def test_pieces_that_are_streamed_make_the_answer(tiny):
    model, tokenizer = loading.load(tiny, torch.float32, CPU), loading.tokenizer(tiny)
    pieces: list[str] = []
    (answer,) = generate(model, tokenizer, prompts_of(tokenizer)[:1], max_new_tokens=20, on_token=lambda _, text: pieces.append(text))
    assert answer.text.startswith("".join(pieces))
    assert "".join(pieces)


def test_a_repetition_penalty_keeps_tokens_away(tiny):
    model, tokenizer = loading.load(tiny, torch.float32, CPU), loading.tokenizer(tiny)
    (answer,) = generate(model, tokenizer, [[5, 6, 7]], max_new_tokens=20, repetition_penalty=1e6)
    tokens = tokenizer(answer.text, add_special_tokens=False)["input_ids"]
    assert answer.tokens == 20 or answer.stop_reason == "end"
    assert not {5, 6, 7} & set(tokens)


def test_the_nucleus_is_the_smallest_set_that_holds_the_share():
    probabilities = torch.tensor([0.1, 0.4, 0.3, 0.2])
    values, tokens = nucleus(probabilities, 0.65)
    assert tokens.tolist() == [1, 2]
    assert values.tolist() == pytest.approx([0.4, 0.3])
    flat = torch.full((1000,), 1e-3, dtype=torch.float64)
    assert 899 <= len(nucleus(flat, 0.9)[1]) <= 901
    assert len(nucleus(probabilities, 1.0)[1]) == 4


def test_prompts_of_like_length_go_together_and_not_too_many():
    assert groups([30, 100, 31, 29, 60, 14]) == [[1, 4], [2, 0, 3], [5]]
    assert [len(group) for group in groups([7] * 150)] == [64, 64, 22]
    assert groups([]) == []


def test_what_prompts_share():
    long = list(range(20))
    assert shared_beginning([[*long, 1], [*long, 2]]) == 20
    assert shared_beginning([long, long]) == 19
    assert shared_beginning([[1, 2], [1, 3]]) == 0


def test_prompts_that_do_not_fit_are_refused(tiny):
    model, tokenizer = loading.load(tiny, torch.float32, CPU), loading.tokenizer(tiny)
    with pytest.raises(InputError, match="prompt 2 has 510 tokens"):
        generate(model, tokenizer, [[1], [1] * 510], max_new_tokens=8)
    with pytest.raises(InputError, match="empty"):
        generate(model, tokenizer, [[]], max_new_tokens=8)


def test_weights_that_are_not_numbers_are_reported(tiny):
    model, tokenizer = loading.load(tiny, torch.float32, CPU), loading.tokenizer(tiny)
    with torch.no_grad():
        model.get_decoder().layers[0].mlp.down_proj.weight.fill_(float("nan"))
    with pytest.raises(WorkError, match="not numbers"):
        generate(model, tokenizer, [[1, 2]], max_new_tokens=2)
