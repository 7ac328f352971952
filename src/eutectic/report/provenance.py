"""Where every number comes from: versions, seeds, machine, licences, keys, and the study file itself."""

from __future__ import annotations

from collections import Counter

from eutectic.artifacts import DOCUMENTS, iterate_rows
from eutectic.report.blocks import Block, Folded, Section, Table, Text, Value, headed
from eutectic.report.view import MODELS, StudyView
from eutectic.specs.rows import Document


def section(view: StudyView) -> Section:
    """Versions and machine from the records, licences from the documents, keys of all models."""
    records = [step.record for step in view.steps if step.record]
    rows: list[tuple[Value, ...]] = [("seed of the study", str(view.seed))]
    for title, values in (
        ("device", [record.device for record in records]),
        ("threads", [str(record.threads) for record in records if record.threads]),
    ):
        rows += [(title, _counted(values))] if values else []
    packages = sorted({(name, version) for record in records for name, version in record.versions.items()})
    rows += packages
    rows += [("licence of the sources", licence) for licence in _licences(view)]
    facts = Table("provenance", "Versions, machine, seeds and licences.", headed("what", "value"), rows)
    keys: list[tuple[Value, ...]] = [(step.address, step.key, step.record.digest if step.record else None) for step in view.of(*MODELS)]
    columns = headed("model", "key|full", "content digest|full")
    identity = Table("keys", "Keys (SHA-256 over what defines a model) and digests (BLAKE3 of its files).", columns, keys, folded=True)
    blocks: list[Block] = [facts, identity, Folded("The study file", view.text)]
    words = (
        "Every key is made of the step's settings and its parents' keys; the same study file gives the same keys anywhere. Weights are "
        "bit-equal for equal device kind and thread count. The report is a view of finished steps and can be rebuilt at any time."
    )
    return Section("provenance", "Provenance", [*blocks, Text(words, "note")])


def _counted(values: list[str]) -> str:
    """Distinct values, the most frequent first."""
    return ", ".join(value for value, _ in Counter(values).most_common())


def _licences(view: StudyView) -> list[str]:
    found: set[str] = set()
    for step in view.of("corpus"):
        if step.readable is not None:
            found |= {document.licence for document in iterate_rows(step.readable / DOCUMENTS, Document) if document.licence}
    return sorted(found)
