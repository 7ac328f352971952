"""An unwritten merge is scored as the same merge written to disk is."""

import pytest
import torch

from eutectic.artifacts import ITEMS, SUMMARY, Artifact, read_json, read_rows, write_json, write_rows
from eutectic.context import Context
from eutectic.evaluate import rescore, score
from eutectic.merge import stream
from eutectic.merge.folder import home
from eutectic.search import unwritten
from eutectic.specs.rows import Item, ItemScore
from eutectic.specs.steps import EvaluateStep, MergeStep, RescoreStep

LINEAR = MergeStep(method="linear", parameters={"t": 0.5})


@pytest.fixture
def benchmark_artifact(tmp_path):
    folder = tmp_path / "benchmark"
    folder.mkdir()
    options = ("collagen", "keratin", "silk")
    write_rows(folder / ITEMS, [Item(id=f"i{n}", group="g", question=f"Fibre {n} is", options=options, answer=n % 3) for n in range(12)])
    return Artifact("benchmark", "b", "k", folder)


@pytest.fixture
def merge(tiny, tiny_other):
    parents = {"base": (Artifact("checkpoint", "base", "b", tiny),), "models": (Artifact("checkpoint", "trained", "t", tiny_other),)}
    return Artifact("checkpoint", "linear:trained", "m", None, LINEAR, parents)


def run(door, spec, parents, out):
    out.mkdir()
    door(spec, parents, out, Context())
    return Artifact("evaluation", out.name, "k", out)


def test_the_scores_are_those_of_the_written_merge(tmp_path, merge, benchmark_artifact):
    folder = tmp_path / "written"
    folder.mkdir()
    stream.build(LINEAR, merge.parents, folder, Context())
    written = Artifact("checkpoint", "linear:trained", "m", folder)
    benchmarks = {"benchmarks": (benchmark_artifact,)}
    on_disk = run(score.build, EvaluateStep(greedy=3), {"model": (written,), **benchmarks}, tmp_path / "disk")
    in_memory = run(unwritten.evaluate, EvaluateStep(greedy=3), {"model": (merge,), **benchmarks}, tmp_path / "memory")
    assert read_rows(on_disk.path / ITEMS, ItemScore) == read_rows(in_memory.path / ITEMS, ItemScore)

    again = {"own": (in_memory,), **benchmarks}
    exact_disk = run(rescore.build, RescoreStep(margin=100.0), {"model": (written,), **again}, tmp_path / "exact disk")
    exact_memory = run(unwritten.rescore, RescoreStep(margin=100.0), {"model": (merge,), **again}, tmp_path / "exact memory")
    rows = read_rows(exact_memory.path / ITEMS, ItemScore)
    assert rows == read_rows(exact_disk.path / ITEMS, ItemScore)
    assert all(row.precision == "float32" for row in rows if row.form == "cloze")


def test_a_merge_of_merges_finds_its_home(merge, tiny):
    above = Artifact("checkpoint", "above", "a", None, LINEAR, {"base": (merge,), "models": (merge,)})
    assert home(above) == tiny
    assert unwritten.live(above, torch.float32, torch.device("cpu"), Context()).dtype is torch.float32


@pytest.mark.parametrize(("ulps", "adopted"), [(1.0, True), (2.0, True), (3.0, False)])
def test_a_control_within_two_ulps_takes_over_the_rows_of_its_merge(tmp_path, merge, benchmark_artifact, ulps, adopted):
    benchmarks = {"benchmarks": (benchmark_artifact,)}
    twin = run(unwritten.evaluate, EvaluateStep(), {"model": (merge,), **benchmarks}, tmp_path / "slerp")
    place = tmp_path / "geometry"
    place.mkdir()
    write_json(place / SUMMARY, {"max_ulps_from_linear": ulps})
    geometry = Artifact("geometry", "g", "k", place)
    control = run(
        unwritten.evaluate,
        EvaluateStep(),
        {"model": (merge,), **benchmarks, "twin": (twin,), "geometry": (geometry,)},
        tmp_path / "control",
    )
    assert (read_json(control.path / SUMMARY).get("equal_to") == "slerp") is adopted
