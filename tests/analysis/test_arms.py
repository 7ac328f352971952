"""Every factor of a comparison, and every kind of difference that the factor does not imply."""

import pytest

from eutectic.analysis import arms
from eutectic.analysis.arms import Merge, Model, Stage
from eutectic.specs.steps import TrainStep
from eutectic.specs.study import LoraSpec

LEDGER = {
    "tokens": 50_000,
    "loss_tokens": 20_000,
    "pairs": 0,
    "updates": 100,
    "learning_rate_integral": 0.0025,
    "plan": "a" * 64,
    "flops": 10**12,
    "seconds": 60.0,
}
PAIRS = LEDGER | {"pairs": 800, "plan": "d" * 64}
CONFIG = {"model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "num_hidden_layers": 30}


def stage(objective="sft", key="", ledger=LEDGER, parameters=None, dataset="data", **spec):
    made = TrainStep(**({"objective": objective, "learning_rate": 5e-5, "epochs": 1, "seed": 17} | spec))
    return Stage(key or f"{objective}-{made.identity()}", made, parameters or {}, dataset, f"key of {dataset}", ledger)


def model(start, *stages, config=CONFIG, matched=""):
    address = f"{start}/{'-'.join(each.spec.objective for each in stages)}" if stages else start
    seed = f"#{stages[-1].spec.seed}" if stages and stages[-1].spec.seed != 17 else ""
    return Model(f"{address}{seed}{'+tokens' if matched else ''}", start, stages, config, matched)


def only(models, merges=()):
    (pair,) = arms.pairs(models, merges)
    return pair


CPT = stage("cpt", key="k1")


def test_an_added_stage_brings_its_tokens_and_no_confound():
    pair = only([model("instruct", CPT), model("instruct", CPT, stage("sft"))])
    assert (pair.model, pair.against, pair.factor) == ("instruct/cpt-sft", "instruct/cpt", "stage added")
    assert pair.implied[:3] == ("sft on data", "tokens read +50,000", "loss tokens +20,000")
    assert pair.confounds == ()
    assert pair.control == ""


def test_the_first_stage_is_added_to_the_start_model():
    pair = only([model("instruct"), model("instruct", CPT)])
    assert pair.factor == "stage added"
    assert pair.control is None  # there is no stage before it to read more of


def test_a_stage_is_added_only_to_the_very_same_stage():
    other = stage("cpt", key="k2", learning_rate=1e-5)
    assert arms.pairs([model("instruct", other), model("instruct", CPT, stage("sft"))]) == []


def test_a_token_matched_arm_is_the_control_of_its_stage_and_nothing_else():
    sft = model("instruct", CPT, stage("sft"))
    control = model("instruct", CPT, stage("cpt", key="k3", tokens=50_000, epochs=None), matched=sft.address)
    pair = only([model("instruct", CPT), sft, control])
    assert pair.control == "instruct/cpt-cpt+tokens"


def test_objectives_of_the_same_data_differ_in_what_they_bring_alone():
    dpo = stage("dpo", parameters={"beta": 0.1, "loss": "sigmoid"}, ledger=PAIRS)
    orpo = stage(
        "orpo",
        parameters={"beta": 0.1, "likelihood": "answer"},
        ledger=PAIRS | {"loss_tokens": 15_000, "flops": 8 * 10**11, "plan": "e" * 64},
    )
    pair = only([model("instruct", CPT, dpo), model("instruct", CPT, orpo)])
    assert pair.factor == "objective"
    assert pair.confounds == ()
    assert pair.implied[:3] == ("objective: orpo against dpo", "likelihood: answer against none", "loss: none against sigmoid")
    assert {line.partition(":")[0] for line in pair.implied[3:]} == {"loss tokens", "batch plan", "FLOPs"}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"learning_rate": 8e-5}, "learning_rate: 8e-05 against 5e-05"),
        ({"batch": 16}, "batch: 16 against 8"),
        ({"schedule": "linear"}, "schedule: linear against cosine"),
        ({"warmup": 0.0}, "warmup: 0 against 0.1"),
        ({"epochs": 2.0}, "epochs: 2 against 1"),
        ({"epochs": None, "updates": 50}, "updates: 50 against none"),
        ({"sequence": 256}, "sequence: 256 against 512"),
        ({"precision": "float32"}, "precision: float32 against mixed"),
        ({"publish_dtype": "float32"}, "publish_dtype: float32 against bfloat16"),
        ({"weight_decay": 0.1}, "weight_decay: 0.1 against 0"),
        ({"max_grad_norm": 0.5}, "max_grad_norm: 0.5 against 1"),
        ({"seed": 18}, "seed: 18 against 17"),
        ({"lora": LoraSpec(rank=8)}, "lora: rank 8 against none"),
        ({"dataset": "others"}, "dataset: others against data"),
        ({"parameters": {"beta": 0.05}}, "beta: 0.05 against 0.1"),
        ({"ledger": PAIRS | {"updates": 99}}, "updates done: 99 against 100"),
        ({"ledger": PAIRS | {"tokens": 49_000}}, "tokens read: 49,000 against 50,000"),
        ({"ledger": PAIRS | {"learning_rate_integral": 0.004}}, "learning-rate integral: 0.004 against 0.0025"),
        ({"ledger": PAIRS | {"tokens": 49_000, "plan": "f" * 64}}, f"batch plan: {'f' * 12} against {'d' * 12}"),
    ],
)  # fmt: skip
def test_whatever_else_differs_confounds_an_objective(changes, line):
    dpo = stage("dpo", parameters={"beta": 0.1}, ledger=PAIRS)
    orpo = stage("orpo", **({"parameters": {"beta": 0.1}, "ledger": PAIRS} | changes))
    assert line in only([model("instruct", CPT, dpo), model("instruct", CPT, orpo)]).confounds


def test_what_does_not_bear_on_the_weights_is_no_confound():
    dpo = stage("dpo", ledger=PAIRS)
    orpo = stage("orpo", ledger=PAIRS, keep="epochs", probe_every=1e4, decay=0.5, most_cut=0.2)
    assert only([model("instruct", CPT, dpo), model("instruct", CPT, orpo)]).confounds == ()


def test_two_adapters_are_told_part_by_part():
    a, b = stage("dpo", ledger=PAIRS, lora=LoraSpec(rank=8)), stage("orpo", ledger=PAIRS, lora=LoraSpec(rank=8, alpha=16.0))
    assert only([model("instruct", CPT, a), model("instruct", CPT, b)]).confounds == ("lora.alpha: 16 against 32",)


def test_another_start_reads_the_same_rows_with_its_own_tokenizer():
    other = stage(
        "sft", key="other", ledger=LEDGER | {"tokens": 52_000, "updates": 103, "learning_rate_integral": 0.0026, "plan": "b" * 64}
    )
    pair = only([model("base", stage("sft")), model("instruct", other)])
    assert (pair.model, pair.against, pair.factor) == ("instruct/sft", "base/sft", "start")
    assert pair.confounds == ()
    assert "tokens read: 52,000 against 50,000" in pair.implied


def test_starts_are_confounded_by_stages_that_differ_and_the_stage_is_named():
    other = (
        stage("cpt", key="c2", learning_rate=2e-5, ledger=LEDGER | {"learning_rate_integral": 0.001}),
        stage("sft", key="s2", dataset="others"),
    )
    pair = only([model("base", CPT, stage("sft")), model("instruct", *other)])
    assert pair.confounds == (
        "cpt, learning_rate: 2e-05 against 5e-05",
        "cpt, learning-rate integral: 0.001 against 0.0025",
        "sft, dataset: others against data",
    )


def test_size_is_a_start_of_one_architecture_and_vocabulary_in_another_size():
    large = CONFIG | {"hidden_size": 960, "num_hidden_layers": 32}
    pair = only([model("small", CPT), model("large", stage("cpt", key="k2"), config=large)])
    assert pair.factor == "size"
    assert "hidden_size: 960 against 576" in pair.implied
    for other in (large | {"model_type": "gemma"}, large | {"vocab_size": 32000}, CONFIG, {}):
        assert only([model("small", CPT), model("large", stage("cpt", key="k2"), config=other)]).factor == "start"


def test_of_several_seeds_the_same_are_compared():
    made = [model(start, stage("sft", key=f"{start}{seed}", seed=seed)) for start in ("base", "instruct") for seed in (17, 18)]
    found = arms.pairs(made)
    assert [(pair.model, pair.against) for pair in found] == [("instruct/sft", "base/sft"), ("instruct/sft#18", "base/sft#18")]
    lonely = arms.pairs([made[0], made[3]])
    assert lonely[0].confounds == ("seed: 18 against 17",)


def test_a_merge_stands_against_the_models_it_is_of():
    models = [model("instruct"), model("instruct", CPT)]
    merges = [Merge("paper:instruct/cpt", "slerp", ("instruct/cpt",), "instruct"), Merge("blend", "ties", ("instruct/cpt", "elsewhere"))]
    found = [pair for pair in arms.pairs(models, merges) if pair.factor == "merge"]
    assert [(pair.model, pair.against, pair.implied) for pair in found] == [
        ("paper:instruct/cpt", "instruct/cpt", ("merged by slerp with instruct",)),
        ("blend", "instruct/cpt", ("merged by ties with elsewhere",)),
    ]


def test_models_that_differ_in_more_are_not_compared():
    assert arms.pairs([model("base", CPT), model("instruct", stage("cpt", key="k2"), stage("sft"))]) == []
    assert arms.pairs([model("instruct", CPT), model("instruct", stage("cpt", key="k2", learning_rate=1e-5))]) == []
