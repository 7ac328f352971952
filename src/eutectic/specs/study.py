"""The study file, as specs: every key a user may write, its type, its default and what it means.

`docs/study-file.md` is generated from these descriptions. What only a workshop can judge (the parameters of a merge
method or of an objective) stays opaque here and is checked by that workshop's `check` door.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from eutectic.specs.base import Spec
from eutectic.specs.rows import Form

Patterns = Annotated[tuple[str, ...], Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Schedule = Literal["cosine", "linear", "constant", "wsd"]
Cut = Literal["references", "acknowledgements", "authors"]
Precision = Literal["mixed", "bf16-stochastic", "float32"]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")]


class ModelSpec(Spec):
    """A model to start from: a folder, a hub id, or an OpenAI-compatible server."""

    path: str | None = Field(None, description="folder beside the study, absolute folder, or hub id (`owner/name[@commit]`)")
    endpoint: str | None = Field(None, description="base URL of an OpenAI-compatible server")
    model: str | None = Field(None, description="model name at the endpoint")
    chat_template: str | None = Field(None, description="another model of the study that gives tokenizer, chat template and special tokens")

    @model_validator(mode="after")
    def _one_source(self) -> ModelSpec:
        if (self.path is None) == (self.endpoint is None):
            raise ValueError("give either `path` or `endpoint`")
        if self.endpoint is not None and self.model is None:
            raise ValueError("an `endpoint` needs `model`, the name it serves")
        return self


class CorpusSpec(Spec):
    """Source files to read into documents."""

    files: str | tuple[str, ...] = Field(description="glob patterns relative to the study file")
    held_out: float = Field(0.0, ge=0, lt=1, description="share of groups kept out of every training set, by hash of the group")
    keywords: tuple[str, ...] = Field((), description="keep only documents that hold one of these words (whole word or word start)")
    limit: int | None = Field(None, gt=0, description="keep at most this many documents, chosen by hash of the id")
    cut: tuple[Cut, ...] = Field(
        ("references", "acknowledgements", "authors"), description="parts of papers that are left out; [] keeps all"
    )


class MixPart(Spec):
    """One source of a mixed dataset, measured by passes over it or by its share of the final tokens."""

    corpus: str | None = Field(None, description="name of a corpus")
    dataset: str | None = Field(None, description="name of another dataset")
    passes: float | None = Field(None, gt=0, description="passes over the source; 2.0 takes every row twice")
    share: float | None = Field(None, gt=0, lt=1, description="share of the final tokens")

    @model_validator(mode="after")
    def _one_measure(self) -> MixPart:
        if (self.corpus is None) == (self.dataset is None):
            raise ValueError("give either `corpus` or `dataset`")
        if self.passes is not None and self.share is not None:
            raise ValueError("give either `passes` or `share`")
        return self


class DatasetSpec(Spec):
    """Rows to train on."""

    kind: Literal["text", "instruction", "preference", "distilled"] = Field(description="what a row is")
    corpus: str | None = Field(None, description="corpus the rows are made from; without a teacher its terms are put into sentences")
    files: str | tuple[str, ...] | None = Field(None, description="ready-made JSON lines, relative to the study file")
    mix: tuple[MixPart, ...] = Field((), description="several sources in one dataset")
    teacher: str | None = Field(None, description="model that writes the rows")
    sets: int = Field(1, gt=0, description="different sets a document")
    limit: int | None = Field(None, gt=0, description="keep at most this many rows, chosen by hash of the id")
    dev: float = Field(0.2, ge=0, lt=1, description="share of held-out groups whose rows settings are chosen on; the rest is reported")
    wordings: int = Field(4, ge=1, le=6, description="wordings of every fact, in both directions, when rows are made without a teacher")


class LoraSpec(Spec):
    """Low-rank adapters instead of full fine-tuning (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = Field(16, gt=0)
    alpha: float = Field(32.0, gt=0, description="the update is scaled by alpha / rank, with `rslora` by alpha / sqrt(rank)")
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] = Field((), description="ends of module names (`q_proj`); every linear map of the trunk where left out")
    rslora: bool = Field(False, description="rank-stabilised scaling (Kalajdzievski 2023, arXiv 2312.03732)")
    dora: bool = Field(False, description="weights split into magnitude and direction (Liu et al. 2024, arXiv 2402.09353)")


class ProbeSpec(Spec):
    """Perplexity on held-out text while training."""

    every: float = Field(gt=0, description="tokens between two probes")
    corpora: tuple[str, ...] = Field(description="corpora whose held-out documents are read")


class StageSpec(Spec):
    """One training stage. Keys that belong to the objective (`beta`, ...) stand beside the common ones."""

    objective: str = Field(description="cpt, sft, dpo, orpo or simpo")
    dataset: str = Field(description="name of the dataset")
    learning_rate: float = Field(gt=0, description="peak learning rate")
    epochs: float | None = Field(None, gt=0, description="budget in passes over the dataset; 1 where no budget is given")
    tokens: float | None = Field(None, gt=0, description="budget in tokens read")
    updates: int | None = Field(None, gt=0, description="budget in optimiser updates")
    schedule: Schedule = Field("cosine", description="learning-rate schedule after the warm-up; `wsd` is warm-up, stable, decay")
    warmup: float = Field(0.1, ge=0, description="updates with rising learning rate: a share of all below 1, their number from 1 on")
    decay: float = Field(0.2, gt=0, le=1, description="share of the updates over which `wsd` falls")
    batch: int = Field(8, gt=0, description="sequences (packed rows) or preference pairs an update")
    sequence: int = Field(512, gt=8, description="tokens in a packed row; the longest example")
    most_cut: float = Field(
        0.05, ge=0, lt=1, description="share of conversations or pairs that may be longer than `sequence` and lose tokens"
    )
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    precision: Precision = Field(
        "mixed", description="`mixed`: bf16 computation, float32 masters; `bf16-stochastic`: no masters, stochastic rounding; `float32`"
    )
    publish_dtype: Literal["bfloat16", "float16", "float32"] = Field("bfloat16", description="type of the published weights")
    lora: LoraSpec | None = Field(None, description="train low-rank adapters and fold them in")
    keep: Literal["last", "epochs"] = Field("last", description="`epochs` keeps a checkpoint after each epoch, addressed @1, @2, ...")
    probe: ProbeSpec | None = Field(None, description="perplexity on held-out text while training")
    parameters: dict[str, Any] = Field(default_factory=dict, description="of the objective; may also be written beside the common keys")

    @model_validator(mode="after")
    def _one_budget(self) -> StageSpec:
        if sum(budget is not None for budget in (self.epochs, self.tokens, self.updates)) > 1:
            raise ValueError("give one budget: `epochs`, `tokens` or `updates`")
        return self

    @field_validator("precision", mode="before")
    @classmethod
    def _no_plain_bf16(cls, value: Any) -> Any:
        if value in ("bf16", "bfloat16"):
            raise ValueError(
                "plain bf16 updates are refused: at small learning rates most weights would not move; take `mixed`, or `bf16-stochastic` "
                "to save memory"
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        """Keys this class does not know belong to the objective, whose room checks them."""
        if not isinstance(data, dict):
            return data
        known = {k: v for k, v in data.items() if k in cls.model_fields}
        other = {k: v for k, v in data.items() if k not in cls.model_fields}
        return {**known, "parameters": {**known.get("parameters", {}), **other}} if other else known


class ChainSpec(Spec):
    """Every model x every chain x every seed; a shared prefix trains once."""

    models: Patterns = Field(description="models to start from")
    stages: Patterns = Field(description="chains such as `cpt-sft-dpo`")
    seeds: tuple[int, ...] = Field((), description="training seeds; the study's seed where left out")
    token_matched: bool = Field(
        False,
        description="beside each stage after the first a control arm `ADDRESS+tokens`: the stage before it for as many tokens more",
    )


class MergeSpec(Spec):
    """One merge for every model matched by `each`, or one of all `models`."""

    method: str = Field(description="merge method; see docs/methods.md")
    base: str | None = Field(None, description="t = 0 and the origin of deltas; gives config, tokenizer and template")
    each: tuple[str, ...] = Field((), description="patterns: one merge with the base for each model matched")
    models: tuple[str, ...] = Field(
        (),
        description="addresses or patterns: one merge of all of them; one for each training seed, `MERGE#SEED`, if an address names none",
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="of the method: numbers, layer lists, or filters as in mergekit")
    sweep: dict[str, tuple[float, ...]] = Field(default_factory=dict, description="parameter -> values: one merge for each value")
    controls: tuple[Literal["linear_schedule", "linear", "ensemble"], ...] | None = Field(
        None, description="comparisons every merge gets; [] for none"
    )
    keep: bool = Field(False, description="write the merged checkpoint into the store")

    @model_validator(mode="after")
    def _one_selection(self) -> MergeSpec:
        if bool(self.each) == bool(self.models):
            raise ValueError("give either `each` or `models`")
        return self


class SearchSpec(Spec):
    """A merge tuned on the dev split of a benchmark, by CMA-ES and, with as many candidates, by random search as its control.

    The winner is a model under the search's name: an evaluation measures it on the test split as it does any other merge.
    """

    method: str = Field(description="merge method; see docs/methods.md")
    base: str | None = Field(None, description="t = 0 and the origin of deltas; gives config, tokenizer and template")
    each: tuple[str, ...] = Field((), description="patterns: the base is merged with one of these models; which one is searched too")
    models: tuple[str, ...] = Field((), description="addresses or patterns: all of them are merged")
    parameters: dict[str, Any] = Field(default_factory=dict, description="of the method that are not tuned, as in `merges`")
    space: dict[str, Any] = Field(
        min_length=1,
        description="parameters that are tuned, written as in `merges` with [lowest, highest] for a number: `t: [0, 1]`, a layer schedule "
        "`t: [[0, 1], [0, 1], [0, 1]]`, filters; what may differ from model to model is tuned for each of `models`",
    )
    benchmark: str = Field(description="the benchmark whose dev items score the candidates, in cloze form")
    budget: int = Field(100, gt=0, description="candidates CMA-ES tries; random search tries as many")
    items: int = Field(64, gt=0, description="dev items a candidate is scored on: those the parents and first candidates differ most on")

    @model_validator(mode="after")
    def _one_selection(self) -> SearchSpec:
        if bool(self.each) == bool(self.models):
            raise ValueError("give either `each` or `models`")
        return self


class BenchmarkSpec(Spec):
    """Questions to score: a file, or made from a corpus."""

    file: str | None = Field(
        None, description="questions (docs/measuring.md), relative to the study file, or the name of a packaged benchmark"
    )
    corpus: str | None = Field(None, description="corpus the items are made from")
    kind: Literal["choice", "numeric"] = Field("choice", description="what is made from the corpus")
    role: Literal["acquired", "unseen", ""] = Field("", description="what training saw of it; checked against the lineage")
    items: int | None = Field(None, gt=0, description="test items wanted; dev items come in addition")
    dev: float = Field(0.2, ge=0, lt=1, description="share of groups in the dev split; variants are picked there, reported on test")

    @model_validator(mode="after")
    def _one_source(self) -> BenchmarkSpec:
        if (self.file is None) == (self.corpus is None):
            raise ValueError("give either `file` or `corpus`")
        return self


class PromptSpec(Spec):
    """How items are put to the models; an item is scored in every form its kind allows."""

    forms: tuple[Form, ...] = Field(("cloze", "letter", "greedy"), min_length=1, description="what is scored, see docs/measuring.md")
    chat: bool | None = Field(None, description="in the model's chat template or not; where left out, cloze is plain text, the rest chats")
    system: str = Field("", description="system prompt of the chats")
    instruction: str = Field("", description="said before the question; `{letters}` and `{unit}` are filled in; one of ours where left out")
    shots: int = Field(0, ge=0, description="dev items with their answers before each question")
    rotations: Literal["cyclic", "none"] = Field(
        "cyclic", description="orders of the options in letter form: every one starts once, or one order"
    )
    prior: bool = Field(False, description="cloze: rank options by what the question adds to their log-likelihood after `Answer:`")


class FamilySpec(Spec):
    """The claims that are tested together, fixed before anything is scored. What is outside is described, not claimed."""

    merges: tuple[str, ...] = Field((), description="patterns of merges; all of them where left out")
    forms: tuple[str, ...] = Field((), description="forms, as `letter` or `letter:PROMPT`; all where left out")


class EvaluationSpec(Spec):
    """Which models answer which benchmarks."""

    models: Patterns
    benchmarks: Patterns
    greedy: int | None = Field(None, gt=0, description="at most this many test items a benchmark are answered in words; all where left out")
    prompts: tuple[Name, ...] = Field(
        ("plain",), min_length=1, description="prompts to use; `plain` is one with all defaults, unless `prompts` says what it is"
    )
    family: FamilySpec = Field(default_factory=lambda: FamilySpec(merges=(), forms=()), description="which comparisons are claims")


class GeneralSpec(Spec):
    """General benchmarks through lm-evaluation-harness (the extra `general`): what was forgotten. Start models are measured too."""

    models: Patterns
    tasks: Patterns = Field(description="tasks, groups or tags as lm-evaluation-harness names them")
    folder: str | None = Field(None, description="folder beside the study with task files of your own and their data")
    shots: int | None = Field(None, ge=0, description="examples before each item; the task's own number where left out")
    limit: int | None = Field(None, gt=0, description="at most this many items a task")
    chat: bool = Field(False, description="ask in the chat template")


class ConversationSpec(Spec):
    """The same conversation with every model."""

    models: Patterns
    script: str = Field(description="a YAML file beside the study, or the name of a packaged script")
    judges: tuple[str, ...] = Field((), description="models that score the transcripts")
    samples: int = Field(1, gt=0)


class ImagePromptsSpec(Spec):
    """Image-generation prompts that combine concepts."""

    models: Patterns
    concepts: Annotated[tuple[str, ...], Field(min_length=2)]
    styles: Patterns = ("microstructure",)


class StudySpec(Spec):
    """A whole study.

    Models are named by address: `MODEL`, `MODEL/STAGE-STAGE` after training, `MODEL/STAGE@2` for an epoch kept with `keep: epochs`, with
    `#SEED` behind it where a chain has several seeds; `MERGE:ADDRESS` and `MERGE` for merges (`,t=0.3` in a sweep); `SEARCH` for the merge
    that a search found; `ADDRESS+CONTROL` for controls. As patterns, `*` matches models and `*/*` chains, `MODEL/STAGE@*` kept epochs,
    `MERGE:*` the results of a merge, and `**` everything but kept epochs. Controls are measured with what they control and match no
    pattern.
    """

    study: ModelName = Field(description="name of the study")
    seed: int = Field(17, description="all random streams derive from it")
    models: dict[ModelName, ModelSpec] = Field(min_length=1)
    corpora: dict[Name, CorpusSpec] = Field(default_factory=dict)
    datasets: dict[Name, DatasetSpec] = Field(default_factory=dict)
    stages: dict[Name, StageSpec] = Field(default_factory=dict)
    chains: tuple[ChainSpec, ...] = ()
    merges: dict[Name, MergeSpec] = Field(default_factory=dict)
    benchmarks: dict[Name, BenchmarkSpec] = Field(default_factory=dict)
    search: dict[Name, SearchSpec] = Field(default_factory=dict)
    prompts: dict[Name, PromptSpec] = Field(default_factory=dict)
    evaluations: tuple[EvaluationSpec, ...] = ()
    general: tuple[GeneralSpec, ...] = ()
    conversations: dict[Name, ConversationSpec] = Field(default_factory=dict)
    image_prompts: dict[Name, ImagePromptsSpec] = Field(default_factory=dict)
