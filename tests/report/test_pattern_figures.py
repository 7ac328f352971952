"""Patterns over all models: what is drawn, over how many models, and what is said where there are too few."""

import csv
from dataclasses import replace

import pytest

from eutectic.analysis.statistics import Interval
from eutectic.artifacts import SUMMARY, write_json
from eutectic.report import merged, patterns, results
from eutectic.report.blocks import Figures, Text
from eutectic.report.results import Accuracy

CELL = ("acquired", "cloze")


def pictures(section):
    return {picture.name: picture for block in section.blocks if isinstance(block, Figures) for picture in block.pictures}


def said(section):
    return " ".join(block.text for block in section.blocks if isinstance(block, Text))


def rows(report, name):
    with (report.parent / "tables" / f"{name}.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def found(study):
    """The results in one cell alone, to be quick."""
    every = results.collect(study)
    return replace(every, accuracies={CELL: every.accuracies[CELL]})


def few(found, count):
    return replace(found, synergies=found.synergies[:count])


def test_every_figure_prints_its_number_of_models(study, found):
    drawn = pictures(patterns.section(study, few(found, 6)))
    assert {name.partition("-")[0] for name in drawn} == {"ordered", "gained", "clusters", "tree", "correlations"}
    for name, picture in drawn.items():
        models = 24 if name.startswith("ordered") else 6  # a control that is its merge is not another model
        assert f"(n = {models} models)" in picture.svg
        assert f"(n = {models} models)" in picture.alt


def test_merges_that_are_one_model_are_one_point(study, found):
    twins = [{**each, "equal_to": "blend"} if each["merge"].startswith("grid") else each for each in found.synergies]
    assert len(merged.merges(study, found, CELL)) == 9
    assert len(merged.merges(study, replace(found, synergies=twins), CELL)) == 5


@pytest.mark.parametrize(("count", "clusters", "correlations"), [(5, False, True), (3, False, False)])
def test_too_few_models_are_said_and_not_drawn(study, found, count, clusters, correlations):
    section = patterns.section(study, few(found, count))
    kinds = {name.partition("-")[0] for name in pictures(section)}
    assert ("clusters" in kinds, "tree" in kinds, "correlations" in kinds) == (clusters, clusters, correlations)
    assert f"Clusters not drawn, {count} models are too few for clusters; 6 are needed: Acquired facts, by likelihood." in said(section)
    assert (f"Correlations not drawn, {count} models are too few for correlations; 4 are needed" in said(section)) != correlations
    assert "Gain against model size not drawn, 1 model size is too few for a slope; 3 are needed" in said(section)
    assert patterns.NO_EPOCHS in said(section)


def test_without_merges_the_models_are_still_ordered(study, found):
    section = patterns.section(study, few(found, 0))
    assert {*pictures(section)} == {"ordered-1"}
    assert patterns.NO_MERGES in said(section)


def test_scores_of_a_merge_and_its_parents_come_from_its_synergy(study, found):
    points = {each.name: each for each in merged.merges(study, found, CELL)}
    blend = points["blend"]
    shares = [found.accuracy(name, CELL).interval.estimate for name in ("instruct/cpt-sft-dpo", "instruct/cpt-sft-orpo", "instruct")]
    assert blend.parents == pytest.approx(tuple(shares))
    assert blend.score == pytest.approx(found.accuracy("blend", CELL).interval.estimate)
    assert points["paper:instruct/cpt-sft"].features == {"DPO": 0, "ORPO": 0, "SFT": 1}  # all are of one start and of CPT
    assert blend.features == {"DPO": 1, "ORPO": 1, "SFT": 1}


def test_starts_are_a_column_where_they_differ(study):
    assert merged.recipe(study, "base/cpt") == {"CPT", "from base"}
    assert merged.recipe(study, "paper:instruct/cpt") == {"CPT", "from instruct"}
    columns = merged.features(study, ["base/cpt", "paper:instruct/cpt"])
    assert columns == {"base/cpt": {"from base": 1}, "paper:instruct/cpt": {"from base": 0}}


def test_clusters_are_claimed_only_where_the_silhouette_shows_them(report):
    split = [row for row in rows(report, "clusters") if float(row["p (Holm)"]) <= 0.05]
    assert split == []  # the scores of the example are one cloud
    assert "Two clusters are in no cell told from one cloud (silhouette, Holm over 5 cells)." in report.read_text()
    for row in rows(report, "clusters"):
        assert int(row["lower models"]) + int(row["upper models"]) == int(row["models"]) == 9
        assert float(row["lower score, %"]) < float(row["upper score, %"])


def test_correlations_with_a_shared_term_are_marked(found, study, report):
    table = rows(report, "correlations")
    marked = {(row["of"], row["with"]) for row in table if row["shares a term"] == "True"}
    assert marked == {(a, b) for a in ("deviation", "improvement") for b in ("expected", "diversity")}
    svg = pictures(patterns.section(study, found))["correlations-1"].svg
    assert svg.count("*</text>") == 4
    assert all(float(row["low"]) <= float(row["centre"]) <= float(row["high"]) for row in table)


def test_scores_are_drawn_against_epochs_with_and_without_merge(study, found):
    shares = {"instruct/cpt@1": 0.4, "instruct/cpt@2": 0.5, "instruct/cpt": 0.6, "paper:instruct/cpt@1": 0.5, "paper:instruct/cpt@2": 0.7}
    kept = [Accuracy(name, "trained", CELL, Interval(share, 0.0, 1.0, 9, 9)) for name, share in shares.items()]
    view = replace(study, aliases={"instruct/cpt@3": "instruct/cpt"})
    measured = replace(found, accuracies={**found.accuracies, CELL: kept})
    assert merged.epochs(view, measured, CELL) == {
        "instruct/cpt": ([1, 2, 3], [0.4, 0.5, 0.6]),
        "paper:instruct/cpt": ([1, 2], [0.5, 0.7]),
    }
    scores = {**found.scores, **dict.fromkeys(shares, found.scores["instruct/cpt"])}
    section = patterns.section(view, replace(measured, scores=scores))
    assert "(n = 5 models)" in pictures(section)["epochs-1"].alt
    assert ">2<" in pictures(section)["epochs-1"].svg
    assert ">1.5<" not in pictures(section)["epochs-1"].svg
    assert patterns.NO_EPOCHS not in said(section)


def test_gain_against_size_has_its_slope_and_interval(study, found, tmp_path):
    sizes = {"paper:instruct/cpt": 135e6, "paper:instruct/cpt-sft": 360e6, "paper:instruct/cpt-sft-dpo": 1.7e9}
    steps = []
    for step in study.steps:
        if step.kind == "geometry" and step.address in sizes:
            folder = tmp_path / step.key
            folder.mkdir()
            write_json(folder / SUMMARY, {"parameters": sizes[step.address]})
            steps.append(replace(step, folder=folder))
        elif step.kind != "geometry":
            steps.append(step)
    picture = pictures(patterns.section(replace(study, steps=tuple(steps)), found))["sizes-1"]
    assert "(n = 7 models)" in picture.alt  # the grid has the parents of one of them
    assert "points for ten times the parameters, over 3 sizes" in picture.alt
    assert ">1,700<" in picture.svg
