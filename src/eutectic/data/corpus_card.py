"""The card of a Corpus: a README that `datasets.load_dataset` and people read, with counts, reasons and samples."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from eutectic.artifacts import DOCUMENTS, DROPPED
from eutectic.data import chance
from eutectic.specs.rows import Document, Dropped
from eutectic.specs.steps import CorpusStep

SAMPLES, SHOWN = 20, 240
LENGTHS = (100, 300, 1000, 3000, 10_000, 30_000)  # words, upper edges of the histogram
BAR = 40
NUMBERS = re.compile(r"(?<![\w-])\d+(?:\.\d+)?")


def text(spec: CorpusStep, documents: Sequence[Document], dropped: Sequence[Dropped], summary: dict[str, Any]) -> str:
    """Markdown with the metadata block that names the file as a split."""
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        f"    path: {DOCUMENTS}",
        "---",
        "# Corpus",
        "",
        f"{summary['documents']} documents, {summary['words']} words, from {summary['files']} files; {summary['files_not_read']} files "
        "could not be read.",
        f"{summary['held_out_documents']} documents of {summary['held_out_groups']} groups are held out of every training set.",
        "",
        *_counts("licence", Counter(document.licence or "not stated" for document in documents)),
        *_counts("language", Counter(document.language or "not told" for document in documents)),
        *_counts("year", Counter(str(document.year or "not stated") for document in documents)),
        "## Lengths",
        "",
        *histogram([len(document.text.split()) for document in documents]),
        "",
        f"## Left out ({len(dropped)}, each with its reason in `{DROPPED}`)",
        "",
        *reasons(dropped),
        "",
        "## Samples",
        "",
        *samples(documents, spec.seed),
        "## Settings",
        "",
        *[f"- `{name}`: {value}" for name, value in spec.model_dump(mode="json").items()],
    ]
    return "\n".join(lines) + "\n"


def histogram(words: Sequence[int]) -> list[str]:
    """A line for each range of lengths, with a bar."""
    counts = [sum(low < n <= high for n in words) for low, high in zip((0, *LENGTHS), (*LENGTHS, max([1, *words]) + 1), strict=True)]
    names = [*(f"up to {edge}" for edge in LENGTHS), f"over {LENGTHS[-1]}"]
    most = max([1, *counts])
    return [f"    {name:>13} words {'█' * round(BAR * count / most):{BAR}} {count}" for name, count in zip(names, counts, strict=True)]


def reasons(dropped: Sequence[Dropped], most: int = 12) -> list[str]:
    """Reasons with their counts, numbers aside: what differs only by a number is one reason."""
    counts = Counter(NUMBERS.sub("…", row.reason.partition(": ")[0] if row.reason.startswith("quality") else row.reason) for row in dropped)
    shown = [f"- {count} × {reason}" for reason, count in counts.most_common(most)]
    return [*shown, *([f"- and {len(counts) - most} more reasons"] if len(counts) > most else [])]


def samples(documents: Sequence[Document], seed: int) -> list[str]:
    """Documents drawn by hash of the id: where each is from and how it begins."""
    lines: list[str] = []
    for document in chance.ordered(documents, seed, "samples", lambda each: each.id)[:SAMPLES]:
        pages = f", pages {document.spans[0].page} to {document.spans[-1].page}" if document.spans else ""
        where = ", ".join(part for part in (document.source + pages, document.doi, str(document.year or "")) if part)
        begins = " ".join(document.text.split())[:SHOWN].replace("`", "'")
        lines += [f"- **{document.title}** ({where}; `{document.id}`): {begins} …"]
    return [*lines, ""]


def _counts(name: str, counts: Counter[str]) -> list[str]:
    if set(counts) <= {"not stated", "not told"}:
        return []
    rows = [f"| {value} | {count} |" for value, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:20]]
    return [f"| {name} | documents |", "|---|---|", *rows, ""]
