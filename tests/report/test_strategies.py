"""Strategies in the report: spoken of with three seeds, paired by seed, and withheld below."""

import example
import pytest

from eutectic.report import results, strategies, verdict
from eutectic.specs.steps import TrainStep


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    """A study whose stage and merge were made with so many seeds; the merge gains with every one of them."""

    def build(seeds, ability=1.6):
        made = example.Example(tmp_path_factory.mktemp("seeds"), items=400)
        made.data()
        made.model()
        made.evaluate("instruct", 0.0)
        for seed in range(seeds):
            name, merge = f"instruct/cpt#{seed}", f"paper:instruct/cpt#{seed}"
            made.add(
                "train",
                name,
                TrainStep(objective="cpt", learning_rate=2e-4, seed=seed),
                {"model": ("instruct",), "dataset": ("text",)},
                folder=made.place(name),
            )
            made.evaluate(name, 0.2)
            made.merge(merge, "slerp", {"t": 0.5}, (name,))
            made.evaluate(merge, ability)
            made.compare(merge, ("instruct", name), {})
        made.claims()
        return made.view()

    return build


def test_three_seeds_speak_of_a_strategy_over_items_and_seeds(seeded):
    view = seeded(4)
    found = results.collect(view)
    (merge, stage) = strategies.found(view, found)
    assert (merge.name, merge.against, merge.seeds) == ("paper:instruct/cpt", ("instruct", "instruct/cpt"), ("0", "1", "2", "3"))
    assert (stage.name, stage.against) == ("instruct/cpt", ("instruct",))
    sentence = strategies.sentence(view, found)
    assert "the strategy paper:instruct/cpt is above all of instruct, instruct/cpt by" in sentence
    assert "on acquired facts by likelihood (4 seeds, 95 % interval over items and seeds +" in sentence
    assert "Every other sentence is about these checkpoints" in sentence
    (table,) = strategies.section(view, found).blocks
    assert "difference, points [95 % over items and seeds]" in [column.title for column in table.shown]
    assert table.marks[0] == "gain"


def test_without_a_gain_over_seeds_no_strategy_is_praised(seeded):
    view = seeded(3, ability=0.2)
    assert "no strategy is shown to be above what it is made from" in strategies.sentence(view, results.collect(view))


@pytest.mark.parametrize(("seeds", "words"), [(1, "one training seed"), (2, "2 training seeds, where a sentence about a strategy needs 3")])
def test_below_three_seeds_the_sentence_is_withheld(seeded, seeds, words):
    view = seeded(seeds)
    found = results.collect(view)
    first, *_, last = verdict.sentences(view, found)
    assert last.startswith(f"All of this is about these checkpoints: {words}, intervals over items")
    assert last.endswith("nothing is said of a strategy.")
    assert "this checkpoint" in first
    assert "strateg" not in first
    assert strategies.section(view, found).blocks[0].text == strategies.FEW
