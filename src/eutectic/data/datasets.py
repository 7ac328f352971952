"""Workshop door: sources to a Dataset of text, instruction or preference rows.

Held-out groups are split in two: settings are chosen on the rows of `dev.jsonl`, what is reported is `held_out.jsonl`. No row of
a training set comes from either. Instruction and preference rows also keep away from every group a reserved benchmark asks
about, so that no row shares a question's stem together with its answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eutectic.artifacts import CARD, DEV, DOCUMENTS, HELD_OUT, ITEMS, SUMMARY, TRAIN, Artifact, Parents, read_rows, write_json, write_rows
from eutectic.context import Context
from eutectic.data import card, chance, formats, instructions, mix, preferences, statements
from eutectic.data.formats import SCHEMAS, AnyRow
from eutectic.errors import InputError
from eutectic.specs.rows import Document, Item, PreferenceRow
from eutectic.specs.steps import DatasetStep

# Held-out rows are read before and after every stage; a few hundred measure it well enough, and never more than there are to train on.
HELD_OUT_ROWS = 500


def build(spec: DatasetStep, parents: Parents, out: Path, context: Context) -> dict[str, Any]:
    """Write `train.jsonl`, `dev.jsonl`, `held_out.jsonl`, the card `README.md` and `summary.json`; return counts.

    Raises `InputError` where a source gives no row for this kind.
    """
    sources = parents["sources"]
    barred = _reserved_groups(parents)
    context.progress.start(f"writing {spec.kind} rows", len(sources), "sources")
    train, unseen = [], {DEV: list[AnyRow](), HELD_OUT: list[AnyRow]()}
    for source in sources:
        learned, kept = _rows(source, spec, barred)
        train.append(learned)
        for part in unseen:
            unseen[part] += kept[part]
        context.progress.advance(1, source.address)
    rows, parts = mix.mixed(train, spec.mix, spec.seed)
    rows = _limited(rows, spec.limit, spec.seed)
    most = min(HELD_OUT_ROWS, len(rows))
    unseen = {part: _limited(_unique(found), most, spec.seed) for part, found in unseen.items()}
    for file, found in ({TRAIN: rows} | unseen).items():
        write_rows(out / file, found)
    summary = _summary(rows, unseen, parts, len(barred))
    for source, part in zip(sources, summary["sources"], strict=True):
        part["columns"] = formats.columns(source.path, spec.kind) if source.kind == "file" else ""
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


def _rows(source: Artifact, spec: DatasetStep, barred: set[str]) -> tuple[list[AnyRow], dict[str, list[AnyRow]]]:
    """Rows of one source: those to learn, and by file those never to learn."""
    unseen: dict[str, list[AnyRow]] = {DEV: [], HELD_OUT: []}
    if source.kind == "corpus":
        documents = read_rows(source.path / DOCUMENTS, Document)
        free = [d for d in documents if not d.held_out and (spec.kind == "text" or d.group not in barred)]
        train = _made(free, spec)
        for row in _made([d for d in documents if d.held_out], spec):
            unseen[DEV if chance.unit(spec.seed, "dev", row.group) < spec.dev else HELD_OUT].append(row)
    elif source.kind == "dataset":
        schema = SCHEMAS[spec.kind]
        train = list(read_rows(source.path / TRAIN, schema))
        unseen = {part: list(read_rows(source.path / part, schema)) for part in unseen}
    else:
        train = formats.read_file(source.path, spec.kind)
    if not train:
        left = f" besides the {len(barred)} groups that benchmarks reserve" if barred and source.kind == "corpus" else ""
        raise InputError(
            f"{source.address} gives no {spec.kind} row{left}", remedy="Ask for fewer benchmark `items`, bring more terms, or give `files`."
        )
    return train, unseen


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


def _summary(rows: list[AnyRow], unseen: Mapping[str, list[AnyRow]], parts: list[mix.Part], barred: int) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "dev_rows": len(unseen[DEV]),
        "held_out_rows": len(unseen[HELD_OUT]),
        "estimated_tokens": round(sum(map(mix.tokens, rows))),
        "groups": len({row.group for row in rows}),
        "reserved_groups": barred,
        "sources": [{"passes": part.passes, "rows": part.rows, "estimated_tokens": part.tokens} for part in parts],
    }
