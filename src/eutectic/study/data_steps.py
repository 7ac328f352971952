"""Sources, corpora, benchmarks and datasets of a study, as nodes of the graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from eutectic.fingerprint import DigestCache
from eutectic.specs.steps import BenchmarkStep, CorpusStep, DatasetStep, MixShare
from eutectic.specs.study import BenchmarkSpec, DatasetSpec, ModelSpec
from eutectic.study.file import StudyFile
from eutectic.study.graph import Graph, source_files
from eutectic.study.nodes import Node, Source, Step
from eutectic.yaml_file import Place

MODEL_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")


@dataclass
class DataNodes:
    """What later parts of the study refer to by name."""

    corpora: dict[str, Step] = field(default_factory=dict)
    datasets: dict[str, Step] = field(default_factory=dict)
    benchmarks: dict[str, Step] = field(default_factory=dict)


def build(file: StudyFile, graph: Graph, digests: DigestCache) -> DataNodes:
    """Enter models, corpora, benchmarks and datasets."""
    nodes = DataNodes()
    for name, model in file.spec.models.items():
        if model.path is not None:
            graph.models[name] = _model(file, name, model, digests)
        if model.chat_template is not None:
            file.known(("models", name, "chat_template"), model.chat_template, file.spec.models, "model")
    for name, corpus in file.spec.corpora.items():
        spec = CorpusStep(**corpus.model_dump(exclude={"files"}))
        files = source_files(file, ("corpora", name, "files"), corpus.files, digests)
        nodes.corpora[name] = graph.add(Step("corpus", name, spec, {"files": files}))
    for name, benchmark in file.spec.benchmarks.items():
        nodes.benchmarks[name] = graph.add(_benchmark(file, name, benchmark, nodes, digests))
    for name in file.spec.datasets:
        _dataset(file, graph, name, nodes, digests, ())
    return nodes


def _model(file: StudyFile, name: str, model: ModelSpec, digests: DigestCache) -> Source:
    """A base model's folder, by the content of the files that make it."""
    from blake3 import blake3

    place = ("models", name, "path")
    folder = Path(str(model.path)).expanduser()
    folder = folder if folder.is_absolute() else file.folder / folder
    if not folder.is_dir():
        folder = _downloaded(file, place, str(model.path))
    files = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)})
    if not (folder / "config.json").is_file():
        raise file.error(place, f"{folder} has no config.json", "Give the folder of a Hugging Face model.")
    if not any(f.suffix == ".safetensors" for f in files):
        raise file.error(place, f"{folder} has no safetensors weights", "Give the folder of a Hugging Face model saved as safetensors.")
    if not any((folder / f).is_file() for f in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise file.error(place, f"{folder} has no tokenizer (tokenizer.json)", "Copy the model's tokenizer files into that folder.")
    lines = [f"{path.name}\0{digests.digest(path)}\n" for path in files]
    return Source("checkpoint", name, folder, blake3("".join(lines).encode()).hexdigest())


def _downloaded(file: StudyFile, place: Place, path: str) -> Path:
    """The local snapshot of a hub model, downloaded once into the hub's own cache."""
    repository, _, revision = path.partition("@")
    if len(repository.split("/")) != 2 or repository.startswith((".", "~", "/")):
        raise file.error(place, f"there is no folder {path!r} beside the study", "Check the path.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(MODEL_FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise file.error(
            place,
            f"there is no folder {path!r} beside the study, and the model hub did not give that model ({type(error).__name__})",
            "Check the path or the hub id and the network; a folder must hold config.json, tokenizer and safetensors.",
        ) from error


def _benchmark(file: StudyFile, name: str, benchmark: BenchmarkSpec, nodes: DataNodes, digests: DigestCache) -> Step:
    parents: dict[str, tuple[Node, ...]]
    if benchmark.corpus is not None:
        file.known(("benchmarks", name, "corpus"), benchmark.corpus, nodes.corpora, "corpus")
        parents = {"corpus": (nodes.corpora[benchmark.corpus],)}
    else:
        parents = {"file": source_files(file, ("benchmarks", name, "file"), str(benchmark.file), digests)}
    spec = BenchmarkStep(**benchmark.model_dump(exclude={"file", "corpus"}), seed=file.spec.seed)
    return Step("benchmark", name, spec, parents)


def _dataset(file: StudyFile, graph: Graph, name: str, nodes: DataNodes, digests: DigestCache, above: tuple[str, ...]) -> Step:
    """A dataset and, before it, the datasets it mixes; circles are refused."""
    if name in nodes.datasets:
        return nodes.datasets[name]
    if name in above:
        raise file.error(("datasets", name), f"the mixes go in a circle: {' -> '.join((*above, name))}", "Remove one of them.")
    dataset = file.spec.datasets[name]
    sources, shares = _sources(file, graph, name, dataset, nodes, digests, (*above, name))
    parents: dict[str, tuple[Node, ...]] = {"sources": sources}
    if dataset.kind in ("instruction", "preference"):
        parents["reserved"] = tuple(b for n, b in nodes.benchmarks.items() if file.spec.benchmarks[n].corpus is not None)
    spec = DatasetStep(**dataset.model_dump(include={"kind", "sets", "limit", "wordings"}), mix=shares, seed=file.spec.seed)
    nodes.datasets[name] = graph.add(Step("dataset", name, spec, parents))
    return nodes.datasets[name]


def _sources(
    file: StudyFile, graph: Graph, name: str, dataset: DatasetSpec, nodes: DataNodes, digests: DigestCache, above: tuple[str, ...]
) -> tuple[tuple[Node, ...], tuple[MixShare, ...]]:
    """The parents of a dataset in order, and how much of each enters."""
    place: Place = ("datasets", name)
    given = [k for k in ("corpus", "files", "mix") if getattr(dataset, k)]
    if len(given) != 1:
        raise file.error(place, f"found {' and '.join(given) or 'no source'}", "Give exactly one of `corpus`, `files`, `mix`.")
    if dataset.teacher is not None or dataset.kind == "distilled":
        raise file.error(
            (*place, "teacher"), "datasets written by a teacher model are not available in this version", "Use a corpus or files."
        )
    if dataset.corpus is not None:
        file.known((*place, "corpus"), dataset.corpus, nodes.corpora, "corpus")
        return (nodes.corpora[dataset.corpus],), (MixShare(passes=1.0),)
    if dataset.files is not None:
        files = source_files(file, (*place, "files"), dataset.files, digests)
        return files, tuple(MixShare(passes=1.0) for _ in files)
    sources: list[Node] = []
    for index, part in enumerate(dataset.mix):
        where = (*place, "mix", index)
        if part.corpus is not None:
            file.known((*where, "corpus"), part.corpus, nodes.corpora, "corpus")
            sources.append(nodes.corpora[part.corpus])
        else:
            file.known((*where, "dataset"), str(part.dataset), file.spec.datasets, "dataset")
            sources.append(_dataset(file, graph, str(part.dataset), nodes, digests, above))
    shares = tuple(MixShare(passes=p.passes if p.passes or p.share else 1.0, share=p.share) for p in dataset.mix)
    return tuple(sources), shares
