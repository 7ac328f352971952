"""Corpora, benchmarks and datasets of a study, as nodes of the graph."""

from __future__ import annotations

from eutectic.data import benchmark_file
from eutectic.specs.steps import BenchmarkStep, CorpusStep, DatasetStep, MixShare
from eutectic.specs.study import BenchmarkSpec, DatasetSpec
from eutectic.study.graph import Draft, source_files
from eutectic.study.nodes import Node, Step
from eutectic.yaml_file import Place


def enter(draft: Draft) -> None:
    """Enter corpora, benchmarks and datasets."""
    spec = draft.file.spec
    for name, corpus in spec.corpora.items():
        step = CorpusStep(**corpus.model_dump(exclude={"files"}))
        files = source_files(draft, ("corpora", name, "files"), corpus.files)
        draft.corpora[name] = draft.graph.add(Step("corpus", name, step, {"files": files}))
    for name, benchmark in spec.benchmarks.items():
        draft.benchmarks[name] = draft.graph.add(_benchmark(draft, name, benchmark))
    for name in spec.datasets:
        _dataset(draft, name, ())


def _benchmark(draft: Draft, name: str, benchmark: BenchmarkSpec) -> Step:
    """Items from a file or made from a corpus."""
    parents: dict[str, tuple[Node, ...]]
    if benchmark.corpus is not None:
        draft.file.known(("benchmarks", name, "corpus"), benchmark.corpus, draft.corpora, "corpus")
        parents = {"corpus": (draft.corpora[benchmark.corpus],)}
    else:
        file = str(benchmark.file)
        if file in benchmark_file.packaged() and not (draft.file.folder / file).exists():
            file = str(benchmark_file.locate(file))
        parents = {"file": source_files(draft, ("benchmarks", name, "file"), file)}
    spec = BenchmarkStep(**benchmark.model_dump(exclude={"file", "corpus"}), seed=draft.file.spec.seed)
    return Step("benchmark", name, spec, parents)


def _dataset(draft: Draft, name: str, above: tuple[str, ...]) -> Step:
    """A dataset and, before it, the datasets it mixes; circles are refused."""
    if name in draft.datasets:
        return draft.datasets[name]
    file = draft.file
    if name in above:
        raise file.error(("datasets", name), f"the mixes go in a circle: {' -> '.join((*above, name))}", "Remove one of them.")
    dataset = file.spec.datasets[name]
    sources, shares = _sources(draft, name, dataset, (*above, name))
    parents: dict[str, tuple[Node, ...]] = {"sources": sources}
    if dataset.kind in ("instruction", "preference"):
        parents["reserved"] = tuple(b for n, b in draft.benchmarks.items() if file.spec.benchmarks[n].corpus is not None)
    spec = DatasetStep(**dataset.model_dump(include={"kind", "sets", "limit", "dev", "wordings"}), mix=shares, seed=file.spec.seed)
    draft.datasets[name] = draft.graph.add(Step("dataset", name, spec, parents))
    return draft.datasets[name]


def _sources(draft: Draft, name: str, dataset: DatasetSpec, above: tuple[str, ...]) -> tuple[tuple[Node, ...], tuple[MixShare, ...]]:
    """The parents of a dataset in order, and how much of each enters."""
    file, place = draft.file, ("datasets", name)
    given = [k for k in ("corpus", "files", "mix") if getattr(dataset, k)]
    if len(given) != 1:
        raise file.error(place, f"found {' and '.join(given) or 'no source'}", "Give exactly one of `corpus`, `files`, `mix`.")
    if dataset.teacher is not None or dataset.kind == "distilled":
        raise file.error(
            (*place, "teacher"), "datasets written by a teacher model are not available in this version", "Use a corpus or files."
        )
    if dataset.corpus is not None:
        file.known((*place, "corpus"), dataset.corpus, draft.corpora, "corpus")
        return (draft.corpora[dataset.corpus],), (MixShare(passes=1.0),)
    if dataset.files is not None:
        files = source_files(draft, (*place, "files"), dataset.files)
        return files, tuple(MixShare(passes=1.0) for _ in files)
    sources: list[Node] = []
    for index, part in enumerate(dataset.mix):
        where: Place = (*place, "mix", index)
        if part.corpus is not None:
            file.known((*where, "corpus"), part.corpus, draft.corpora, "corpus")
            sources.append(draft.corpora[part.corpus])
        else:
            file.known((*where, "dataset"), str(part.dataset), file.spec.datasets, "dataset")
            sources.append(_dataset(draft, str(part.dataset), above))
    shares = tuple(MixShare(passes=p.passes if p.passes or p.share else 1.0, share=p.share) for p in dataset.mix)
    return tuple(sources), shares
