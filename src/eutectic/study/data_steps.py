"""Sources, corpora, benchmarks and datasets of a study, as nodes of the graph."""

from __future__ import annotations

from pathlib import Path

from eutectic.specs.steps import BenchmarkStep, CorpusStep, DatasetStep, MixShare
from eutectic.specs.study import BenchmarkSpec, DatasetSpec, ModelSpec
from eutectic.study.graph import Draft, source_files
from eutectic.study.nodes import Node, Source, Step
from eutectic.yaml_file import Place

MODEL_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")


def enter(draft: Draft) -> None:
    """Enter models, corpora, benchmarks and datasets."""
    file, spec = draft.file, draft.file.spec
    for name, model in spec.models.items():
        if model.path is not None:
            draft.graph.models[name] = _model(draft, name, model)
        if model.chat_template is not None:
            file.known(("models", name, "chat_template"), model.chat_template, spec.models, "model")
    for name, corpus in spec.corpora.items():
        step = CorpusStep(**corpus.model_dump(exclude={"files"}))
        files = source_files(draft, ("corpora", name, "files"), corpus.files)
        draft.corpora[name] = draft.graph.add(Step("corpus", name, step, {"files": files}))
    for name, benchmark in spec.benchmarks.items():
        draft.benchmarks[name] = draft.graph.add(_benchmark(draft, name, benchmark))
    for name in spec.datasets:
        _dataset(draft, name, ())


def _model(draft: Draft, name: str, model: ModelSpec) -> Source:
    """A base model's folder, by the content of the files that make it."""
    from blake3 import blake3

    file, place = draft.file, ("models", name, "path")
    folder = Path(str(model.path)).expanduser()
    folder = folder if folder.is_absolute() else file.folder / folder
    if not folder.is_dir():
        folder = _downloaded(draft, place, str(model.path))
    files = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)})
    if not (folder / "config.json").is_file():
        raise file.error(place, f"{folder} has no config.json", "Give the folder of a Hugging Face model.")
    if not any(f.suffix == ".safetensors" for f in files):
        raise file.error(place, f"{folder} has no safetensors weights", "Give the folder of a Hugging Face model saved as safetensors.")
    if not any((folder / f).is_file() for f in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise file.error(place, f"{folder} has no tokenizer (tokenizer.json)", "Copy the model's tokenizer files into that folder.")
    lines = [f"{path.name}\0{draft.digests.digest(path)}\n" for path in files]
    return Source("checkpoint", name, folder, blake3("".join(lines).encode()).hexdigest())


def _downloaded(draft: Draft, place: Place, path: str) -> Path:
    """The local snapshot of a hub model, downloaded once into the hub's own cache."""
    file = draft.file
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


def _benchmark(draft: Draft, name: str, benchmark: BenchmarkSpec) -> Step:
    """Items from a file or made from a corpus."""
    parents: dict[str, tuple[Node, ...]]
    if benchmark.corpus is not None:
        draft.file.known(("benchmarks", name, "corpus"), benchmark.corpus, draft.corpora, "corpus")
        parents = {"corpus": (draft.corpora[benchmark.corpus],)}
    else:
        parents = {"file": source_files(draft, ("benchmarks", name, "file"), str(benchmark.file))}
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
    spec = DatasetStep(**dataset.model_dump(include={"kind", "sets", "limit", "wordings"}), mix=shares, seed=file.spec.seed)
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
