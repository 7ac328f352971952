"""The synergy door on small evaluations written to disk."""

import time

import numpy as np
import pytest

from eutectic.analysis import family, synergy
from eutectic.analysis.table import read_scores
from eutectic.artifacts import ITEMS, SUMMARY, Artifact, read_json, write_json, write_rows
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.specs.rows import ItemScore
from eutectic.specs.steps import FamilyStep, SynergyStep


@pytest.fixture
def evaluation(tmp_path):
    """Writes an Evaluation in which a model is right on acquired, unseen items with the given chances."""

    def write(name, acquired, unseen, *, n=300, seed=0, equal_to=None):
        folder = tmp_path / name
        folder.mkdir()
        random = np.random.default_rng(seed)
        rows = []
        for role, share in (("acquired", acquired), ("unseen", unseen)):
            for i in range(n):
                answer, right = i % 4, random.random() < share
                choice = answer if right else (answer + 1) % 4
                likelihoods = np.full(4, -20.0)
                likelihoods[choice] = -12.0
                rows.append(
                    ItemScore(
                        id=f"{role}{i}",
                        benchmark=role,
                        group=f"{role}{i // 3}",
                        role=role,
                        split="dev" if i >= 0.9 * n else "test",
                        form="cloze",
                        score=float(right),
                        choice=choice,
                        answer=answer,
                        log_likelihoods=tuple(likelihoods),
                        tokens=(8,) * 4,
                        margin=8.0,
                    )
                )
        write_rows(folder / ITEMS, rows)
        write_json(folder / SUMMARY, {"equal_to": equal_to} if equal_to else {})
        return Artifact("evaluation", name, f"key of {name}", folder)

    return write


def claims(tmp_path, merges, parents, **spec):
    """A family in which every merge has the same parents."""
    out = tmp_path / f"family-{len(list(tmp_path.iterdir()))}"
    out.mkdir()
    roles = {"merges": tuple(merges), "parents": tuple(parents)}
    family.build(FamilyStep(of=(tuple(range(len(parents))),) * len(merges), **spec), roles, out, Context())
    return Artifact("family", "claims", "key of claims", out)


def run(tmp_path, merge, parents, controls=None, among=None, **spec):
    """The synergy of a merge, alone in its family or among the given claims."""
    out = tmp_path / "out"
    out.mkdir()
    controls = controls or {}
    roles = {"merge": (merge,), "parents": tuple(parents), "controls": tuple(controls.values())}
    roles["family"] = (among or claims(tmp_path, [merge], parents),)
    ledger = synergy.build(SynergyStep(controls=tuple(controls), **spec), roles, out, Context())
    return ledger, read_json(out / SUMMARY)


def test_a_gain_on_unseen_facts_is_said_of_unseen_facts_only(tmp_path, evaluation):
    parents = [evaluation("a", 0.5, 0.4, seed=1), evaluation("b", 0.5, 0.45, seed=2)]
    ledger, summary = run(tmp_path, evaluation("m", 0.5, 0.8, seed=3), parents)
    assert ledger["outcome"] == "gain"
    assert "beats each of its parents on unseen facts by likelihood" in summary["verdict"]
    assert "no gain is shown elsewhere" in summary["verdict"]
    assert summary["verdict"].startswith("This checkpoint")
    best = [row for row in summary["comparisons"] if row["against"] == "best parent"]
    assert {row["part"]: row["outcome"] for row in best} == {"acquired": "none", "unseen": "gain"}
    assert all(row["n"] == 270 for row in best)  # the dev split stays out


def test_without_a_gain_the_sentence_says_what_could_not_have_been_seen(tmp_path, evaluation):
    parents = [evaluation("a", 0.5, 0.5, seed=1), evaluation("b", 0.5, 0.5, seed=2)]
    _, summary = run(tmp_path, evaluation("m", 0.5, 0.5, seed=3), parents)
    assert summary["outcome"] == "none"
    sizes = {
        row["part"]: f"{100 * row['detectable']:.1f} points ({row['part']})"
        for row in summary["comparisons"]
        if row["against"] == "best parent"
    }
    assert summary["verdict"] == (
        f"No gain of this checkpoint over each of its parents is shown; a gain of less than {sizes['acquired']} or {sizes['unseen']} by likelihood could not have been seen reliably."
    )


def test_a_loss_is_named(tmp_path, evaluation):
    _, summary = run(tmp_path, evaluation("m", 0.2, 0.5, seed=3), [evaluation("a", 0.7, 0.5, seed=1), evaluation("b", 0.3, 0.5, seed=2)])
    assert summary["outcome"] == "loss"
    assert "below at least one of its parents on acquired facts" in summary["verdict"]


def test_a_control_equal_to_the_merge_is_reported_and_not_tested(tmp_path, evaluation):
    parents = [evaluation("a", 0.5, 0.5, seed=1), evaluation("b", 0.5, 0.5, seed=2)]
    controls = {"linear_schedule": evaluation("twin", 0.5, 0.5, seed=3, equal_to="m"), "linear": evaluation("plain", 0.5, 0.5, seed=4)}
    ledger, summary = run(tmp_path, evaluation("m", 0.5, 0.5, seed=3), parents, controls)
    rows = {(row["part"], row["against"]): row for row in summary["comparisons"]}
    assert rows["acquired", "linear_schedule"]["outcome"] == "equal"
    assert rows["acquired", "linear_schedule"]["p"] == 1
    assert ledger["tests"] == 2 * 4  # best, mean, linear, ensemble in two parts
    assert summary["controls"][0] == {"kind": "linear_schedule", "name": "twin", "equal_to": "m"}


def test_ensemble_of_identical_parents_is_the_parent(tmp_path, evaluation):
    same = [evaluation("a", 0.5, 0.5, seed=1), evaluation("b", 0.5, 0.5, seed=1)]
    _, summary = run(tmp_path, evaluation("m", 0.6, 0.6, seed=2), same)
    scores = {(row["name"], row["part"]): row["accuracy"] for row in summary["scores"]}
    assert scores["ensemble", "acquired"] == scores["a", "acquired"]


def test_the_step_repeats_and_is_quick(tmp_path, evaluation):
    parents = [evaluation("a", 0.5, 0.5, n=1300, seed=1), evaluation("b", 0.5, 0.5, n=1300, seed=2)]
    controls = {"linear_schedule": evaluation("c", 0.5, 0.5, n=1300, seed=5), "linear": evaluation("d", 0.5, 0.5, n=1300, seed=6)}
    merge = evaluation("m", 0.5, 0.5, n=1300, seed=3)
    start = time.process_time()
    _, once = run(tmp_path, merge, parents, controls, seed=4)
    assert time.process_time() - start < 3
    (tmp_path / "out").rename(tmp_path / "first")
    assert run(tmp_path, merge, parents, controls, seed=4)[1] == once


def test_p_against_the_best_parent_is_that_of_the_whole_family(tmp_path, evaluation):
    parents = [evaluation("a", 0.5, 0.4, seed=1), evaluation("b", 0.5, 0.45, seed=2)]
    merge = evaluation("m", 0.5, 0.58, seed=5)
    among = claims(tmp_path, [merge, *(evaluation(f"n{i}", 0.5, 0.45, seed=10 + i) for i in range(8))], parents)
    _, alone = run(tmp_path, merge, parents)
    (tmp_path / "out").rename(tmp_path / "first")
    _, summary = run(tmp_path, merge, parents, among=among)
    (one,), (other,) = (
        [row for row in found["comparisons"] if row["against"] == "best parent" and row["part"] == "unseen"] for found in (alone, summary)
    )
    rows = {(row["merge"], row["part"]): row for row in read_json(among.path / SUMMARY)["rows"]}
    assert other["p_adjusted"] == rows["m", "unseen"]["p_adjusted"] > one["p_adjusted"]
    assert other["detectable"] == rows["m", "unseen"]["detectable"] > one["detectable"]
    assert (summary["family"], alone["family"]) == (18, 2)
    assert [row for row in summary["comparisons"] if row["against"] == "ensemble"] == [
        row for row in alone["comparisons"] if row["against"] == "ensemble"
    ]


def test_outside_the_family_a_merge_is_described_only(tmp_path, evaluation):
    parents = [evaluation("a", 0.3, 0.3, seed=1), evaluation("b", 0.3, 0.3, seed=2)]
    among = claims(tmp_path, [evaluation("n", 0.5, 0.5, seed=4)], parents)
    ledger, summary = run(tmp_path, evaluation("m", 0.9, 0.9, seed=3), parents, among=among)
    assert ledger["outcome"] == "described"
    assert summary["verdict"] == (
        "Nothing is claimed of this checkpoint on acquired facts by likelihood, unseen facts by likelihood, "
        "outside the study's family of claims."
    )


def test_only_a_control_equal_to_this_very_merge_is_the_same_model(tmp_path, evaluation):
    parents = [evaluation("a", 0.5, 0.5, seed=1), evaluation("b", 0.5, 0.5, seed=2)]
    controls = {"linear": evaluation("plain", 0.5, 0.5, seed=4, equal_to="another")}
    _, summary = run(tmp_path, evaluation("m", 0.5, 0.5, seed=3), parents, controls)
    assert {row["outcome"] for row in summary["comparisons"] if row["against"] == "linear"} == {"none"}


@pytest.mark.parametrize(("merge", "outcome"), [((0.9, 0.9), "gain"), ((0.5, 0.5), "none"), ((0.1, 0.1), "loss"), ((0.9, 0.1), "mixed")])
def test_every_verdict_speaks_of_this_checkpoint(tmp_path, evaluation, merge, outcome):
    parents = [evaluation("a", 0.5, 0.5, seed=1), evaluation("b", 0.5, 0.5, seed=2)]
    _, summary = run(tmp_path, evaluation("m", *merge, seed=3), parents)
    assert summary["outcome"] == outcome
    assert "this checkpoint" in summary["verdict"].lower()
    assert "strategy" not in summary["verdict"]
    assert {row["covers"] for row in (*summary["comparisons"], *summary["scores"])} == {"items"}


def test_what_cannot_be_compared_is_refused(tmp_path, evaluation):
    merge = evaluation("m", 0.5, 0.5)
    with pytest.raises(InputError, match="none of them is evaluated"):
        synergy.check(SynergyStep(), {"merge": (merge,), "parents": ()})
    with pytest.raises(InputError, match="names were given"):
        synergy.check(SynergyStep(controls=("linear",)), {"merge": (merge,), "parents": (merge,), "controls": ()})
    with pytest.raises(InputError, match=r"items\.jsonl"):
        read_scores(tmp_path / "nowhere", "x")


def test_the_summary_tells_what_is_new_and_how_different_the_parents_are(tmp_path, evaluation):
    parents = [evaluation("a", 0.5, 0.4, seed=1), evaluation("b", 0.5, 0.45, seed=2)]
    _, summary = run(tmp_path, evaluation("m", 0.5, 0.95, seed=3), parents)
    found = {row["part"]: row for row in summary["functionality"]}
    assert found["unseen"]["p"] < 0.001 < 0.05 < found["acquired"]["p"]
    assert len(found["unseen"]["items"]) == found["unseen"]["count"] > found["unseen"]["expected"]
    assert summary["formats"] == []  # nothing was answered in words
    assert {row["part"] for row in summary["diversity"]} == {"acquired", "unseen"}


def test_one_t_weighs_the_parents(tmp_path, evaluation):
    parents = [evaluation("a", 0.9, 0.5, seed=1), evaluation("b", 0.3, 0.5, seed=2)]
    ledger, summary = run(tmp_path, evaluation("m", 0.6, 0.5, seed=3), parents, weights=(0.75, 0.25))
    scores = {row["name"]: row["accuracy"] for row in summary["scores"] if row["part"] == "acquired"}
    rows = {row["against"]: row for row in summary["comparisons"] if row["part"] == "acquired"}
    weighted = rows["t-weighted mean of parents"]
    assert weighted["reference"] == pytest.approx(0.75 * scores["a"] + 0.25 * scores["b"])
    assert rows["mean of parents"]["outcome"] == "none"
    assert weighted["outcome"] == "loss"
    assert ledger["tests"] == 2 * 4  # best, both means, ensemble in two parts
    with pytest.raises(InputError, match="1 weights were given for 2 parents"):
        synergy.check(SynergyStep(weights=(1.0,)), {"merge": parents[:1], "parents": parents})
