import math

import pytest
import torch
from training_world import KINDS

from eutectic.errors import InputError
from eutectic.models import loading
from eutectic.models.attention import tiled_attention
from eutectic.models.packing import sequence, tile
from eutectic.train import objectives
from eutectic.train.plan import loss_tokens

CPU = torch.device("cpu")
ANSWERS = [([40, 41, 42], [43, 44]), ([45], [46, 47, 48, 49]), ([50, 51], [52, 53]), ([60, 61, 62, 63], [64])]
PREFERENCES = [name for name, kind in KINDS.items() if kind == "preference"]


def pairs(prompts=False):
    return [
        sequence(str(i), [5, 9, 11 + i], [prompts] * 3, [(chosen, [True] * len(chosen)), (rejected, [True] * len(rejected))])
        for i, (chosen, rejected) in enumerate(ANSWERS)
    ]


def update(name, given, items, model, batches):
    """Loss and measures of one update whose examples come in `batches`."""
    objective = objectives.find(name)
    total = objectives.Update(sum(loss_tokens(i, pairs=True) for i in items), len(items), objective.settings(given))
    found, measures = torch.zeros(()), dict[str, float]()
    with tiled_attention(model):
        for batch in batches:
            for tiles in tile([items[i] for i in batch], 2048):
                reference = torch.tensor([[-20.0, -21.0]] * len(tiles.members))
                loss, sums = objective.loss(model, tiles, total, reference)
                found = found + loss.detach()
                measures = {k: measures.get(k, 0.0) + v / len(items) for k, v in sums.items()}
    return found, measures


@pytest.mark.parametrize("name", PREFERENCES)
def test_an_update_in_pieces_is_the_update(name, tiny):
    model = loading.load(tiny, torch.float32, CPU)
    items = pairs(prompts=objectives.find(name).learns_prompt(objectives.find(name).settings({})))
    whole, measures = update(name, {}, items, model, [[0, 1, 2, 3]])
    parts, the_same = update(name, {}, items, model, [[2], [0, 3], [1]])
    assert float(parts) == pytest.approx(float(whole), rel=1e-5)
    assert the_same == pytest.approx(measures, rel=1e-5)
    assert set(measures) == {
        "margin",
        "pair_accuracy",
        "chosen_logprob",
        "rejected_logprob",
        "chosen_token_logprob",
        "rejected_token_logprob",
    }


def test_the_margin_is_what_each_loss_compares(tiny):
    model, items = loading.load(tiny, torch.float32, CPU), pairs()
    for name, given in (("simpo", {"beta": 3.0}), ("dpo", {"beta": 0.5, "loss": "ipo"})):
        _, measures = update(name, given, [items[0]], model, [[0]])
        means = (measures["chosen_token_logprob"], measures["rejected_token_logprob"])
        assert means == pytest.approx((measures["chosen_logprob"] / 3, measures["rejected_logprob"] / 2), rel=1e-6)
        kept = (-20.0 / 3, -21.0 / 2) if name == "dpo" else (0.0, 0.0)
        assert measures["margin"] == pytest.approx(given["beta"] * ((means[0] - kept[0]) - (means[1] - kept[1])), rel=1e-4)
        assert measures["pair_accuracy"] == float(measures["margin"] > 0)
    _, sigmoid = update("dpo", {"beta": 0.5}, [items[0]], model, [[0]])
    assert sigmoid["margin"] == pytest.approx(0.5 * ((sigmoid["chosen_logprob"] + 20) - (sigmoid["rejected_logprob"] + 21)), rel=1e-4)


def test_the_likelihood_of_orpo_is_divided_by_what_it_sums(tiny):
    """A model that knows nothing gives every token the same: its likelihood term is log V whatever it is taken of."""
    model = loading.load(tiny, torch.float32, CPU)
    with torch.no_grad():
        model.base_model.norm.weight.zero_()
    for prompts in (False, True):
        given = {"beta": 1e-9, "likelihood": "sequence" if prompts else "answer"}
        loss, _ = update("orpo", given, pairs(prompts), model, [[0, 1, 2, 3]])
        assert float(loss) == pytest.approx(math.log(model.config.vocab_size), rel=1e-5)


def test_what_is_not_given_is_the_default():
    assert objectives.find("sft").settings({}) == {"learn": "assistant"}
    assert objectives.find("dpo").settings({"loss": "hinge"}) == {"beta": 0.1, "loss": "hinge"}
    assert objectives.find("orpo").settings({}) == {"beta": 0.1, "likelihood": "sequence"}
    assert objectives.find("simpo").settings({"gamma": 0}) == {"beta": 2.0, "gamma": 0.0}


@pytest.mark.parametrize(
    ("name", "given", "found"),
    [
        ("cpt", {"beta": 1}, "no parameter of cpt.*It has: none"),
        ("dpo", {"gamma": 1}, "no parameter of dpo.*It has: beta, loss"),
        ("dpo", {"loss": "cdpo"}, "loss is 'cdpo'.*Choose one of: sigmoid, ipo, hinge"),
        ("dpo", {"beta": 0}, "beta is 0; it must be a number above 0"),
        ("dpo", {"beta": "high"}, "above 0"),
        ("dpo", {"beta": True}, "above 0"),
        ("dpo", {"beta": float("inf")}, "above 0"),
        ("simpo", {"gamma": -0.1}, "0 or above"),
        ("sft", {"learn": 3}, "Choose one of: assistant, all"),
        ("orpo", {"likelihood": ["answer"]}, "Choose one of: sequence, answer"),
    ],
)
def test_a_setting_that_may_not_be_says_what_may(name, given, found):
    with pytest.raises(InputError, match=found):
        objectives.find(name).settings(given)


def test_prompts_are_learned_where_asked_for():
    learns = {(n, w): objectives.find(n).learns_prompt(objectives.find(n).settings(g)) for n, w, g in (
        ("cpt", "", {}), ("dpo", "", {}), ("simpo", "", {}),
        ("sft", "", {}), ("sft", "all", {"learn": "all"}),
        ("orpo", "", {}), ("orpo", "answer", {"likelihood": "answer"}),
    )}  # fmt: skip
    assert [key for key, learned in learns.items() if learned] == [("sft", "all"), ("orpo", "")]
