"""Workshop door: sources to a Dataset of text, instruction or preference rows.

No row of a training set comes from a held-out group. Instruction and preference rows also keep away from every group a
reserved benchmark asks about, so that no row shares a question's stem together with its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from eutectic.artifacts import CARD, DOCUMENTS, HELD_OUT, ITEMS, SUMMARY, TRAIN, Artifact, Parents, read_rows, write_json, write_rows
from eutectic.context import Context
from eutectic.data import card, chance, formats, instructions, mix, preferences, statements
from eutectic.data.formats import SCHEMAS, AnyRow
from eutectic.errors import InputError
from eutectic.specs.rows import Document, Item, PreferenceRow
from eutectic.specs.steps import DatasetStep

# Held-out rows are read before and after every stage; a few hundred measure it well enough, and never more than there are to train on.
HELD_OUT_ROWS = 500


def build(spec: DatasetStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Write `train.jsonl`, `held_out.jsonl`, the card `README.md` and `summary.json`; return counts.

    Raises `InputError` where a source gives no row for this kind.
    """
    sources = parents["sources"]
    barred = _reserved_groups(parents)
    context.progress.start(f"writing {spec.kind} rows", len(sources), "sources")
    train, held_out = [], []
    for source in sources:
        learned, kept = _rows(source, spec, barred)
        train.append(learned)
        held_out += kept
        context.progress.advance(1, source.address)
    rows, parts = mix.mixed(train, spec.mix, spec.seed)
    rows = _limited(rows, spec.limit, spec.seed)
    held_out = _limited(_unique(held_out), min(HELD_OUT_ROWS, len(rows)), spec.seed)
    write_rows(out / TRAIN, rows)
    write_rows(out / HELD_OUT, held_out)
    summary = _summary(rows, held_out, parts, len(barred))
    write_json(out / SUMMARY, summary)
    (out / CARD).write_text(card.text(spec, sources, summary), encoding="utf-8")
    return summary


def check(spec: DatasetStep, parents: Parents) -> None:
    """Raise `InputError` for a kind that nothing here makes, rows of a file that do not fit, or an impossible mix."""
    if spec.kind == "distilled":
        raise InputError("a `distilled` dataset is written by a teacher model", place="kind", remedy="Use text, instruction or preference.")
    for source in parents.get("sources", ()):
        if source.kind == "file" and source.folder is not None and source.folder.exists():
            formats.read_file(source.folder, spec.kind)
        kind = getattr(source.spec, "kind", spec.kind)
        if source.kind == "dataset" and kind != spec.kind:
            raise InputError(f"{source.address} holds {kind} rows", place="mix", remedy=f"Mix {spec.kind} datasets only.")
    if sum(part.share or 0.0 for part in spec.mix) >= 1:
        raise InputError("the shares of this mix sum to one or more", place="mix", remedy="Leave room for sources measured in passes.")


def _reserved_groups(parents: Parents) -> set[str]:
    """Groups of every item of the reserved benchmarks."""
    return {item.group for benchmark in parents.get("reserved", ()) for item in read_rows(benchmark.path / ITEMS, Item)}


def _rows(source: Artifact, spec: DatasetStep, barred: set[str]) -> tuple[list[AnyRow], list[AnyRow]]:
    """Training and held-out rows of one source."""
    if source.kind == "corpus":
        documents = read_rows(source.path / DOCUMENTS, Document)
        free = [d for d in documents if not d.held_out and (spec.kind == "text" or d.group not in barred)]
        train, held_out = _made(free, spec), _made([d for d in documents if d.held_out], spec)
    elif source.kind == "dataset":
        schema = SCHEMAS[spec.kind]
        train = list(read_rows(source.path / TRAIN, schema))
        held_out = list(read_rows(source.path / HELD_OUT, schema))
    else:
        train, held_out = formats.read_file(source.path, spec.kind), []
    if not train:
        left = f" besides the {len(barred)} groups that benchmarks reserve" if barred and source.kind == "corpus" else ""
        raise InputError(
            f"{source.address} gives no {spec.kind} row{left}", remedy="Ask for fewer benchmark `items`, bring more terms, or give `files`."
        )
    return train, held_out


def _made(documents: Sequence[Document], spec: DatasetStep) -> list[AnyRow]:
    if spec.kind == "text":
        return [row for document in documents for row in statements.rows(document, spec.wordings)]
    made: Iterable[AnyRow] = (
        instructions.rows(documents, spec.seed) if spec.kind == "instruction" else preferences.rows(documents, spec.seed)
    )
    return list(made)


def _limited(rows: list[AnyRow], limit: int | None, seed: int) -> list[AnyRow]:
    """At most `limit` rows by hash, in the order they had; the two pairs of a couple stay together."""
    if limit is None or len(rows) <= limit:
        return rows
    kept = {row.id for row in chance.ordered(rows, seed, "dataset limit", _name)[:limit]}
    return [row for row in rows if row.id in kept]


def _name(row: AnyRow) -> str:
    return preferences.couple(row) if isinstance(row, PreferenceRow) else row.id


def _unique(rows: list[AnyRow]) -> list[AnyRow]:
    return list({row.id: row for row in rows}.values())


def _summary(rows: list[AnyRow], held_out: list[AnyRow], parts: list[mix.Part], barred: int) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "held_out_rows": len(held_out),
        "estimated_tokens": round(sum(map(mix.tokens, rows))),
        "groups": len({row.group for row in rows}),
        "reserved_groups": barred,
        "sources": [{"passes": part.passes, "rows": part.rows, "estimated_tokens": part.tokens} for part in parts],
    }
