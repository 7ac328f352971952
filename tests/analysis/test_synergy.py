"""The synergy door on small evaluations written to disk."""

import time

import numpy as np
import pytest

from eutectic.analysis import synergy
from eutectic.analysis.table import read_scores
from eutectic.artifacts import ITEMS, SUMMARY, Artifact, read_json, write_json, write_rows
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.specs.rows import ItemScore
from eutectic.specs.steps import SynergyStep


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
                    )
                )
        write_rows(folder / ITEMS, rows)
        write_json(folder / SUMMARY, {"equal_to": equal_to} if equal_to else {})
        return Artifact("evaluation", name, "key", folder)

    return write


def run(tmp_path, merge, parents, controls=None, **spec):
    out = tmp_path / "out"
    out.mkdir()
    controls = controls or {}
    roles = {"merge": (merge,), "parents": tuple(parents), "controls": tuple(controls.values())}
    ledger = synergy.build(SynergyStep(controls=tuple(controls), **spec), roles, out, Context())
    return ledger, read_json(out / SUMMARY)


def test_a_gain_on_unseen_facts_is_said_of_unseen_facts_only(tmp_path, evaluation):
    parents = [evaluation("a", 0.5, 0.4, seed=1), evaluation("b", 0.5, 0.45, seed=2)]
    ledger, summary = run(tmp_path, evaluation("m", 0.5, 0.8, seed=3), parents)
    assert ledger["outcome"] == "gain"
    assert "beats each of its parents on unseen facts by likelihood" in summary["verdict"]
    assert "no gain shown elsewhere" in summary["verdict"]
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
        f"No gain shown; a gain of less than {sizes['acquired']} or {sizes['unseen']} by likelihood could not have been seen reliably."
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


def test_across_counts_equal_merges_once_and_adjusts_over_all(tmp_path, evaluation):
    parents = [evaluation("a", 0.5, 0.4, seed=1), evaluation("b", 0.5, 0.45, seed=2)]
    _, summary = run(tmp_path, evaluation("m", 0.5, 0.8, seed=3), parents)
    twin = {**summary, "merge": "n", "equal_to": "m"}
    family = synergy.across([summary, twin])
    assert [name for name, _ in family] == ["m", "m"]
    assert len(synergy.across([summary, {**twin, "equal_to": ""}])) == 4


def test_what_cannot_be_compared_is_refused(tmp_path, evaluation):
    merge = evaluation("m", 0.5, 0.5)
    with pytest.raises(InputError, match="none of them is evaluated"):
        synergy.check(SynergyStep(), {"merge": (merge,), "parents": ()})
    with pytest.raises(InputError, match="names were given"):
        synergy.check(SynergyStep(controls=("linear",)), {"merge": (merge,), "parents": (merge,), "controls": ()})
    with pytest.raises(InputError, match=r"items\.jsonl"):
        read_scores(tmp_path / "nowhere", "x")
