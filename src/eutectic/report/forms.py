"""How items were put to the models: what each prompt says, and what the form of an answer has to do with its score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from eutectic.artifacts import SUMMARY, read_json
from eutectic.report.blocks import Block, Section, Table, Text, Value, headed
from eutectic.report.view import StudyView
from eutectic.specs.rows import form_words
from eutectic.specs.steps import EvaluateStep, PromptStep

TITLE = "Forms and prompts"
PROMPTS = "What was said to the models. Where a prompt has no instruction of its own, each kind of item has ours (docs/measuring.md)."
FORMS = (
    "Every model in every form, test split. Strict: right and in the form asked for. Broken: another form. Ties: items whose best options "
    "are equal. Letters are scored over all rotations of the options, so that each is right equally often: what is likelier than the "
    "others is liked for itself, and the accuracy without that is by the mean over rotations."
)
FIELDS = "Fields of extracted records, counted over all texts: right of those answered (precision), right of those in the text (recall)."


def section(view: StudyView) -> Section:
    """Prompts, forms, fields."""
    cells = [(address, cell) for address, cell in _cells(view) if cell["split"] == "test"]
    if not cells:
        return Section("forms", TITLE)
    blocks: list[Block] = [_prompts(view), _forms(cells)]
    if any("fields" in cell for _, cell in cells):
        blocks.append(_fields(cells))
    again = sum(int(read_json(step.readable / SUMMARY).get("rescored", 0)) for step in view.of("rescore") if step.readable is not None)
    blocks.append(Text(f"Scored again in float32, as two options are close in a model that is compared: {again:,} items.", "note"))
    return Section("forms", TITLE, blocks)


def _cells(view: StudyView) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The cells of every model that has its own scores; a rescored evaluation stands for the first one."""
    final = [step for step in view.of("rescore") if step.readable is not None]
    done = {step.address for step in final}
    for step in (*final, *(step for step in view.of("evaluate") if step.address not in done)):
        summary = read_json(step.readable / SUMMARY) if step.readable is not None else {}
        if not summary.get("equal_to"):
            yield from ((step.address, cell) for cell in summary.get("cells", ()))


def _prompts(view: StudyView) -> Table:
    specs = [step.spec for step in view.of("evaluate")]
    used = {prompt.name: prompt for spec in specs if isinstance(spec, EvaluateStep) for prompt in spec.prompts}
    columns = headed("prompt", "forms", "chat template", "system prompt|lines", "instruction|lines", "examples|count", "corrections")
    rows: list[tuple[Value, ...]] = [
        (name or "plain", ", ".join(each.forms), _chat(each), each.system, each.instruction or "ours", each.shots, _corrections(each))
        for name, each in used.items()
    ]
    return Table("prompts", PROMPTS, columns, rows)


def _chat(prompt: PromptStep) -> str:
    return {True: "always", False: "never", None: "all but cloze"}[prompt.chat]


def _corrections(prompt: PromptStep) -> str:
    """What is done against liking a letter or an option for itself."""
    letters = ["all rotations"] if "letter" in prompt.forms and prompt.rotations == "cyclic" else []
    return ", ".join([*letters, *(["prior of the options"] if "cloze" in prompt.forms and prompt.prior else [])]) or "none"


def _forms(cells: list[tuple[str, Mapping[str, Any]]]) -> Table:
    columns = headed(
        "model|address",
        "benchmark",
        "role",
        "scored by",
        "items|count",
        "accuracy, %|percent",
        "strict, %|percent",
        "broken, %|percent",
        "ties|count",
        "without letters, %|percent",
        "likeliest letters, %|span",
    )
    rows: list[tuple[Value, ...]] = [
        (
            address,
            cell["benchmark"],
            cell["role"],
            form_words(cell["form"]),
            cell["n"],
            cell["accuracy"],
            cell.get("strict"),
            cell.get("format_failure_rate"),
            cell.get("ties"),
            cell.get("unbiased"),
            " ".join(f"{letter} {100 * share:.0f}" for letter, share in cell.get("letters", {}).items()),
        )
        for address, cell in cells
    ]
    return Table("forms", FORMS, columns, rows, folded=True)


def _fields(cells: list[tuple[str, Mapping[str, Any]]]) -> Table:
    columns = headed("model|address", "benchmark", "scored by", "field", "precision, %|percent", "recall, %|percent", "F1, %|percent")
    rows: list[tuple[Value, ...]] = [
        (address, cell["benchmark"], form_words(cell["form"]), name, each["precision"], each["recall"], each["f1"])
        for address, cell in cells
        for name, each in cell.get("fields", {}).items()
    ]
    return Table("fields", FIELDS, columns, rows)
