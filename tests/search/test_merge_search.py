"""A search finds what was planted, goes on after a kill as if nothing had been, and never writes a candidate."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch

from eutectic.artifacts import ITEMS, POINTS, SUMMARY, Artifact, read_json, read_rows, write_rows
from eutectic.context import Context
from eutectic.errors import InputError, WorkError
from eutectic.evaluate import score
from eutectic.models import checkpoint, loading
from eutectic.search import tune, winner
from eutectic.search.items import DevItems
from eutectic.search.journal import Journal
from eutectic.specs.rows import Item, ItemScore, Point
from eutectic.specs.steps import EvaluateStep, SearchStep, WinnerStep

WORDS = ("silk", "bone", "nacre", "leaf", "fibre", "helix", "tablet", "water", "protein", "matrix")
SLERP = SearchStep(method="slerp", space={"t": [0, 1]}, budget=14, items=20, seed=3)


def away(folder, to, amount):
    """A copy of a model with the same noise, times `amount`, added to every matrix."""
    noise = torch.Generator().manual_seed(1)
    made = {}
    for name, tensor in checkpoint.open_checkpoint(folder).tensors():
        drawn = torch.randn(tensor.shape, generator=noise)
        made[name] = tensor.float() + amount * drawn * tensor.float().std() if tensor.dim() > 1 else tensor.float()
    loading.publish(made, folder, to)
    return Artifact("checkpoint", to.name, to.name, to)


def items_of(model, count):
    """Items whose right option is the one that `model` itself finds likeliest."""
    drawn = [
        Item(id=f"{n}", group=f"{n}", split="dev", question=f"What is {n} to {WORDS[n % 10]}? A", options=(), answer=0)
        for n in range(count)
    ]
    drawn = [item.model_copy(update={"options": tuple(WORDS[(n + k * 3) % 10] for k in range(4))}) for n, item in enumerate(drawn)]
    folder = model.parent / "asked"
    folder.mkdir()
    write_rows(folder / ITEMS, drawn)
    out = model.parent / "answers"
    out.mkdir()
    benchmark = Artifact("benchmark", "asked", "asked", folder)
    spec = EvaluateStep.model_validate({"prompts": [{"name": "cloze", "forms": ["cloze"]}]})
    score.build(spec, {"model": (Artifact("checkpoint", "optimum", "o", model),), "benchmarks": (benchmark,)}, out, Context())
    chosen = {row.id: row.choice for row in read_rows(out / ITEMS, ItemScore)}
    write_rows(folder / ITEMS, [item.model_copy(update={"answer": chosen[item.id]}) for item in drawn])
    return benchmark


@pytest.fixture(scope="module")
def planted(tmp_path_factory, make_tiny):
    """Parents on both sides of an optimum, which lies at t = 1/3 between them."""
    folder = tmp_path_factory.mktemp("planted")
    optimum = make_tiny(folder / "optimum", seed=4)
    return {
        "base": (away(optimum, folder / "near", 0.6),),
        "models": (away(optimum, folder / "far", -1.2),),
        "benchmark": (items_of(optimum, 40),),
    }


def search(spec, parents, out):
    out.mkdir(exist_ok=True)
    tune.build(spec, parents, out, Context(threads=1))
    return read_rows(out / POINTS, Point)


def bare(points):
    return [point.model_copy(update={"seconds": 0.0}) for point in points]


@pytest.fixture(scope="module")
def searched(planted, tmp_path_factory):
    out = tmp_path_factory.mktemp("searched") / "out"
    return out, search(SLERP, planted, out)


def test_the_planted_optimum_is_found(searched, planted):
    out, points = searched
    counts = {by: sum(point.by == by for point in points) for by in ("parent", "probe", "random", "cma", "final")}
    assert counts == {"parent": 2, "probe": tune.PROBES, "random": 14, "cma": 14, "final": 6}
    found = read_json(out / SUMMARY)
    assert found["winner"]["parameters"]["t"] == pytest.approx(1 / 3, abs=0.1)
    assert found["winner"]["score"] > 1.1 * max(point.score for point in points if point.by == "parent")
    assert found["winner"]["score"] == max(point.score for point in points if point.by == "final")
    assert {len(point.right) for point in points if point.by in ("parent", "probe", "final")} == {40}
    assert {len(point.right) for point in points if point.by in ("random", "cma")} == {20} == {len(found["items"])}
    assert not list(out.rglob("*.safetensors"))


def test_the_winner_written_scores_as_it_did_in_memory(searched, planted, tmp_path):
    out, _ = searched
    parents = {**planted, "search": (Artifact("search", "best", "best", out, SLERP),)}
    winner.build(WinnerStep(method="slerp", seed=3), parents, tmp_path, Context(threads=1))
    model = loading.load(tmp_path, torch.bfloat16, torch.device("cpu"))
    items = DevItems(planted["benchmark"][0], model, loading.tokenizer(tmp_path), 100)
    scored, found = items.score(model, range(40), Context(threads=1)), read_json(out / SUMMARY)["winner"]
    assert sum(scored.right) / 40 == pytest.approx(found["score"], abs=1e-8)
    assert scored.accuracy == found["accuracy"]


@pytest.mark.parametrize("share", [0.05, 0.5, 0.83, 1.0])
def test_a_search_cut_anywhere_goes_on_to_the_same_points(searched, planted, tmp_path, share):
    out, points = searched
    whole = (out / POINTS).read_bytes()
    (tmp_path / POINTS).write_bytes(whole[: int(share * len(whole))])
    again = search(SLERP, planted, tmp_path)
    assert bare(again) == bare(points)
    kept = whole[: int(share * len(whole))].count(b"\n")
    assert again[:kept] == points[:kept]  # seconds too: they were not scored again
    assert read_json(tmp_path / SUMMARY) == read_json(out / SUMMARY)


def test_a_search_killed_while_it_works_goes_on(searched, planted, tmp_path):
    code = (
        "import sys, json; from pathlib import Path; from eutectic.artifacts import Artifact; from eutectic.context import Context\n"
        "from eutectic.search import tune; from eutectic.specs.steps import SearchStep\n"
        "spec, parents, out = json.loads(sys.argv[1])\n"
        "made = {role: (Artifact('x', name, name, Path(folder)),) for role, (name, folder) in parents.items()}\n"
        "tune.build(SearchStep.model_validate(spec), made, Path(out), Context(threads=1))\n"
    )
    given = {role: (found[0].address, str(found[0].folder)) for role, found in planted.items()}
    asked = json.dumps([SLERP.model_dump(), given, str(tmp_path)])
    with subprocess.Popen([sys.executable, "-c", code, asked], stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if (tmp_path / POINTS).exists() and (tmp_path / POINTS).read_bytes().count(b"\n") >= 15:
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / SUMMARY).exists()
    assert bare(search(SLERP, planted, tmp_path)) == bare(searched[1])


def test_a_choice_of_parents_is_searched_too(planted, tmp_path, make_tiny):
    stranger = make_tiny(tmp_path / "stranger", seed=9)
    models = (Artifact("checkpoint", "stranger", "stranger", stranger), *planted["models"])
    spec = SLERP.model_copy(update={"one_of": True})
    points = search(spec, {**planted, "models": models}, tmp_path / "out")
    found = read_json(tmp_path / "out" / SUMMARY)["winner"]
    assert (found["choice"], found["model"]) == (1, "far")
    assert {point.model for point in points if point.by == "random"} == {"stranger", "far"}
    tune.check(spec, {**planted, "models": models})


def test_weights_and_densities_of_several_models(planted, tmp_path):
    spec = SearchStep(method="ties", space={"weight": [0.1, 1], "density": [0.3, 1], "lambda": [0.5, 1]}, budget=6, items=10, seed=3)
    parents = {**planted, "models": (*planted["models"], *planted["models"])}
    points = search(spec, parents, tmp_path / "out")
    assert all(len(point.place) == 5 and not point.failed for point in points if point.by == "cma")
    assert set(read_json(tmp_path / "out" / SUMMARY)["winner"]["parameters"]) == {"lambda", "models"}


def test_candidates_that_fail_are_kept_and_never_win(planted, tmp_path):
    spec = SearchStep(method="linear", parameters={"out_dtype": "float16"}, space={"t": [-4e6, 0.4]}, budget=5, items=10, seed=1)
    with pytest.raises(WorkError, match=r"no candidate could be merged and scored: .*float16"):
        search(spec, planted, tmp_path / "out")
    assert all("float16" in point.failed for point in read_rows(tmp_path / "out" / POINTS, Point) if point.by == "random")


def test_a_benchmark_without_dev_items_is_told(planted, tmp_path):
    folder = tmp_path / "tests"
    folder.mkdir()
    write_rows(folder / ITEMS, [Item(id="a", group="a", question="A", options=("b", "c"), answer=0)])
    with pytest.raises(InputError, match="tests has no dev items"):
        search(SLERP, {**planted, "benchmark": (Artifact("benchmark", "tests", "tests", folder),)}, tmp_path / "out")


def test_a_journal_of_another_search_is_written_anew(tmp_path):
    file, made = tmp_path / POINTS, []

    def make(asked):
        made.append(asked.place)
        return asked.model_copy(update={"score": 0.5})

    first = Journal(file)
    for x in (0.1, 0.2, 0.3):
        first.take(Point(number=0, by="random", place=(x,)), make)
    second = Journal(file)
    for x in (0.1, 0.25, 0.3):
        second.take(Point(number=0, by="random", place=(x,)), make)
    assert made == [(0.1,), (0.2,), (0.3,), (0.25,), (0.3,)]
    assert [point.place for point in read_rows(file, Point)] == [(0.1,), (0.25,), (0.3,)]
