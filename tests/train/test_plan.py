import pytest

from eutectic.models.packing import sequence
from eutectic.specs.steps import TrainStep
from eutectic.train import plan
from eutectic.train.schedule import learning_rate

LENGTHS = [5, 30, 12, 40, 8, 8, 22, 64, 3, 17]
ITEMS = [sequence(str(i), [4] * n, [True] * n) for i, n in enumerate(LENGTHS)]


def spec(**changes):
    return TrainStep(**({"objective": "cpt", "learning_rate": 1e-3, "batch": 2, "sequence": 40, "epochs": 3, "seed": 1} | changes))


def compiled(**changes):
    step = spec(**changes)
    return plan.compile_plan(ITEMS, step, pairs=step.objective == "dpo")


def test_every_epoch_reads_every_example_once_and_updates_stay_within_their_tokens():
    made = compiled()
    for epoch in (1, 2, 3):
        updates = [u for u, e in zip(made.updates, made.epochs, strict=True) if e == epoch]
        assert sorted(i for u in updates for i in u) == list(range(10))
        assert all(sum(LENGTHS[i] for i in u) <= 80 for u in updates)
    assert made.updates[: made.epochs.index(2)] != made.updates[made.epochs.index(2) : made.epochs.index(3)]


def test_a_broken_epoch_reads_its_share():
    made = compiled(epochs=1.5)
    assert sum(len(u) for u, e in zip(made.updates, made.epochs, strict=True) if e == 2) == 5


def test_pairs_are_counted_not_their_tokens():
    made = compiled(objective="dpo", batch=4, epochs=1)
    assert [len(u) for u in made.updates] == [4, 4, 2]


def test_the_digest_knows_what_is_read_in_which_order_and_nothing_else():
    assert compiled().digest == compiled(learning_rate=2e-3, warmup=0.2).digest
    assert len({compiled().digest, compiled(seed=2).digest, compiled(batch=3).digest, compiled(epochs=2).digest}) == 4


def test_a_budget_of_tokens_is_reached_and_not_passed_by_more_than_an_example():
    for tokens in (30, 209, 500):
        read = sum(LENGTHS[i] for u in compiled(epochs=None, tokens=tokens).updates for i in u)
        assert tokens <= read < tokens + max(LENGTHS)


def test_a_budget_of_updates_goes_through_the_data_as_often_as_it_takes():
    made = compiled(epochs=None, updates=11)
    assert len(made.updates) == 11
    assert made.updates == compiled(epochs=4).updates[:11]


@pytest.mark.parametrize(("schedule", "half"), [("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)])
def test_schedules_rise_and_fall_as_told(schedule, half):
    step = spec(schedule=schedule, warmup=0.1, learning_rate=1.0)
    rates = [learning_rate(u, 100, step) for u in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(half, abs=1e-9)
    assert rates[99] < 0.02 or schedule == "constant"


def test_warm_up_stable_decay_stays_at_the_peak_and_falls_at_the_end():
    step = spec(schedule="wsd", warmup=5, decay=0.25, learning_rate=1.0)
    rates = [learning_rate(u, 40, step) for u in range(40)]
    assert rates[4] == rates[30] == 1.0
    assert rates[30:] == pytest.approx([1 - 0.1 * i for i in range(10)])


def test_without_warm_up_the_first_rate_is_the_peak():
    assert learning_rate(0, 7, spec(warmup=0.0)) == 1e-3
