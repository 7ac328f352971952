"""Published shapes of questions, told by their keys, in the keys of our own items.

MMLU's CSV (cells without a header), documents as lm-evaluation-harness reads them (MMLU, ARC, HellaSwag, SciQ, OpenBookQA), ChemBench's
tasks, MaScQA's rows, and the columns of the paper's two benchmarks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eutectic.data.entries import Entry

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
OPTION = re.compile(r"(?:(?<=\s)|^)\(?([A-Z])[).:]\s+(?=\S)")
RANGE = re.compile(r"\s*([-+]?[\d.,]+(?:[eE][-+]?\d+)?)\s*(?:to|:|[-–])\s*([-+]?[\d.,]+(?:[eE][-+]?\d+)?)\s*")
NUMBER = re.compile(r"\s*[-+]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?\s*")
# Where a published number comes without a tolerance; ours is 5 % because it is asked of small models.
PUBLISHED_TOLERANCE = 0.01


@dataclass(frozen=True)
class LeftOut:
    """An item of a published benchmark that cannot be scored, and why; it is counted, not refused."""

    reason: str


Imported = dict[str, Any] | LeftOut
Importer = Callable[[Entry], list[Imported]]


def importer(value: Mapping[str, Any]) -> tuple[str, Importer] | None:
    """The shape of an entry, by name; None for our own."""
    keys = {key.lower() for key in value}
    for name, needed, found in SHAPES:
        if any(alternative <= keys for alternative in needed):
            return name, found
    return None


def _mmlu_cells(entry: Entry) -> list[Imported]:
    *texts, answer = entry.value["cells"]
    if len(texts) < 3:
        raise entry.error(f"has {len(texts) + 1} cells", "A row without a header is: question, options, letter of the answer.")
    topic = re.sub(r"_(?:test|dev|val|validation)$", "", entry.file.stem)
    return [{"question": texts[0], "options": texts[1:], "answer": answer.strip(), "topic": topic}]


def _document(entry: Entry) -> list[Imported]:
    """A document of a multiple-choice task, whatever its keys are called."""
    value = entry.value
    question = _first(value, "question", "question_stem", "query", "ctx", "input")
    found = _first(value, "choices", "endings", "options")
    labels = [str(label) for label in found.get("label", [])] if isinstance(found, dict) else []
    options = found.get("text", []) if isinstance(found, dict) else found
    answer = _first(value, "answer", "gold", "label", "answerkey", "answerKey")
    if labels and str(answer) in labels:
        answer = labels.index(str(answer))
    if isinstance(answer, str) and answer.isdigit():
        answer = int(answer)
    topic = str(_first(value, "subject", "activity_label", "category") or "")
    return [{**_identity(value), "question": question, "options": options, "answer": answer, "topic": topic}]


def _sciq(entry: Entry) -> list[Imported]:
    value = entry.value
    options = [value["correct_answer"], *(value[key] for key in ("distractor1", "distractor2", "distractor3") if value.get(key))]
    return [{**_identity(value), "question": value["question"], "options": options, "answer": 0}]


def _chembench(entry: Entry) -> list[Imported]:
    """A task holds several examples; `target_scores` may be JSON in a string, as the published tables have it."""
    value = entry.value
    topic, name = str(value.get("subfield") or ""), str(value.get("uuid") or value.get("name") or entry.name)
    found: list[Imported] = []
    for number, example in enumerate(value["examples"], 1):
        shared = {"id": f"{name}-{number}", "group": name, "question": example.get("input", ""), "topic": topic}
        scores = example.get("target_scores")
        scores = json.loads(scores) if isinstance(scores, str) else scores
        if scores:
            right = [text for text, score in scores.items() if score == 1]
            item = {**shared, "options": list(scores), "answer": right[0] if right else None}
            found.append(item if len(right) == 1 else LeftOut(f"{len(right)} right options"))
        elif NUMBER.fullmatch(str(example.get("target", ""))):
            tolerance = value.get("relative_tolerance") or PUBLISHED_TOLERANCE
            found.append({**shared, "value": _number(str(example["target"])), "tolerance": tolerance})
        else:
            found.append({**shared, "answers": [str(example.get("target", ""))]})
    return found


def _mascqa(entry: Entry) -> list[Imported]:
    """A question with its options inside it, or a number as a range."""
    value = entry.value.get("metadata", entry.value)
    shared = {"id": str(value.get("qid") or entry.name), "topic": str(value.get("topic") or "")}
    answer, question = str(value["correct_answer"]).strip(), str(value["question"])
    if found := RANGE.fullmatch(answer):
        low, high = sorted(map(_number, found.groups()))
        middle = (low + high) / 2
        tolerance = (high - low) / 2 / abs(middle) if middle else 0.0
        return [{**shared, "question": question, "value": middle, "tolerance": tolerance}]
    if NUMBER.fullmatch(answer):
        return [{**shared, "question": question, "value": _number(answer), "tolerance": PUBLISHED_TOLERANCE}]
    return [_lettered(shared, question, answer)]


def _paper(entry: Entry) -> list[Imported]:
    """The columns question, answer, type, category and reference."""
    value = entry.value
    shared = {**_identity(value), "topic": str(value.get("category") or "")}
    reference = str(value.get("reference") or "").strip()
    shared |= {"group": reference, "source_ids": [reference]} if reference else {}
    question, answer = str(value["question"]), str(value["answer"]).strip()
    if answer.rstrip(".").lower() in ("true", "false"):
        return [{**shared, "question": question, "answer": answer.rstrip(".").lower() == "true"}]
    return [_lettered(shared, question, answer)]


def _lettered(shared: Mapping[str, Any], question: str, answer: str) -> Imported:
    """A question that names its options by letters, and the letter that is right."""
    stem, options = split_options(question)
    given = re.fullmatch(r"\(?([A-Z])[).:]?(?:\s+.*)?", answer, re.DOTALL)
    if len(options) < 2:
        return {**shared, "question": question, "answers": [answer]} if answer else LeftOut("no answer")
    if re.fullmatch(r"[A-Z](?:\s*[;,]\s*[A-Z])+", answer):
        return LeftOut("several right options")
    return {**shared, "question": stem, "options": options, "answer": given[1] if given else answer}


def split_options(question: str) -> tuple[str, list[str]]:
    """Stem and options of a question that has them inside.

    >>> split_options("What is silk? (A) a fibre (B) a metal")
    ('What is silk?', ['a fibre', 'a metal'])
    """
    marks: list[re.Match[str]] = []
    for mark in OPTION.finditer(question):
        if len(marks) < len(LETTERS) and mark[1] == LETTERS[len(marks)]:
            marks.append(mark)
    if len(marks) < 2:
        return question, []
    ends = [*(mark.start() for mark in marks[1:]), len(question)]
    return question[: marks[0].start()].strip(), [question[mark.end() : end].strip(" \n;,") for mark, end in zip(marks, ends, strict=True)]


def _first(value: Mapping[str, Any], *keys: str) -> Any:
    """The first of some keys that is there."""
    return next((value[key] for key in keys if key in value), None)


def _identity(value: Mapping[str, Any]) -> dict[str, Any]:
    found = _first(value, "id", "ind", "qid", "question_id")
    return {} if found is None else {"id": str(found)}


def _number(text: str) -> float:
    return float(text.replace(",", ""))


# The first shape whose keys are all there; our own items come before the documents they resemble.
SHAPES: Sequence[tuple[str, Sequence[set[str]], Importer]] = (
    ("MMLU's CSV", [{"cells"}], _mmlu_cells),
    ("ChemBench", [{"examples"}], _chembench),
    ("MaScQA", [{"qstr", "correct_answer"}, {"metadata", "source_dataset"}], _mascqa),
    ("SciQ", [{"question", "correct_answer", "distractor1"}], _sciq),
    ("the paper's columns", [{"question", "answer", "type", "category"}, {"question", "answer", "type", "reference"}], _paper),
    (
        "documents of lm-evaluation-harness",
        [{"question", "choices"}, {"question_stem", "choices"}, {"query", "choices"}, {"ctx", "endings"}, {"input", "choices"}],
        _document,
    ),
)
