"""The one-off doors: merge, evaluate, compare and verify folders without a study, and write a study's report.

They call the same workshops with the same specs as a study's steps do.
"""

from __future__ import annotations

import glob
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eutectic.artifacts import RECORD, SUMMARY, TENSORS, Artifact, Record, read_json, read_rows
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.fingerprint import DigestCache, key
from eutectic.store import cache_folder, full_disk_is_an_error, process_start, sync, sync_folder

if TYPE_CHECKING:
    from eutectic.specs.steps import PromptStep
    from eutectic.study.study import Study


def report(study: Study, out: str | Path | None = None) -> Path:
    """Write the report of what a study has so far and return its `index.html`; `out` defaults to `reports/STUDY` beside the study."""
    from eutectic.report.gather import gather
    from eutectic.report.page import write

    folder = Path(out) if out is not None else study.file.folder / "reports" / study.name
    return write(gather(study), folder)


def merge(config: str | Path, out: str | Path, context: Context | None = None, seed: int = 0) -> dict[str, Any]:
    """Merge as a mergekit file says and return the ledger; `out` appears whole and durable, or not at all.

    `seed` is for methods that draw random numbers. Beside the weights `out` has config and tokenizer, a card and a record that name the
    parents by digest, and the file itself as `mergekit_config.yml`.
    """
    from eutectic.merge import canonical, mergekit_file, stream
    from eutectic.study import footprint, status
    from eutectic.study.work import WORK

    config, out, context = Path(config), Path(out), context or Context()
    asked = mergekit_file.read(config)
    step, begun = asked.step.model_copy(update={"seed": seed}), time.monotonic()
    digests = DigestCache(cache_folder() / "digests.json")
    with ThreadPoolExecutor(max(1, context.threads)) as pool:
        base, *models = pool.map(lambda name: _named(config, asked.lines, name, digests) if name else None, (asked.base, *asked.models))
    parents = {"models": tuple(model for model in models if model), **({"base": (base,)} if base else {})}
    digests.save()
    digested = time.monotonic()
    stream.check(step, parents)
    with whole(out) as partial:
        ledger = stream.build(step, parents, partial, context)
        shutil.copyfile(config, partial / "mergekit_config.yml")
        for name, digest in ledger["digests"].items():
            digests.remember(partial / name, digest)
        keys = {role: tuple(parent.key for parent in found) for role, found in parents.items()}
        record = Record(
            kind="checkpoint",
            step="merge",
            address=out.name,
            key=key("merge", WORK["merge"].revision, step.identity(), keys),
            revision=WORK["merge"].revision,
            spec=step.identity(),
            parents=keys,
            consumed={digest: digest for found in keys.values() for digest in found},
            digest=digests.folder(partial),
            versions=footprint.versions(),
            device=context.device,
            threads=context.threads,
            seconds=round(time.monotonic() - begun, 3),
            peak_memory=footprint.peak_memory(),
            finished=status.now(),
            ledger=ledger,
        )
        (partial / RECORD).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
        made = time.monotonic()
        sync_folder(partial)
        ledger["seconds"] |= {"parents' digests": digested - begun, "fsync": time.monotonic() - made}
    sync(out.parent)
    return ledger | {"without_effect": canonical.idle(step, has_base=asked.base is not None, n_models=len(asked.models))}


def _named(config: Path, lines: Mapping[str, int], name: str, digests: DigestCache) -> Artifact:
    """A model as a mergekit file names it, `MODEL+ADAPTER` under an adapter."""
    model, _, adapter = name.partition("+")
    try:
        folder = _folder(config, model, "config.json")
        if not adapter:
            return Artifact("checkpoint", name, digests.folder(folder), folder)
        other = _folder(config, adapter, "adapter_config.json")
        under = Artifact("adapter", adapter, digests.folder(other), other)
        return Artifact("checkpoint", name, f"{digests.folder(folder)}+{under.key}", folder, None, {"adapter": (under,)})
    except InputError as error:
        raise error.at(file=config, line=lines.get(name)) from error


def _folder(config: Path, name: str, holds: str) -> Path:
    """A folder relative to where the command runs or to the file, or of a hub id; it is looked for here before any hub is asked."""
    for folder in (Path(name).expanduser(), config.parent / name):
        if (folder / holds).is_file():
            return folder
        if folder.is_dir():
            raise InputError(f"{name!r} is no folder with a {holds}", remedy="Give the folder of a model, or of an adapter after `+`.")
    from eutectic.models.hub import snapshot

    return snapshot(name)


# Share of a benchmark file's items from which examples are shown, where a prompt shows any.
SHOWN_SHARE = 0.2


def evaluate(
    models: Sequence[str | Path],
    benchmarks: Sequence[str | Path],
    *,
    greedy: int | None = None,
    prompts: Sequence[PromptStep] = (),
    out: str | Path | None = None,
    context: Context | None = None,
) -> dict[str, Any]:
    """Score model folders on benchmark files: the summary of each model, by folder. Rows are kept below `out` where given.

    `read` says what each file was. Each cell also holds the 95 % interval of its accuracy (`low`, `high`). Without `prompts` the plain one
    is used; at most `greedy` items of a benchmark are answered in words.
    """
    from eutectic.analysis.table import cell_intervals
    from eutectic.data import benchmark_file
    from eutectic.data import benchmarks as items
    from eutectic.evaluate import score
    from eutectic.specs.steps import PLAIN, BenchmarkStep, EvaluateStep

    context = context or Context()
    spec = EvaluateStep(greedy=greedy, prompts=tuple(prompts) or (PLAIN,))
    folders = [model_folder(Path(m)) for m in models]
    dev = SHOWN_SHARE if any(prompt.shots for prompt in prompts) else 0.0
    with tempfile.TemporaryDirectory() as scratch:
        read: list[Artifact] = []
        told: dict[str, Any] = {}
        for index, file in enumerate(benchmark_file.locate(str(each)) for each in benchmarks):
            place = Path(scratch) / str(index)
            place.mkdir()
            found = items.build(BenchmarkStep(dev=dev), {"file": (Artifact("file", file.name, "", file),)}, place, context)
            told[file.name] = {key: found[key] for key in ("items", "kinds", "shape", "left_out")}
            read.append(Artifact("benchmark", file.stem, "", place))
        summaries: dict[str, Any] = {}
        for index, folder in enumerate(folders):
            place = Path(out) / folder.name if out is not None else Path(scratch) / f"model{index}"
            with whole(place) as partial:
                parents = {"model": (Artifact("checkpoint", folder.name, "", folder),), "benchmarks": tuple(read)}
                score.build(spec, parents, partial, context)
            summary = read_json(place / SUMMARY)
            bounds = cell_intervals(place)
            cells = [{**cell, **bounds[cell["benchmark"], cell["role"], cell["split"], cell["form"]]} for cell in summary["cells"]]
            summaries[str(folder)] = {**summary, "cells": cells, "read": told}
        return summaries


def corpus(files: Sequence[str | Path], out: str | Path, *, context: Context | None = None, **spec: Any) -> dict[str, Any]:
    """Read files (folders and glob patterns too) into a Corpus at `out`, and return its summary; `spec` are keys of `CorpusStep`."""
    from eutectic.data import corpus as reader
    from eutectic.data.readers import FORMATS
    from eutectic.specs.steps import CorpusStep

    found = dict.fromkeys(file for name in files for file in _files(str(name), FORMATS))
    sources = tuple(Artifact("file", file.name, "", file) for file in found)
    step = CorpusStep.model_validate(spec)
    reader.check(step, {"files": sources})
    with whole(Path(out)) as partial:
        return reader.build(step, {"files": sources}, partial, context or Context())


def _files(name: str, suffixes: Sequence[str]) -> list[Path]:
    """The files of a path, folder (those with a reader) or pattern, in order of name."""
    path = Path(name).expanduser()
    if path.is_dir():
        found = [file for file in sorted(path.rglob("*")) if file.is_file() and file.suffix.lower() in suffixes]
    else:
        matched = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
        found = [path] if path.is_file() else sorted(file for file in matched if file.is_file())
    if not found:
        raise InputError("matches no file", file=name, remedy=f"Give files, folders or patterns; formats read: {', '.join(suffixes)}.")
    return found


def corpus_lines(summary: Mapping[str, Any], out: Path) -> list[str]:
    """A corpus for a terminal."""
    return [
        f"{summary['documents']} documents, {summary['words']} words from {summary['files']} files ({summary['files_not_read']} not read); "
        f"{summary['dropped']} left out",
        *(f"  {line}" for line in summary["reasons"]),
        f"written to {out}; README.md there has counts and samples",
    ]


def compare(first: str | Path, second: str | Path, context: Context | None = None) -> dict[str, Any]:
    """Angles, norms and distances between two checkpoints: a summary, and a row for each tensor under `tensors`."""
    from eutectic.merge import geometry
    from eutectic.specs.rows import TensorGeometry
    from eutectic.specs.steps import GeometryStep, MergeStep

    base, other = (Artifact("checkpoint", str(folder), "", model_folder(Path(folder))) for folder in (first, second))
    middle = MergeStep(method="slerp", parameters={"t": 0.5})
    merge = Artifact("checkpoint", "compare", "", None, middle, {"base": (base,), "models": (other,)})
    with tempfile.TemporaryDirectory() as scratch:
        geometry.build(GeometryStep(), {"merge": (merge,)}, Path(scratch), context or Context())
        rows = read_rows(Path(scratch) / TENSORS, TensorGeometry)
        return {**read_json(Path(scratch) / SUMMARY), "tensors": [row.model_dump(mode="json") for row in rows]}


def verify(folder: str | Path) -> dict[str, Any]:
    """Check a folder against the digest in its record and the layout of its safetensors; raises `InputError` when something is wrong."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("there is no such folder", file=folder, remedy="Check the path.")
    weights = sorted(folder.glob("*.safetensors"))
    if weights:
        from eutectic.models.checkpoint import open_checkpoint

        open_checkpoint(folder)
    digest, against = DigestCache().folder(folder), ""
    if (folder / RECORD).is_file():
        record = Record.model_validate_json((folder / RECORD).read_text(encoding="utf-8"))
        if record.digest != digest:
            raise InputError(
                f"its files are not those that were published (digest {digest[:16]}, the record says {record.digest[:16]})",
                file=folder,
                remedy="Delete the folder and run the study again.",
            )
        against = ", as its record says"
    elif not weights:
        raise InputError("holds neither a record nor safetensors", file=folder, remedy="Give an artifact of a store or a model folder.")
    return {"folder": str(folder), "files": sum(p.is_file() for p in folder.rglob("*")), "digest": digest, "against": against}


def model_folder(folder: Path) -> Path:
    """A folder that holds a model; raises `InputError` otherwise."""
    if not (folder / "config.json").is_file():
        raise InputError("holds no config.json", file=folder, remedy="Give the folder of a Hugging Face model.")
    return folder


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` that becomes `out` when all went well and is removed otherwise.

    What a killed process of this host left behind for the same `out` is removed.
    """
    if out.exists():
        raise InputError("is there already and is left as it is", file=out, remedy="Give a new folder, or remove that one.")
    out.parent.mkdir(parents=True, exist_ok=True)
    ours = f".{out.name}-{socket.gethostname()}"
    for left in out.parent.glob(f"{glob.escape(ours)}-*-*"):
        pid, _, started = left.name.removeprefix(f"{ours}-").partition("-")
        if pid.isdigit() and process_start(int(pid)) != started:
            shutil.rmtree(left, ignore_errors=True)
    partial = out.parent / f"{ours}-{os.getpid()}-{process_start(os.getpid())}"
    partial.mkdir()
    try:
        with full_disk_is_an_error(out.parent):
            yield partial
        partial.chmod(0o755)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def accuracy_lines(summaries: Mapping[str, Any]) -> list[str]:
    """A line a benchmark: what was read; then a line a model and benchmark: accuracy by likelihood and in words."""
    from eutectic.data.benchmarks import told
    from eutectic.evaluate.score import lines

    read = next(iter(summaries.values()))["read"]
    scored = [line for folder, summary in summaries.items() for line in (folder, *(f"  {text}" for text in lines(summary)))]
    return [*(told(name, found) for name, found in read.items()), *scored]


def geometry_lines(found: Mapping[str, Any]) -> list[str]:
    """The comparison of two checkpoints for people: the summary, then the ten tensors that differ most."""
    rows = sorted(found["tensors"], key=lambda row: -row["relative_distance"])[:10]
    head = [f"{k}: {v:.6g}" if isinstance(v, float) else f"{k}: {v}" for k, v in found.items() if k != "tensors"]
    return [*head, "largest relative distances:", *(f"  {r['relative_distance']:.3e}  {r['angle']:.3e} rad  {r['tensor']}" for r in rows)]
