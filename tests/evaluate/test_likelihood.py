"""Packed scores against one full forward pass an option, on tiny models of several families and on the real one."""

import json
import runpy
from pathlib import Path

import pytest
import torch
import transformers
from example_items import cloze_groups

from eutectic.context import Context
from eutectic.errors import WorkError
from eutectic.evaluate import likelihood
from eutectic.evaluate.branches import grow, stem
from eutectic.evaluate.likelihood import log_likelihoods
from eutectic.evaluate.tree import Ask
from eutectic.models import loading
from eutectic.models.fast import fast_head
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


FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3"]
SHAPES = ((80, 2048), (40, 90), (1000, 100))  # tokens of a row and of a batch


def asked(folder, *, shared=40, fewer=30, members=24):
    """Items that all begin alike, some of which share a passage behind that, with single and with several long options."""
    tokenizer = loading.tokenizer(folder)
    generator = torch.Generator().manual_seed(3)

    def words(count):
        return tuple(torch.randint(4, len(tokenizer), (count,), generator=generator).tolist())

    few_shot, passage = words(shared), words(fewer)
    groups = []
    for number in range(members):
        context = few_shot + (passage if number % 3 == 0 else ()) + words(5 + number % 7)
        groups.append([Ask(context + words(length), len(context)) for length in (1, 1, 4, 9)])
    long = words(200)
    groups.append([Ask(long + words(6), len(long)) for _ in range(4)])
    return [*groups, *cloze_groups(tokenizer, ITEMS)]


@pytest.mark.parametrize(("family", "tied"), [*((family, True) for family in FAMILIES), ("llama", False)])
def test_packed_scores_equal_separate_forward_passes(tmp_path, family, tied):
    folder = make_tiny(tmp_path / family, family=family, tied=tied)
    model = loading.load(folder, torch.float32, CPU)
    groups = asked(folder)
    wanted = one_by_one(model, groups)
    for row, batch in SHAPES:
        assert max(gaps(wanted, log_likelihoods(model, groups, Context(), row_tokens=row, batch_tokens=batch))) < 1e-4


@pytest.mark.parametrize("family", ["mistral", "gemma2", "gemma3"])
def test_windows_of_attention_are_kept_within_rows_and_into_the_shared_beginning(tmp_path, family):
    folder = make_tiny(tmp_path / family, family=family, layers=2)
    config = json.loads((folder / "config.json").read_text())
    config |= {"sliding_window": 24} | ({"layer_types": ["sliding_attention", "full_attention"]} if "gemma" in family else {})
    (folder / "config.json").write_text(json.dumps(config))
    model = loading.load(folder, torch.float32, CPU)
    groups = asked(folder)
    wanted = one_by_one(model, groups)
    assert max(gaps(wanted, log_likelihoods(model, groups, Context()))) < 1e-4
    model.config.sliding_window = None
    assert max(gaps(wanted, one_by_one(loading.load(_open(folder), torch.float32, CPU), groups))) > 1e-3  # the window matters


ARCHITECTURES = ["GPT2LMHeadModel", "GPTNeoXForCausalLM", "Olmo2ForCausalLM", "Phi3ForCausalLM", "MambaForCausalLM"]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_other_architectures_are_scored_rightly_whichever_way_they_go(name):
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 64,
        "intermediate_size": 64,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "pad_token_id": 0,
    }
    model = getattr(transformers, name)(getattr(transformers, name).config_class(**sizes)).eval()
    shared = tuple(torch.randint(1, 64, (50,)).tolist())
    groups = [[Ask((*shared, 5 + n, *range(length)), 51) for length in (1, 3)] for n in range(25)]
    assert max(gaps(one_by_one(model, groups), log_likelihoods(model, groups, Context()))) < 1e-4


def _open(folder):
    """The folder with a window wider than any path."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"sliding_window": 4096}))
    return folder


def test_an_item_scores_the_same_alone_and_in_company(tiny):
    model = loading.load(tiny, torch.float32, CPU)
    groups = asked(tiny)
    together = log_likelihoods(model, groups, Context())
    alone = [log_likelihoods(model, [group], Context())[0] for group in groups]
    backwards = log_likelihoods(model, groups[::-1], Context())[::-1]
    assert max(gaps(together, alone)) < 1e-4
    assert max(gaps(together, backwards)) < 1e-4


def test_what_many_items_share_goes_through_the_model_once(tiny, monkeypatch):
    model = loading.load(tiny, torch.float32, CPU)
    fed = []
    forward = type(model.get_decoder()).forward

    def counted(self, input_ids, **rest):
        fed.append(input_ids.numel())
        return forward(self, input_ids=input_ids, **rest)

    shared = tuple(range(4, 304))
    groups = [[Ask((*shared, 5 + i, 6, letter), 302) for letter in (7, 8, 9, 10)] for i in range(60)]
    log_likelihoods(model, groups[:1], Context())  # the model is tried here
    monkeypatch.setattr(type(model.get_decoder()), "forward", counted)
    log_likelihoods(model, groups, Context())
    assert sum(fed) == 300 + 2 * 80  # 60 items of two tokens in rows of 80, the second of them padded


def test_a_model_that_cannot_be_given_forests_is_scored_option_by_option(tiny, monkeypatch):
    """Its attention is made to forget what it is handed, as that of an architecture with attention of its own would."""
    model = loading.load(tiny, torch.float32, CPU)
    groups = asked(tiny, members=5)
    wanted = one_by_one(model, groups)
    forward = type(model.get_decoder()).forward
    monkeypatch.setattr(type(model.get_decoder()), "forward", lambda self, forest=None, **rest: forward(self, **rest))
    monkeypatch.setattr(likelihood, "hidden", None)  # nothing is packed
    assert max(gaps(wanted, log_likelihoods(model, groups, Context()))) < 1e-5


def test_nothing_asked_is_nothing_found(tiny):
    assert log_likelihoods(loading.load(tiny, torch.float32, CPU), [], Context()) == []


@pytest.mark.assets
def test_on_the_real_model(smol):
    tokenizer = loading.tokenizer(smol)
    shots = "\n".join(f"{question} {options[0]}" for question, options in TEXTS) + "\n"
    behind = [Item(id=str(i), group="g", question=shots + q, options=o, answer=0) for i, (q, o) in enumerate(TEXTS)]
    groups = [*cloze_groups(tokenizer, ITEMS), *(group for _ in range(4) for group in cloze_groups(tokenizer, behind))]
    exact = loading.load(smol, torch.float32, CPU)
    wanted = one_by_one(exact, groups[: 2 * len(ITEMS)])
    wanted += 3 * wanted[len(ITEMS) :]
    assert len(grow([stem(group) for group in groups])) > 1  # the examples are a branch of their own
    assert max(gaps(wanted, log_likelihoods(exact, groups, Context()))) < 1e-3
    rough = loading.load(smol, torch.bfloat16, CPU)
    assert fast_head(exact, 600) is not None  # nothing here went the slow road
    assert fast_head(rough, 600) is not None
    groups, wanted = groups[: len(ITEMS)], wanted[: len(ITEMS)]
    many, few = (log_likelihoods(rough, groups, Context(), row_tokens=row, batch_tokens=batch) for row, batch in ((160, 2048), (30, 60)))
    assert max(gaps(many, few)) < 0.5
    assert max(gaps(wanted, many)) < 1.0
    assert max(gaps(many, log_likelihoods(rough, groups, Context(), row_tokens=160))) == 0.0


def test_weights_that_are_not_numbers_are_reported(tiny):
    model = loading.load(tiny, torch.float32, CPU)
    with torch.no_grad():
        model.get_decoder().layers[0].mlp.down_proj.weight.fill_(float("nan"))
    with pytest.raises(WorkError, match="not finite"):
        log_likelihoods(model, [[Ask((1, 2, 3), 1)]], Context())
