"""The family of claims: which merges and cells it holds, and that equal merges count once."""

import numpy as np
import pytest

from eutectic.analysis import family
from eutectic.artifacts import ITEMS, SUMMARY, Artifact, read_json, write_json, write_rows
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.specs.rows import ItemScore
from eutectic.specs.steps import FamilyStep


@pytest.fixture
def evaluation(tmp_path):
    """Writes an Evaluation whose letter form counts in quarters and whose greedy form counts right answers."""

    def write(name, share, seed, *, n=200, equal_to=""):
        folder = tmp_path / name
        folder.mkdir()
        random = np.random.default_rng(seed)
        rows = [
            ItemScore(
                id=str(i), benchmark="exam", group=f"g{i // 2}", role="unseen", split="test", form=form,
                score=float((random.random(4) < share).mean() if form == "letter" else random.random() < share),
            )
            for form in ("letter", "greedy")
            for i in range(n)
        ]  # fmt: skip
        write_rows(folder / ITEMS, rows)
        write_json(folder / SUMMARY, {"equal_to": equal_to})
        return Artifact("evaluation", name, f"key of {name}", folder)

    return write


def run(tmp_path, merges, parents, **spec):
    out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    out.mkdir()
    spec = {"of": (tuple(range(len(parents))),) * len(merges), **spec}
    ledger = family.build(FamilyStep(**spec), {"merges": tuple(merges), "parents": tuple(parents)}, out, Context())
    return ledger, Artifact("family", "claims", "key", out)


def test_every_merge_and_cell_is_a_claim(tmp_path, evaluation):
    parents = [evaluation("a", 0.5, 1), evaluation("b", 0.45, 2)]
    merges = [evaluation("m", 0.75, 3), evaluation("n", 0.48, 4)]
    ledger, artifact = run(tmp_path, merges, parents)
    summary = read_json(artifact.path / SUMMARY)
    assert [(row["merge"], row["form"]) for row in summary["rows"]] == [("m", "letter"), ("m", "greedy"), ("n", "letter"), ("n", "greedy")]
    assert (summary["size"], summary["merges"], ledger["tests"], ledger["shown"]) == (4, 2, 4, 2)
    for row in summary["rows"]:
        assert (row["n"], row["clusters"]) == (200, 100)
        assert row["p"] <= row["p_adjusted"] <= 1
        assert 0 < row["discordance"] < 1
        assert (row["p_adjusted"] <= 0.05) == (row["merge"] == "m")
    letter, greedy = summary["rows"][:2]
    assert letter["detectable"] < greedy["detectable"]  # the mean over rotations is the steadier score
    assert 0 < summary["level"] < 0.05
    claims, size = family.read(artifact, merges[1])
    assert size == 4
    assert claims["unseen", "greedy"].merge == "n"


def test_a_merge_is_held_against_its_own_parents_only(tmp_path, evaluation):
    parents = [evaluation("a", 0.2, 1), evaluation("b", 0.8, 2)]
    merges = [evaluation("m", 0.5, 3), evaluation("n", 0.5, 4)]
    _, artifact = run(tmp_path, merges, parents, of=((0,), (0, 1)))
    rows = {(row["merge"], row["form"]): row for row in read_json(artifact.path / SUMMARY)["rows"]}
    assert rows["m", "greedy"]["statistic"] > 4
    assert rows["n", "greedy"]["statistic"] < -4


def test_equal_merges_are_one_claim_and_both_find_it(tmp_path, evaluation):
    parents = [evaluation("a", 0.5, 1)]
    merges = [evaluation("m", 0.6, 3), evaluation("n", 0.6, 3, equal_to="m"), evaluation("o", 0.6, 3, equal_to="n")]
    _, artifact = run(tmp_path, merges, parents)
    assert read_json(artifact.path / SUMMARY)["merges"] == 1
    assert family.read(artifact, merges[2]) == family.read(artifact, merges[0])
    _, apart = run(tmp_path, [merges[1], merges[2]], parents)
    assert read_json(apart.path / SUMMARY)["merges"] == 1  # what it equals is not of this family, but the two are one


def test_forms_narrow_the_family(tmp_path, evaluation):
    parents, merges = [evaluation("a", 0.5, 1)], [evaluation("m", 0.6, 3)]
    _, artifact = run(tmp_path, merges, parents, forms=("letter",))
    claims, size = family.read(artifact, merges[0])
    assert (set(claims), size) == ({("unseen", "letter")}, 1)
    assert family.read(artifact, parents[0]) == ({}, 1)
    with pytest.raises(InputError, match="share no test items in the forms cloze"):
        run(tmp_path, merges, parents, forms=("cloze",))


def test_claims_are_found_by_key_and_not_by_name(tmp_path, evaluation):
    parents, merges = [evaluation("a", 0.5, 1)], [evaluation("m", 0.6, 3)]
    _, artifact = run(tmp_path, merges, parents)
    renamed = Artifact("evaluation", "another name", merges[0].key, merges[0].folder)
    assert family.read(artifact, renamed) == family.read(artifact, merges[0])


def test_a_merge_without_its_parents_is_refused(evaluation):
    merge = evaluation("m", 0.5, 1)
    for of in ((), ((),), ((1,),)):
        with pytest.raises(InputError, match="parents"):
            family.check(FamilyStep(of=of), {"merges": (merge,), "parents": (merge,)})
