"""Which models of a study may be compared, what one comparison is about, and what else differs between the two.

A factor is the one thing that a comparison is about: `start` (the same stages on another start model), `size` (the same, where the starts
are one architecture and vocabulary in two sizes), `stage added` (one model is the other plus a stage), `objective` (the last stage learns
by another objective), `merge` (a merge of the model). What must differ because the factor does is implied; whatever else differs confounds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from eutectic.specs.steps import ReferenceStep, TrainStep

Factor = Literal["start", "size", "stage added", "objective", "merge"]
FACTORS: tuple[Factor, ...] = ("start", "size", "stage added", "objective", "merge")
SIZES = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim")
# Neither bears on the weights: what is kept, how often is looked, how much may be cut before it is an error.
IDLE = frozenset({"objective", "parameters", "keep", "probe_every", "most_cut"})
DATA = frozenset(ReferenceStep.model_fields) - IDLE
RATE = frozenset({"learning_rate", "schedule", "warmup", "decay"})
LEDGER = {
    "tokens": "tokens read",
    "loss_tokens": "loss tokens",
    "pairs": "pairs read",
    "updates": "updates done",
    "cut_tokens": "tokens cut",
    "learning_rate_integral": "learning-rate integral",
    "plan": "batch plan",
    "flops": "FLOPs",
    "seconds": "seconds",
}
COST = frozenset({"flops", "seconds"})


@dataclass(frozen=True)
class Stage:
    """One trained stage: `key` is its identity, `parameters` are those of the objective with defaults, `dataset` is a name with its key."""

    key: str
    spec: TrainStep
    parameters: Mapping[str, Any]
    dataset: str
    dataset_key: str
    ledger: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A start model (no stages) or a trained one. `config` is the config.json of its start; `matched` is the arm whose tokens are this
    one's budget, which makes it that arm's control.
    """

    address: str
    start: str
    stages: tuple[Stage, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    matched: str = ""

    @property
    def kind(self) -> tuple[str, ...]:
        """What a partner of another model is one of: start and objectives, whatever the numbers."""
        return (self.start, *(stage.spec.objective for stage in self.stages))


@dataclass(frozen=True)
class Merge:
    """A merge and what it is made of."""

    address: str
    method: str
    models: tuple[str, ...]
    base: str = ""


@dataclass(frozen=True)
class Pair:
    """A comparison: `model` against `against`, lines of what differs. `control` is the token-matched arm of an added stage: empty where
    the study has none, None where there can be none (a first stage, another factor).
    """

    model: str
    against: str
    factor: Factor
    implied: tuple[str, ...] = ()
    confounds: tuple[str, ...] = ()
    control: str | None = None


def pairs(models: Sequence[Model], merges: Sequence[Merge] = ()) -> list[Pair]:
    """Every two models that differ by one factor, by factor and then in the order given.

    Of several partners that would do as well (seeds, variants of a stage) the most alike is taken.
    """
    controls = {model.matched: model.address for model in models if model.matched}
    arms = [model for model in models if not model.matched]
    found = [pair for b, a in itertools.combinations(arms, 2) if (pair := _pair(a, b, controls) or _pair(b, a, controls)) is not None]
    found = _closest(found, {model.address: model.kind for model in arms})
    found += [pair for merge in merges for pair in _merged(merge, {model.address for model in models})]
    return sorted(found, key=lambda pair: FACTORS.index(pair.factor))


def _pair(a: Model, b: Model, controls: Mapping[str, str]) -> Pair | None:
    """`a` against `b` where they differ by one factor, else None."""
    keys, others = [stage.key for stage in a.stages], [stage.key for stage in b.stages]
    if a.start == b.start and keys and keys[:-1] == others:
        return Pair(a.address, b.address, "stage added", tuple(_added(a.stages[-1])), (), controls.get(a.address, "") if keys[1:] else None)
    if a.start == b.start and keys and others and keys[:-1] == others[:-1] and a.kind != b.kind:
        return Pair(a.address, b.address, "objective", *_other_objective(a.stages[-1], b.stages[-1]))
    if a.start != b.start and keys and a.kind[1:] == b.kind[1:]:
        return _other_start(a, b)
    return None


def _merged(merge: Merge, known: set[str]) -> Iterator[Pair]:
    """A merge against each of the models it is of, not against its base, which the merges have a table of their own for."""
    for model in merge.models:
        if model in known:
            others = [each for each in (merge.base, *merge.models) if each and each != model]
            yield Pair(merge.address, model, "merge", (f"merged by {merge.method} with {' and '.join(others)}",))


def _added(stage: Stage) -> Iterator[str]:
    """What the added stage brought."""
    yield f"{stage.spec.objective} on {stage.dataset}"
    for name, words in LEDGER.items():
        if name not in ("plan", "cut_tokens") and stage.ledger.get(name):
            yield f"{words} +{_show(stage.ledger[name])}"


def _other_objective(a: Stage, b: Stage) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Implied and confounding lines of two last stages with different objectives.

    An objective brings its own parameters, its own tokens to learn (so pairs and loss tokens) and its own cost. The plan's digest knows
    which tokens are learned too: where nothing else of the data differs, the objective explains it.
    """
    settings = _settings(a, b)
    implied = [f"objective: {a.spec.objective} against {b.spec.objective}"]
    for name in (*a.parameters, *(each for each in b.parameters if each not in a.parameters)):
        here, there = a.parameters.get(name), b.parameters.get(name)
        if here != there:
            (settings if name in a.parameters and name in b.parameters else implied).append(f"{name}: {_show(here)} against {_show(there)}")
    expected = COST | {"pairs", "loss_tokens"}
    if a.dataset_key == b.dataset_key and _same(a, b, DATA) and a.ledger.get("tokens") == b.ledger.get("tokens"):
        expected |= {"plan"}
    led = _ledgers(a, b, expected)
    return (*implied, *led[0]), (*settings, *led[1])


def _other_start(a: Model, b: Model) -> Pair:
    """Two models with the same objectives on two starts: what the starts' tokenizers make of the same data is implied."""
    sizes = [f"{name}: {a.config[name]} against {b.config[name]}" for name in SIZES if _differ(a.config, b.config, name)]
    family = all(a.config.get(name) == b.config.get(name) is not None for name in ("model_type", "vocab_size"))
    factor: Factor = "size" if sizes and family else "start"
    implied, confounds = [f"start: {a.start} against {b.start}", *sizes], []
    for here, there in zip(a.stages, b.stages, strict=True):
        expected = COST | (frozenset(LEDGER) if _same(here, there, DATA) and here.dataset_key == there.dataset_key else frozenset())
        if not _same(here, there, RATE):
            expected -= {"learning_rate_integral"}
        led = _ledgers(here, there, expected)
        name = f"{here.spec.objective}, " if len(a.stages) > 1 else ""
        parameters = [
            f"{key}: {_show(here.parameters.get(key))} against {_show(there.parameters.get(key))}"
            for key in {**here.parameters, **there.parameters}
            if here.parameters.get(key) != there.parameters.get(key)
        ]
        implied += [name + line for line in led[0]]
        confounds += [name + line for line in (*_settings(here, there), *parameters, *led[1])]
    return Pair(a.address, b.address, factor, tuple(implied), tuple(confounds))


def _settings(a: Stage, b: Stage) -> list[str]:
    """Lines of the settings that differ and bear on the weights: data first, then in the order of the study file."""
    lines = [f"dataset: {a.dataset} against {b.dataset}"] if a.dataset_key != b.dataset_key else []
    scheduled = "wsd" in (a.spec.schedule, b.spec.schedule)
    for name in TrainStep.model_fields:
        here, there = getattr(a.spec, name), getattr(b.spec, name)
        if here == there or name in IDLE or (name == "decay" and not scheduled):
            continue
        if name == "lora" and here is not None and there is not None:
            parts = here.model_dump(), there.model_dump()
            lines += [f"lora.{part}: {_show(parts[0][part])} against {_show(parts[1][part])}" for part in parts[0] if _differ(*parts, part)]
        else:
            lines.append(f"{name}: {_show(here)} against {_show(there)}")
    return lines


def _ledgers(a: Stage, b: Stage, expected: frozenset[str]) -> tuple[list[str], list[str]]:
    """Lines of the counted numbers that differ: those in `expected`, and the rest. A number that one of them lacks is no line."""
    lines: tuple[list[str], list[str]] = ([], [])
    for name, words in LEDGER.items():
        if _differ(a.ledger, b.ledger, name):
            lines[name not in expected].append(f"{words}: {_show(a.ledger[name])} against {_show(b.ledger[name])}")
    return lines


def _same(a: Stage, b: Stage, names: frozenset[str]) -> bool:
    return all(getattr(a.spec, name) == getattr(b.spec, name) for name in names)


def _differ(a: Mapping[str, Any], b: Mapping[str, Any], name: str) -> bool:
    """Whether both say something of `name`, and not the same."""
    return a.get(name) is not None and b.get(name) is not None and a[name] != b[name]


def _show(value: Any) -> str:
    """A value as people write it: digests cut, large numbers grouped."""
    if value is None:
        return "none"
    if isinstance(value, bool | str):
        return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)
    if isinstance(value, int | float):
        return f"{value:.3g}" if abs(value) >= 1e9 else f"{value:g}" if isinstance(value, float) else f"{value:,}"
    if hasattr(value, "model_dump"):
        return ", ".join(f"{name} {_show(part)}" for name, part in value.model_dump(exclude_defaults=True).items()) or "by default"
    return str(value)


def _closest(found: Sequence[Pair], kinds: Mapping[str, tuple[str, ...]]) -> list[Pair]:
    """Without the pairs whose two models both have a partner of the same kind that is more alike."""
    fewest: dict[tuple[str, Factor, tuple[str, ...]], int] = {}
    for pair in found:
        for one, other in ((pair.model, pair.against), (pair.against, pair.model)):
            place = (one, pair.factor, kinds[other])
            fewest[place] = min(fewest.get(place, len(pair.confounds)), len(pair.confounds))

    def closest(pair: Pair) -> bool:
        here, there = (pair.model, pair.factor, kinds[pair.against]), (pair.against, pair.factor, kinds[pair.model])
        return len(pair.confounds) in (fewest[here], fewest[there])

    return [pair for pair in found if closest(pair)]
