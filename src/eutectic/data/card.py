"""The card of a Dataset: a README that `datasets.load_dataset` and people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eutectic.artifacts import DEV, HELD_OUT, TRAIN, Artifact
from eutectic.specs.steps import DatasetStep

MADE = {
    "text": "Text for continued pretraining, one fact a row in several wordings and both directions.",
    "instruction": "Chats whose assistant turns are learned.",
    "preference": "Prompts with a chosen and a rejected answer of like length.",
    "distilled": "",
}


def text(spec: DatasetStep, sources: Sequence[Artifact], summary: Mapping[str, Any]) -> str:
    """Markdown with the metadata block that names the files as splits."""
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        f"    path: {TRAIN}",
        "  - split: dev",
        f"    path: {DEV}",
        "  - split: held_out",
        f"    path: {HELD_OUT}",
        "---",
        f"# {spec.kind} dataset",
        "",
        MADE[spec.kind],
        "",
        f"- {summary['rows']} training rows (about {summary['estimated_tokens']} tokens) of {summary['groups']} groups",
        f"- {summary['dev_rows']} dev rows to choose settings on, {summary['held_out_rows']} held-out rows to report on",
        "- neither holds a group that a training row comes from",
        f"- {summary['reserved_groups']} groups kept free for benchmarks",
        "",
        "| source | passes | rows | tokens (estimated) | columns read |",
        "|---|---|---|---|---|",
    ]
    for source, part in zip(sources, summary["sources"], strict=True):
        lines.append(
            f"| {source.address} ({source.kind}) | {part['passes']:.3g} | {part['rows']} | {part['estimated_tokens']} | {part['columns']} |"
        )
    return "\n".join(lines) + "\n"
