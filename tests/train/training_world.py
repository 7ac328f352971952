"""A small world to train in, without fixtures: text, conversations and pairs over the words of the tiny tokenizer."""

import json
from pathlib import Path

from eutectic.artifacts import Artifact, Parents
from eutectic.context import Context
from eutectic.specs.steps import ReferenceStep, TrainStep
from eutectic.train import objectives, reference

WORDS = ["silk", "collagen", "nacre", "bone", "leaf", "protein", "fibre", "tissue", "composite", "matrix"]


def rows(kind: str, count: int, start: int = 0) -> list[dict]:
    made = []
    for i in range(start, start + count):
        one, other, third = WORDS[i % 10], WORDS[(i * 3 + 1) % 10], WORDS[(i * 7 + 2) % 10]
        common = {"id": f"{kind}{i}", "source_ids": [f"s{i}"], "group": f"g{i % 5}"}
        ask = [{"role": "user", "content": f"What is {one}?"}]
        answers = [[{"role": "assistant", "content": f"A {word} {one}."}] for word in (other, f"{third} and")]
        made.append(
            {
                "text": common | {"text": f"The {one} is a {other} of {third}. " * (1 + i % 4)},
                "instruction": common | {"messages": ask + answers[0]},
                "preference": common | {"prompt": ask, "chosen": answers[0], "rejected": answers[1]},
            }[kind]
        )
    return made


def write(file: Path, made: list[dict]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in made))


KINDS = {"cpt": "text", "sft": "instruction", "dpo": "preference", "orpo": "preference", "simpo": "preference"}


def step(objective: str, **changes) -> TrainStep:
    return TrainStep(**({"objective": objective, "learning_rate": 1e-3, "batch": 4, "sequence": 128, "epochs": 2, "seed": 3} | changes))


def parents(model: Path, dataset: Path, spec: TrainStep | None = None, out: Path | None = None) -> Parents:
    """Parents of a stage; for one that wants a reference, worked out in `out`, if `spec` is given."""
    found = {"model": (Artifact("checkpoint", "start", "a" * 64, model),), "dataset": (Artifact("dataset", "data", "b" * 64, dataset),)}
    if spec is None or not objectives.find(spec.objective).reference:
        return found
    out.mkdir(exist_ok=True)
    reference.build(reference_step(spec), found, out, Context(threads=1))
    return found | {"reference": (Artifact("reference_logprobs", "reference", "c" * 64, out),)}


def reference_step(spec: TrainStep) -> ReferenceStep:
    return ReferenceStep(**{name: getattr(spec, name) for name in ReferenceStep.model_fields})
