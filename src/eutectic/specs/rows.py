"""Row schemas of the artifacts: what workshops say to each other on disk, one JSON object a line."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from eutectic.specs.base import Spec

Role = Literal["acquired", "unseen", ""]
Split = Literal["dev", "test"]
ItemKind = Literal["choice", "true_false", "numeric", "short", "extraction"]
WEIGHED: tuple[ItemKind, ...] = ("choice", "true_false")  # kinds whose options can be ranked by likelihood
Form = Literal["cloze", "letter", "greedy", "constrained"]
WEIGHED_FORMS: tuple[Form, ...] = ("cloze", "letter")  # options are ranked by likelihood; in the others an answer is written
FORM_WORDS: dict[str, str] = {
    "cloze": "by likelihood",
    "letter": "by letter",
    "greedy": "in words",
    "constrained": "in a given schema",
}


def form_of(label: str) -> str:
    """The form in an `ItemScore.label`, whatever the prompt."""
    return label.partition(":")[0]


def form_words(label: str) -> str:
    """What `ItemScore.label` says, in words: `by letter, prompt paper`."""
    form, _, prompt = label.partition(":")
    return f"{FORM_WORDS[form]}, prompt {prompt}" if prompt else FORM_WORDS[form]


class Section(Spec):
    """A heading and the character range of `Document.text` below it."""

    title: str
    start: int
    end: int


class Span(Spec):
    """A page of the source file and the character range of `Document.text` read from it."""

    page: int
    start: int
    end: int


class Mark(Spec):
    """A caption or a table and the character range of `Document.text` it takes."""

    kind: Literal["caption", "table"]
    start: int
    end: int


class Term(Spec):
    """The ontology side of a document: a named class with its definition and its place in the is_a tree."""

    name: str
    definition: str
    synonyms: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()  # names of the direct is_a parents
    ancestors: tuple[str, ...] = ()  # names of all classes above, parents included


class Quantity(Spec):
    """A measured property: `value` in `unit` (a unit that pint reads; empty means dimensionless)."""

    name: str
    value: float
    unit: str = ""


class Document(Spec):
    """A document of a Corpus. `group` is what splits keep together: the source document or the parent class.

    Of running text, `quality` is the score of `data.papers.quality` and `language` a two-letter code.
    """

    id: str
    group: str
    title: str
    text: str
    source: str
    held_out: bool = False
    sections: tuple[Section, ...] = ()
    spans: tuple[Span, ...] = ()
    marks: tuple[Mark, ...] = ()
    doi: str = ""
    year: int | None = None
    licence: str = ""
    quality: float | None = None
    language: str = ""
    term: Term | None = None
    quantities: tuple[Quantity, ...] = ()


class Dropped(Spec):
    """A file or document that did not enter the Corpus, and why."""

    source: str
    reason: str


class Message(Spec):
    """One turn of a chat, in the form every chat template reads."""

    role: Literal["system", "user", "assistant"]
    content: str


class TextRow(Spec):
    """A row of a text Dataset: continued pretraining reads `text` and closes it with the end-of-text token."""

    id: str
    text: str
    source_ids: tuple[str, ...]
    group: str


class InstructionRow(Spec):
    """A row of an instruction Dataset: a chat whose assistant turns are learned."""

    id: str
    messages: tuple[Message, ...] = Field(min_length=2)
    source_ids: tuple[str, ...]
    group: str


class PreferenceRow(Spec):
    """A row of a preference Dataset: one prompt, a chosen and a rejected continuation, each as messages."""

    id: str
    prompt: tuple[Message, ...] = Field(min_length=1)
    chosen: tuple[Message, ...] = Field(min_length=1)
    rejected: tuple[Message, ...] = Field(min_length=1)
    source_ids: tuple[str, ...]
    group: str


class Extracted(Spec):
    """A measured property as a text states it: of which material, how much (`unit` as written; None where no number is given), by what
    method.
    """

    material: str
    property: str
    value: float | None = None
    unit: str = ""
    method: str = ""


class Item(Spec):
    """An item of a Benchmark.

    `choice`: `options` and the index `answer`. `true_false`: the same with the options True and False. `numeric`: `value`, `unit`,
    `tolerance` (relative: 0.05 accepts 5 % off). `short`: `answers`, any of which is right. `extraction`: `question` is a text and
    `records` is what it states.
    `role` says what training saw of it: `acquired` (its source is in the text trained on) or `unseen` (its group is in no training set).
    """

    id: str
    group: str
    kind: ItemKind = "choice"
    role: Role = ""
    split: Split = "test"
    question: str
    options: tuple[str, ...] = ()
    answer: int | None = None
    value: float | None = None
    unit: str = ""
    tolerance: float = 0.05
    answers: tuple[str, ...] = ()
    records: tuple[Extracted, ...] = ()
    source_ids: tuple[str, ...] = ()
    topic: str = ""
    difficulty: str = ""


class ItemScore(Spec):
    """A row of an Evaluation: one item in one form under one prompt (`prompt` is its name in the study, empty for the plain one).

    `score` is what the item counts: 1 or 0, the mean over rotations of the options, or the F1 of extracted fields.
    Cloze form: `log_likelihoods` (nats) and `tokens` of every option, `choice` by mean log-likelihood a token, `margin` (nats) between the
    best and the second-best option on the summed log-likelihoods the ranking used; `priors` are the log-likelihoods of the options after
    a neutral beginning, where the choice is corrected for them.
    Letter form: `rotated` holds the log-probability of each option's letter, `[rotation][option]`; `log_likelihoods` are their means over
    the rotations, which cancel what the model thinks of letters and places, and decide `choice` and `margin`.
    Greedy form: the generated `text`, what was `parsed` from it, and whether it broke the requested format (`format_failure`); the score is
    the lenient parser's. Constrained form: the same, of text that could only be what the schema allows.
    """

    id: str
    benchmark: str
    group: str
    role: Role
    split: Split
    form: Form
    prompt: str = ""
    score: float
    choice: int | None = None
    answer: int | None = None
    log_likelihoods: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    priors: tuple[float, ...] = ()
    rotated: tuple[tuple[float, ...], ...] = ()
    margin: float | None = None
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    text: str = ""
    parsed: str = ""
    format_failure: bool = False

    @property
    def label(self) -> str:
        """The form, with the prompt behind it where it has a name: `letter`, `letter:paper`. Labels are never pooled."""
        return f"{self.form}:{self.prompt}" if self.prompt else self.form


class GeneralSample(Spec):
    """A row of a General: one item of one task of lm-evaluation-harness. `question` digests the item and its target, so that only equal
    items are paired; `values` are by `METRIC,FILTER` and hold what is one number for one item.
    """

    task: str
    item: int
    question: str
    values: dict[str, float]


class Finding(Spec):
    """A row of a Contamination: what a training row shares with an item. `answered`: a right answer stands with the question; `violation`:
    the item's role is broken. `overlap` is the item's words, `…` for those the row lacks.
    """

    item: str
    kind: Literal["lineage", "ngram", "near_duplicate"]
    row: str
    answered: bool = False
    violation: bool = False
    overlap: str = ""


class Point(Spec):
    """A row of a Search: a model scored on dev items.

    `by` says who asked: the `parent`s themselves; `probe`s, random candidates on which the items were chosen; the searchers `random` and
    `cma`; `final` for the best of both on all dev items again. `place` is the candidate in the unit cube, `parameters` what that means and
    `model` the address of the model merged with the base, or of the parent. `score` is the mean of `right`, the probability of the right
    option of every item; a candidate that could not be merged or scored has 0 and says why (`failed`).
    """

    number: int
    by: Literal["parent", "probe", "random", "cma", "final"]
    place: tuple[float, ...] = ()
    parameters: dict[str, Any] = Field(default_factory=dict)
    model: str = ""
    score: float = 0.0
    accuracy: float = 0.0
    right: tuple[float, ...] = ()
    seconds: float = 0.0
    failed: str = ""


class Canary(Spec):
    """A row of a Canary: log-likelihoods (nats) of alternatives between which a model that never met the benchmark has no reason to choose.

    `options`: of every option of an item without its question, mean a token; `right` is the answer. `order`: of a run of items, summed, in
    their published order (`right`, the first) and in shuffled ones; `id` is the first item's.
    """

    benchmark: str
    check: Literal["options", "order"]
    id: str
    group: str
    log_likelihoods: tuple[float, ...]
    right: int


class Turn(Spec):
    """A row of a Transcript: one turn of a conversation held with one model."""

    conversation: str
    model: str
    sample: int
    turn: int
    role: Literal["system", "user", "assistant"]
    content: str
    tokens: int = 0
    seconds: float = 0.0
    stop_reason: str = ""
    seed: int = 0


class ImagePrompt(Spec):
    """A row of an ImagePrompts artifact: the three answers of one model to one concept grid cell."""

    model: str
    concepts: tuple[str, ...]
    style: str
    principles: str
    prompt: str
    short_prompt: str
    names_concepts: bool
    tokens: int
    seed: int = 0


class TensorGeometry(Spec):
    """A row of a Geometry: how two parents differ in one tensor and which branch of the merge ran there."""

    tensor: str
    layer: int | None
    module: str
    angle: float  # radians between the parents, as vectors
    norms: tuple[float, ...]
    relative_distance: float  # |a - b| / |base|
    # Share of elements whose sign the parents do not agree on: of the deltas where several models have a base, else of the weights.
    sign_conflicts: float
    t: float | None
    branch: str  # "slerp", "linear", "copy", ...
    ulps_from_linear: float  # largest distance of the result from plain linear at the same t, in output ulps
    ulps_mean: float
