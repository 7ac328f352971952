"""Workshop door: a corpus or a file of questions to a Benchmark.

From a corpus, the role says where questions may come from: `acquired` from documents that may be trained on, `unseen`
from held-out groups only. Groups are split into dev and test by hash; variants are picked on dev and reported on test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from eutectic.artifacts import DOCUMENTS, ITEMS, SUMMARY, Parents, one, read_rows, write_json, write_rows
from eutectic.context import Context
from eutectic.data import chance, options, quantities, questions
from eutectic.data.benchmark_file import read_items
from eutectic.data.classes import by_group
from eutectic.errors import InputError
from eutectic.specs.rows import Document, Item, Split
from eutectic.specs.steps import BenchmarkStep

# Share of the eligible groups an `acquired` benchmark takes when the study wants no number of items: instruction and
# preference rows need terms of their own.
ACQUIRED_SHARE = 0.5
# Groups are added in steps of this factor until the wanted number of test items is reached.
GROWTH = 1.15

Make = Callable[[list[Document], dict[str, Split]], list[Item]]


def build(spec: BenchmarkStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Write `items.jsonl` and `summary.json`; return counts and option baselines by split.

    Raises `InputError` for a bad file, for a corpus without terms or quantities, and where fewer than `items` test
    items can be made.
    """
    if parents.get("file"):
        found = read_items(one(parents, "file").path, spec)
        items, summary = found.items, {"shape": found.shape, "left_out": found.left_out}
    else:
        items, summary = _made(spec, read_rows(one(parents, "corpus").path / DOCUMENTS, Document), context), {}
    write_rows(out / ITEMS, items)
    summary |= _summary(items)
    write_json(out / SUMMARY, summary)
    return summary


def check(spec: BenchmarkStep, parents: Parents) -> None:
    """Raise `InputError` for what is wrong with a benchmark file, or a split that leaves no test items."""
    if parents.get("file") and one(parents, "file").path.exists():
        read_items(one(parents, "file").path, spec)
    corpus = parents.get("corpus", ())
    held_out = getattr(corpus[0].spec, "held_out", None) if corpus else None
    if spec.role == "unseen" and held_out == 0:
        raise InputError(
            "a benchmark of role `unseen` needs held-out documents", place="role", remedy="Set `held_out` on its corpus, e.g. 0.3."
        )


def told(name: str, summary: Mapping[str, Any]) -> str:
    """In one line, what was read from a file of questions."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in summary["kinds"].items())
    left_out = ", ".join(f"{count} with {reason}" for reason, count in summary["left_out"].items())
    return f"{name}: {summary['items']} items ({kinds}), read as {summary['shape']}" + (f"; left out: {left_out}" if left_out else "")


def _made(spec: BenchmarkStep, documents: list[Document], context: Context) -> list[Item]:
    context.progress.start("writing questions", 1, "benchmarks")
    pool = [d for d in documents if _eligible(d, spec)]
    if not pool:
        what = "terms (an OBO file)" if spec.kind == "choice" else "quantities (JSON lines with `quantities`)"
        where = " in held-out groups" if spec.role == "unseen" else ""
        raise InputError(f"the corpus holds no {what}{where}", remedy="Add such a source to the corpus, or give the benchmark a `file`.")
    items = _grown(spec, by_group(pool))
    context.progress.advance(1, f"{len(items)} items")
    return items


def _eligible(document: Document, spec: BenchmarkStep) -> bool:
    has_facts = document.term is not None if spec.kind == "choice" else bool(document.quantities)
    return has_facts and (spec.role == "" or document.held_out == (spec.role == "unseen"))


def _grown(spec: BenchmarkStep, groups: dict[str, list[Document]]) -> list[Item]:
    """Items of as few groups as give the wanted number, groups in order of hash, so that others remain for instruction rows."""
    order = chance.ordered(groups, spec.seed, f"benchmark {spec.kind}")
    split: dict[str, Split] = {group: "dev" if chance.unit(spec.seed, "dev", group) < spec.dev else "test" for group in order}
    make = _maker(spec)
    if spec.items is None:
        share = ACQUIRED_SHARE if spec.role == "acquired" else 1.0
        return make([d for group in order[: max(1, round(share * len(order)))] for d in groups[group]], split)
    wanted = spec.items
    taken = 1
    while True:
        items = make([d for group in order[:taken] for d in groups[group]], split)
        tests = sum(item.split == "test" for item in items)
        if tests >= wanted:
            return _trimmed(items, wanted, spec.seed)
        if taken == len(order):
            raise InputError(
                f"{wanted} test items are wanted, but only {tests} can be made soundly from {sum(map(len, groups.values()))} documents",
                place="items",
                remedy="Lower `items`, bring more documents, or change `held_out`.",
            )
        # Aim at what the yield so far suggests, at least one step further.
        aim = taken * wanted / tests if tests else 2 * taken
        taken = min(len(order), max(taken + 1, round(min(aim, 4 * taken)), round(GROWTH * taken) if tests * GROWTH > wanted else 0))


def _maker(spec: BenchmarkStep) -> Make:
    if spec.kind == "numeric":
        return lambda documents, split: quantities.items(documents, spec.role, split)
    return lambda documents, split: questions.items(documents, spec.role, split, spec.seed)


def _trimmed(items: list[Item], wanted: int, seed: int) -> list[Item]:
    """The items with exactly `wanted` of the test split, chosen by hash, and all of dev."""
    tests = chance.ordered([item for item in items if item.split == "test"], seed, "benchmark items", lambda item: item.id)
    kept = {item.id for item in tests[:wanted]}
    return [item for item in items if item.split == "dev" or item.id in kept]


def _summary(items: list[Item]) -> dict[str, Any]:
    summary: dict[str, Any] = {"items": len(items), "role": items[0].role, "kinds": dict(Counter(item.kind for item in items))}
    for split in ("dev", "test"):
        part = [item for item in items if item.split == split]
        choices = [(item.options, item.answer) for item in part if item.answer is not None]
        summary[split] = {
            "items": len(part),
            "groups": len({item.group for item in part}),
            "topics": {topic: sum(item.topic == topic for item in part) for topic in sorted({item.topic for item in part})},
            "mean_words": sum(len(" ".join((item.question, *item.options)).split()) for item in part) / max(1, len(part)),
            **options.baselines(choices),
        }
    return summary
