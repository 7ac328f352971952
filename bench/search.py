"""Speed of merge search on SmolLM2-135M: `python bench/search.py --budget 20` (candidates of each searcher; bench/README.md says more).

The parents are the model with one noise added to it and the same noise taken away, so that the optimum lies between them; the items are
the demo's.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from rows import documents

from eutectic.artifacts import POINTS, SUMMARY, Artifact, read_json, read_rows
from eutectic.context import Context
from eutectic.data import benchmarks
from eutectic.demo import assets
from eutectic.models import checkpoint, loading
from eutectic.search import tune
from eutectic.specs.rows import Point
from eutectic.specs.steps import BenchmarkStep, SearchStep

MINUTES = 20
NOISE = 0.05  # standard deviations of a matrix: siblings, as fine-tuning makes them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--anchors", type=int, default=3, help="of the layer schedule of t; 1 is one number")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / ".work" / "search")
    asked = parser.parse_args()
    context = Context(threads=asked.threads)
    parents = prepared(asked.work)
    space = {"t": [0, 1] if asked.anchors == 1 else [[0, 1]] * asked.anchors}
    spec = SearchStep(method="slerp", space=space, budget=asked.budget, items=asked.items)
    out = asked.work / "out"
    out.mkdir(exist_ok=True)
    (out / POINTS).unlink(missing_ok=True)  # or it would be taken up where it ended
    begun = time.monotonic()
    ledger = tune.build(spec, parents, out, context)
    seconds = time.monotonic() - begun
    report(ledger, seconds, read_rows(out / POINTS, Point), read_json(out / SUMMARY)["winner"])


def prepared(work: Path) -> dict[str, tuple[Artifact, ...]]:
    """Parents and benchmark, made once."""
    found = assets.fetch(Context())
    folders = {name: work / name for name in ("plus", "minus", "corpus", "benchmark")}
    if not (folders["benchmark"] / "items.jsonl").exists():
        for sign, name in ((1, "plus"), (-1, "minus")):
            loading.publish(dict(noisy(found.model, sign * NOISE)), found.model, folders[name])
        documents(folders["corpus"], found)
        folders["benchmark"].mkdir(exist_ok=True)
        corpus = {"corpus": (Artifact("corpus", "corpus", "corpus", folders["corpus"]),)}
        benchmarks.build(BenchmarkStep(dev=0.4, items=200), corpus, folders["benchmark"], Context())
    made = {name: (Artifact("", name, name, folder),) for name, folder in folders.items()}
    return {"base": made["plus"], "models": made["minus"], "benchmark": made["benchmark"]}


def noisy(folder: Path, amount: float):
    """The matrices of a model with noise on them."""
    drawn = torch.Generator().manual_seed(1)
    for name, tensor in checkpoint.open_checkpoint(folder).tensors():
        noise = torch.randn(tensor.shape, generator=drawn) * tensor.float().std() if tensor.dim() > 1 else 0.0
        yield name, tensor.float() + amount * noise


def report(ledger: dict, seconds: float, points: list[Point], winner: dict) -> None:
    """Seconds a candidate, and how many of both searchers together fit into the time."""
    each = ledger["candidate_seconds"]
    rest = seconds - each * ledger["candidates"]
    fit = int((60 * MINUTES - rest) / each)
    items = f"{ledger['items']} of {ledger['dev_items']} dev items"
    print(f"{ledger['candidates']} candidates on {items}: {each:.2f} s each, {rest:.0f} s besides")
    print(f"in {MINUTES} minutes: {fit} candidates")
    best = {by: max(point.score for point in points if point.by == by) for by in ("parent", "random", "cma", "final")}
    print(json.dumps({"best": best, "winner": {key: winner[key] for key in ("by", "parameters", "score", "accuracy")}}))


if __name__ == "__main__":
    sys.exit(main())
