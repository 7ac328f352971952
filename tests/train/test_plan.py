import pytest

from eutectic.models.packing import sequence
from eutectic.specs.steps import TrainStep
from eutectic.train import objectives, plan

LENGTHS = [5, 30, 12, 40, 8, 8, 22, 64, 3, 17]
ITEMS = [sequence(str(i), [4] * n, [True] * n) for i, n in enumerate(LENGTHS)]


def spec(**changes):
    return TrainStep(**({"objective": "cpt", "learning_rate": 1e-3, "batch": 2, "sequence": 40, "epochs": 3, "seed": 1} | changes))


def compiled(**changes):
    step = spec(**changes)
    return plan.compile_plan(ITEMS, objectives.find(step.objective), step)


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


def test_the_digest_knows_seed_and_settings_and_nothing_else():
    assert compiled().digest == compiled().digest
    assert len({compiled().digest, compiled(seed=2).digest, compiled(learning_rate=2e-3).digest, compiled(epochs=2).digest}) == 4


@pytest.mark.parametrize(("schedule", "half"), [("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)])
def test_schedules_rise_and_fall_as_told(schedule, half):
    step = spec(schedule=schedule, warmup=0.1, learning_rate=1.0)
    rates = [plan.learning_rate(u, 100, step) for u in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(half, abs=1e-9)
    assert rates[99] < 0.02 or schedule == "constant"


def test_without_warm_up_the_first_rate_is_the_peak():
    assert plan.learning_rate(0, 7, spec(warmup=0.0)) == 1e-3
