"""The table of training arms."""

from eutectic.cli.plan import arm_entry, arm_lines
from eutectic.specs.steps import TrainStep
from eutectic.study.nodes import Step
from eutectic.study.outlines import Arm
from eutectic.study.status import Standing


def step(address):
    return Step("train", address, TrainStep(objective="dpo", learning_rate=1e-5, seed=len(address)))


COUNTS = {"tokens": 1_234_567, "loss_tokens": 300_000, "pairs": 800, "updates": 100, "learning_rate_integral": 0.000512, "flops": 1.5e15}
ARMS = [
    Arm(step("base/dpo"), "ledger", {**COUNTS, "seconds": 3725.0}),
    Arm(step("instruct/cpt"), "outline", {**COUNTS, "pairs": 0}),
    Arm(step("late"), "unknown", note="known when the dataset is made"),
]


def test_numbers_stand_under_their_headings():
    plan = [Standing(arm.step, state) for arm, state in zip(ARMS, ("done", "todo", "todo"), strict=True)]
    empty, head, done, todo, late, last = arm_lines(plan, ARMS)
    assert empty == last == ""
    for heading, value in (
        ("tokens", "1,234,567"),
        ("pairs", "800"),
        ("FLOPs", "1.50e15"),
        ("lr integral", "0.000512"),
        ("time", "1 h 02 min"),
    ):
        assert head.index(heading) + len(heading) == done.index(value) + len(value)
    assert todo.split()[-1] == "-"
    assert todo.split()[5] == "-"  # a stage without pairs
    assert late.split(maxsplit=3) == ["late", "to", "do", "known when the dataset is made"]


def test_machines_get_the_numbers_and_null_for_what_is_not_known():
    done, _, late = map(arm_entry, ARMS)
    assert (done["tokens"], done["seconds"], done["known"], done["plan"]) == (1_234_567, 3725.0, "ledger", None)
    assert late["tokens"] is None
    assert late["note"] == "known when the dataset is made"


def test_a_study_without_training_has_no_table():
    assert arm_lines([], []) == []
