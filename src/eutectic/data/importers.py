"""Published shapes of questions, told by their keys, in the keys of our own items.

MMLU's CSV (cells without a header), rows with a column a letter, ChemBench's tasks, MaScQA (its JSON by topic, its rows, its sheet as CSV),
documents as lm-evaluation-harness reads them (MMLU, ARC, HellaSwag, SciQ, OpenBookQA), and the columns of the paper's two benchmarks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eutectic.data.entries import Entry

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# How options are marked inside a question, surest first: `(A) silk`, `A) silk`, `A. silk`.
MARKS = (r"(?<!\w)\(([A-Z])\)\s*(?=\S)", r"(?<!\S)([A-Z])\)\s*(?=\S)", r"(?<!\S)([A-Z])[.:]\s+(?=\S)")
DIGITS = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d)\.?)(?:[eE][-+]?\d+)?"
NUMBER = re.compile(DIGITS)
RANGE = re.compile(rf"({DIGITS})\s*(?:to|:|[-–])\s*({DIGITS})", re.IGNORECASE)
# Where a published number comes without a tolerance; ours is 5 % because it is asked of small models.
PUBLISHED_TOLERANCE = 0.01


@dataclass(frozen=True)
class LeftOut:
    """An item of a published benchmark that cannot be scored, and why; it is counted, not refused."""

    reason: str


Imported = dict[str, Any] | LeftOut
Read = Callable[[Entry], list[Imported]]


def imported(entry: Entry) -> tuple[str, list[Imported]]:
    """The shape of an entry by name, and its items in our own keys; capitals in published keys do not matter.

    Raises `InputError` for an entry that has the keys of a shape and not its form.
    """
    if _by_topic(entry.value):
        return "MaScQA", _fitting("MaScQA", _mascqa_topics, entry)
    value = {key.lower(): each for key, each in entry.value.items()}
    for name, marks, read in SHAPES:
        if any(keys <= value.keys() for keys in marks):
            return name, _fitting(name, read, entry.holding(value))
    return "items", [entry.value]


def _fitting(name: str, read: Read, entry: Entry) -> list[Imported]:
    try:
        return read(entry)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        told = f"has the keys of {name}, but cannot be read as such ({type(error).__name__}: {error})"
        raise entry.error(told, "See docs/measuring.md, benchmark files.") from error


def split_options(question: str) -> tuple[str, list[str]]:
    """Stem and options of a question that has them inside.

    >>> split_options("What is silk? (A) a fibre (B) a metal")
    ('What is silk?', ['a fibre', 'a metal'])
    """
    for pattern in MARKS:
        marks: list[re.Match[str]] = []
        for mark in re.finditer(pattern, question):
            if len(marks) < len(LETTERS) and mark[1] == LETTERS[len(marks)]:
                marks.append(mark)
        if len(marks) > 1:
            ends = [*(mark.start() for mark in marks[1:]), len(question)]
            options = [question[mark.end() : end].strip(" \r\n;,") for mark, end in zip(marks, ends, strict=True)]
            return question[: marks[0].start()].strip(), options
    return question, []


def _mmlu_cells(entry: Entry) -> list[Imported]:
    cells = entry.value["cells"]
    if len(cells) < 4:
        raise entry.error(f"has {len(cells)} cells", "A row without a header is: question, options, letter of the answer.")
    question, *options, answer = cells
    topic = re.sub(r"_(?:test|dev|val|validation)$", "", entry.file.stem)
    return [{"question": question, "options": options, "answer": _index(answer.strip(), options), "topic": topic}]


def _letter_columns(entry: Entry) -> list[Imported]:
    value = entry.value
    options = [value[letter.lower()] for letter in LETTERS if value.get(letter.lower()) not in (None, "")]
    topic = str(_first(value, "subject", "category", "topic") or "")
    return [
        {**_identity(value), "question": value["question"], "options": options, "answer": _index(value["answer"], options), "topic": topic}
    ]


def _document(entry: Entry) -> list[Imported]:
    """A document of a multiple-choice task, whatever its keys are called."""
    value = entry.value
    question = _first(value, "question", "question_stem", "query", "ctx", "input")
    found = _first(value, "choices", "endings")
    options = list(found["text"] if isinstance(found, dict) else found)
    labels = [str(label) for label in found["label"]] if isinstance(found, dict) else []
    answer = _first(value, "answer", "answerkey", "gold", "label")
    if str(answer) in labels:
        answer = labels.index(str(answer))
    elif isinstance(answer, str) and answer.isdigit():
        answer = int(answer)
    topic = str(_first(value, "subject", "activity_label", "category") or "")
    group = {"group": str(value["source_id"])} if value.get("source_id") else {}
    return [{**_identity(value), **group, "question": question, "options": options, "answer": _index(answer, options), "topic": topic}]


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
        shared = {"id": f"{name}-{number}", "group": name, "question": example["input"], "topic": topic}
        scores, target = example.get("target_scores"), str(_first(example, "target") or "").strip()
        scores = json.loads(scores) if isinstance(scores, str) and scores else scores
        if scores:
            right = [index for index, score in enumerate(scores.values()) if float(score) == 1]
            item = {**shared, "options": list(scores), "answer": right[0] if right else None}
            found.append(item if len(right) == 1 else LeftOut(f"{len(right)} right options"))
        elif NUMBER.fullmatch(target):
            found.append({**shared, "value": _number(target), "tolerance": value.get("relative_tolerance") or PUBLISHED_TOLERANCE})
        else:
            found.append({**shared, "answers": [target]} if target else LeftOut("no answer"))
    return found


def _by_topic(value: Mapping[str, Any]) -> bool:
    """Whether this is MaScQA's own JSON, whose keys are topics."""
    return bool(value) and all(isinstance(columns, dict) and "qids" in columns for columns in value.values())


def _mascqa_topics(entry: Entry) -> list[Imported]:
    """The JSON of its authors: columns by topic. It comes without answers, which stand in a sheet of theirs."""
    found: list[Imported] = []
    for topic, columns in entry.value.items():
        for cells in zip(*columns.values(), strict=True):
            found += _mascqa(entry.holding({"topic": topic, **dict(zip(columns, cells, strict=True))}, place=topic))
    return found


def _mascqa(entry: Entry) -> list[Imported]:
    """A question with its options inside it, or a number, often as a range."""
    value = entry.value
    given = _first(value, "correct_answer", "correct answer", "label", "answers", "answer")
    if given is None:
        raise entry.error(
            "MaScQA's questions stand here without answers",
            "Save its sheet `all_QA.xlsx` as CSV, or take the rows of `heegyu/mascqa`: both hold question and answer.",
        )
    shared = {
        "id": str(_first(value, "qid", "qids", "question info") or entry.name),
        "topic": str(_first(value, "topic", "subject") or ""),
    }
    question, answer = str(_first(value, "question", "questions")), str(given).strip().replace("−", "-")
    if found := RANGE.fullmatch(answer):
        low, high = sorted(map(_number, found.groups()))
        middle = (low + high) / 2
        item = {**shared, "question": question, "value": middle, "tolerance": (high - low) / 2 / abs(middle) if middle else 0.0}
        return [item if middle or low == high else LeftOut("a range around zero")]
    if NUMBER.fullmatch(answer):
        return [{**shared, "question": question, "value": _number(answer), "tolerance": PUBLISHED_TOLERANCE}]
    return [_lettered(shared, question, answer)]


def _paper(entry: Entry) -> list[Imported]:
    """The paper's two benchmarks. Their own numbers are not taken as ids: they repeat."""
    value = entry.value
    reference = str(_first(value, "reference", "citation") or "").strip()
    shared = {"topic": str(value.get("category") or ""), **({"group": reference, "source_ids": [reference]} if reference else {})}
    question, answer = str(value["question"]), str(value["answer"]).strip()
    if answer.rstrip(".").lower() in ("true", "false"):
        return [{**shared, "question": question, "answer": answer.rstrip(".").lower() == "true"}]
    return [_lettered(shared, question, answer)]


def _lettered(shared: Mapping[str, Any], question: str, answer: str) -> Imported:
    """A question that names its options by letters, and the letter that is right."""
    stem, options = split_options(question)
    if re.fullmatch(r"[A-Z](?:\s*[;,]\s*[A-Z])+", answer):
        return LeftOut("several right options")
    if not options:
        return {**shared, "question": question, "answers": [answer]} if answer else LeftOut("no answer")
    given = re.fullmatch(r"\(?([A-Z])(?:[).:].*)?", answer, re.DOTALL)
    return {**shared, "question": stem, "options": options, "answer": _index(given[1] if given else answer, options)}


def _index(answer: Any, options: Sequence[Any]) -> Any:
    """The index a letter stands for; anything else as it is, to be refused where the item is checked."""
    return LETTERS.index(answer) if isinstance(answer, str) and len(answer) == 1 and answer in LETTERS[: len(options)] else answer


def _first(value: Mapping[str, Any], *keys: str) -> Any:
    """The first of some keys that holds something."""
    return next((value[key] for key in keys if value.get(key) is not None), None)


def _identity(value: Mapping[str, Any]) -> dict[str, Any]:
    found = _first(value, "id", "question_id")
    return {} if found is None else {"id": str(found)}


def _number(text: str) -> float:
    return float(text.replace(",", ""))


# The first shape whose keys are all there, whatever others come with them. None of these keys together make an item of our own.
SHAPES: Sequence[tuple[str, Sequence[set[str]], Read]] = (
    ("MMLU's CSV", [{"cells"}], _mmlu_cells),
    ("a column a letter", [{"question", "a", "b", "answer"}], _letter_columns),
    ("ChemBench", [{"examples"}], _chembench),
    ("MaScQA", [{"qstr"}, {"question", "question type", "correct answer"}], _mascqa),
    ("SciQ", [{"question", "correct_answer", "distractor1"}], _sciq),
    (
        "documents of lm-evaluation-harness",
        [{"question", "choices"}, {"question_stem", "choices"}, {"query", "choices"}, {"input", "choices"}, {"ctx", "endings"}],
        _document,
    ),
    ("the paper's columns", [{"question", "answer", "category"}, {"question", "answer", "reference"}], _paper),
)
