"""Resolved specs: what one step of the graph is told. Names of nodes are gone, references have become parents by role.

Each class documents the roles of its parents. These specs (without fields at their default) enter the step's key.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field

from eutectic.specs.base import Spec
from eutectic.specs.study import Cut, LoraSpec, Precision, PromptSpec, Schedule


class CorpusStep(Spec):
    """Parents: `files` (source files, in sorted order of digest). Writes a Corpus."""

    held_out: float = 0.0
    keywords: tuple[str, ...] = ()
    limit: int | None = None
    cut: tuple[Cut, ...] = ("references", "acknowledgements", "authors")
    quality: float = 0.0
    languages: tuple[str, ...] = ()
    near_duplicates: float = 0.8
    seed: int = 0


class MixShare(Spec):
    """How much of the parent at the same position of `sources` enters a mix."""

    passes: float | None = None
    share: float | None = None


class DatasetStep(Spec):
    """Parents: `sources` (Corpus, Dataset or source file, in order of `mix`), `reserved` (Benchmark: its items' stems with their
    answers must stay out of instruction and preference rows, and the groups of its `unseen` items out of every row). Writes a Dataset.
    """

    kind: Literal["text", "instruction", "preference", "distilled"]
    mix: tuple[MixShare, ...] = (MixShare(passes=1.0),)
    sets: int = 1
    limit: int | None = None
    dev: float = 0.2
    wordings: int = 4
    seed: int = 0


class BenchmarkStep(Spec):
    """Parents: `corpus` or `file`. Writes a Benchmark."""

    kind: Literal["choice", "numeric"] = "choice"
    role: Literal["acquired", "unseen", ""] = ""
    items: int | None = None
    dev: float = 0.2
    seed: int = 0


class ContaminationStep(Spec):
    """Parents: `benchmark`, `dataset`. Writes a Contamination: what training rows share with items; a broken role is an error."""


class AdoptStep(Spec):
    """Parents: `model` (Checkpoint without a template of its own), `template` (Checkpoint). Writes a Checkpoint: the weights of the
    one with tokenizer, chat template and special tokens of the other.
    """


class ReferenceStep(Spec):
    """What decides which examples a stage reads, in which order, and how they are scored. Parents: `model` (Checkpoint), `dataset`,
    `matched` (Checkpoint: the stage whose tokens are the budget, at most one).

    Writes ReferenceLogprobs: log-probabilities of every pair under the model, which stages with the same plan share.
    """

    epochs: float | None = None
    tokens: float | None = None
    updates: int | None = None
    batch: int = 8
    sequence: int = 512
    most_cut: float = 0.05
    precision: Precision = "mixed"
    seed: int = 0


class TrainStep(ReferenceStep):
    """Parents: `model` (Checkpoint), `dataset`, `reference` (ReferenceLogprobs, at most one), `matched` (Checkpoint: the stage whose
    tokens are this one's budget, at most one), `probes` (Corpus). Writes a Checkpoint.
    """

    objective: str
    learning_rate: float
    schedule: Schedule = "cosine"
    warmup: float = 0.1
    decay: float = 0.2
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    publish_dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    lora: LoraSpec | None = None
    keep: Literal["last", "epochs"] = "last"
    probe_every: float | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class SliceSource(Spec):
    """Layers of one parent: of `models[model]`, or of the base where `model` is -1. `layers` are the first and the one behind the last,
    all where it is None. `parameters` are this parent's own.
    """

    model: int
    layers: tuple[int, int] | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class MergeSlice(Spec):
    """Layers of the result, made of equally many layers of each source. `base` says which of the sources deltas begin at."""

    sources: tuple[SliceSource, ...]
    base: int | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class MergeModule(Spec):
    """A part of the model, all of it where it is called `default`: slices one behind the other."""

    name: str = "default"
    slices: tuple[MergeSlice, ...]
    parameters: dict[str, Any] = Field(default_factory=dict)


class TokenSource(Spec):
    """Where the row of a token comes from in models that lack it (`force`: in all of them): zero, the same token of a model, or another
    `token` or `token_id` of it. A model is an index as in `SliceSource`; without one the rule for tokens that are not named holds.
    """

    model: int | None = None
    token: str | None = None
    token_id: int | None = None
    zero: bool = False
    force: bool = False


class TokenizerStep(Spec):
    """The vocabulary of the result: of all parents, of the base (or first model), or of one model by its index."""

    source: Literal["union", "base"] | int = "union"
    tokens: dict[str, TokenSource] = Field(default_factory=dict)
    pad_to_multiple_of: int | None = None


class MergeStep(Spec):
    """Parents: `base` (Checkpoint, at most one), `models` (Checkpoints). Writes a Checkpoint, or stays unwritten.

    Without `modules` every tensor is made of the same tensor of all parents; without `tokenizer` they have one vocabulary. The chat
    template is the base's, or a Jinja text, a format's name, or `auto`: what most parents have.
    """

    method: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    modules: tuple[MergeModule, ...] = ()
    tokenizer: TokenizerStep | None = None
    chat_template: str = ""
    seed: int = 0


class SearchStep(Spec):
    """Parents: `base` (Checkpoint, at most one), `models` (Checkpoints; with `one_of` each candidate merges one of them with the base),
    `benchmark`. `space` holds [lowest, highest] for numbers of `parameters`. Writes a Search.
    """

    method: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, Any]
    one_of: bool = False
    budget: int
    items: int
    seed: int = 0


class WinnerStep(MergeStep):
    """The merge a search found; its own parameters are those that were not tuned. Parents: `search` (Search), and its `base` and `models`.

    Writes a Checkpoint.
    """


class GeometryStep(Spec):
    """Parents: `merge` (the written or unwritten merge). Writes a Geometry."""


class PromptStep(PromptSpec):
    """A prompt with its name, which its rows carry; the plain one has none."""

    name: str = ""

    @classmethod
    def named(cls, name: str, spec: PromptSpec) -> Self:
        """A prompt of a file under its name there; `plain` takes the place of ours."""
        return cls.model_validate({**spec.model_dump(), "name": "" if name == "plain" else name})


PLAIN = PromptStep.model_validate({})


class EvaluateStep(Spec):
    """Parents: `model`, `benchmarks`; for a control also `twin` (Evaluation of the merge it controls) and `geometry` of that merge:
    where the two merges agree within two output ulps the twin's scores stand for both. Writes an Evaluation.
    """

    greedy: int | None = None
    prompts: tuple[PromptStep, ...] = (PLAIN,)
    seed: int = 0


class RescoreStep(Spec):
    """Parents: `model`, `benchmarks`, `own` (its Evaluation), `others` (Evaluations of the same comparison). An item whose margin is
    below `margin` nats in any of them is scored again in float32. Writes an Evaluation: the own rows, replaced where rescored.
    """

    margin: float = 0.5
    prompts: tuple[PromptStep, ...] = (PLAIN,)


class CanaryStep(Spec):
    """Parents: `model` (a start or trained model), `benchmarks`. Writes a Canary: whether the model met them before."""

    items: int = 100  # of a benchmark, whose options are read without their questions
    seed: int = 0


class GeneralStep(Spec):
    """Parents: `model`, `tasks` (the folder of the study's own tasks, at most one). Writes a General: results of lm-evaluation-harness.

    The harness's version is in the record, not here: see docs/decisions/0007-measuring.md.
    """

    tasks: tuple[str, ...]
    shots: int | None = None
    limit: int | None = None
    chat: bool = False


class ConverseStep(Spec):
    """Parents: `model`. `script` is the whole script, so that its text bears identity. Writes a Transcript."""

    script: dict[str, Any]
    samples: int = 1
    seed: int = 0


class ImagePromptsStep(Spec):
    """Parents: `model`. Writes an ImagePrompts."""

    concepts: tuple[str, ...]
    styles: tuple[str, ...]
    seed: int = 0


class FamilyStep(Spec):
    """The claims "this merge beats every parent", over all merges and cells. Parents: `merges` (Evaluations of the merges), `parents`
    (Evaluations of what they are made of; `of` holds, for every merge, the indices of its own). Writes a Family.
    """

    of: tuple[tuple[int, ...], ...]
    forms: tuple[str, ...] = ()  # labels of the cells that are claims; all of them where empty
    seed: int = 0


class SynergyStep(Spec):
    """Parents: `merge` (Evaluation), `parents` (Evaluations), `controls` (Evaluations), `family` (Family: the claims this merge's are
    tested among). Writes a Synergy.
    """

    controls: tuple[str, ...] = ()  # what each parent in `controls` is: "linear_schedule", "linear"
    weights: tuple[float, ...] = ()  # of `parents`, where one t weighs them unequally
    ensemble: bool = True
    seed: int = 0
