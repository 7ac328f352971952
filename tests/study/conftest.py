"""A small but whole study: a tiny random model, every objective, merges with controls, scores, a conversation, image prompts."""

import json
import shutil
from pathlib import Path

import pytest

from eutectic.context import Context
from eutectic.study.study import Study

STUDY = """\
study: small
seed: 17
models:
  instruct: {path: model}
corpora:
  papers: {files: "papers/*.txt"}
datasets:
  text: {kind: text, corpus: papers}
  chat: {kind: instruction, files: chat.jsonl}
  pairs: {kind: preference, files: pairs.jsonl}
stages:
  cpt: {objective: cpt, dataset: text, learning_rate: 1e-3, epochs: 2, batch: 2, sequence: 64}
  sft: {objective: sft, dataset: chat, learning_rate: 1e-3, batch: 2, sequence: 128}
  dpo: {objective: dpo, dataset: pairs, learning_rate: 1e-4, batch: 4, sequence: 128, beta: 0.1}
  orpo: {objective: orpo, dataset: pairs, learning_rate: 1e-4, batch: 4, sequence: 128, beta: 0.1}
chains:
  - {models: [instruct], stages: [cpt, cpt-sft, cpt-sft-dpo, cpt-sft-orpo]}
merges:
  paper:
    method: slerp
    base: instruct
    each: ["*/cpt-sft-*"]
    parameters: {t: [{filter: self_attn, value: [0, 0.5, 1]}, {filter: mlp, value: [1, 0.5, 0]}, 0.5]}
  grid: {method: linear, base: instruct, each: [instruct/cpt-sft-dpo], sweep: {t: [0.5, 1.25]}}
  blend: {method: ties, base: instruct, models: [instruct/cpt-sft-dpo, instruct/cpt-sft-orpo], parameters: {weight: 1.0, density: 0.5}}
benchmarks:
  exam: {file: exam.jsonl, dev: 0.2}
evaluations:
  - {models: ["**"], benchmarks: [exam], greedy: 4}
conversations:
  talk: {models: [instruct, instruct/cpt-sft], script: talk.yaml}
image_prompts:
  leaf: {models: [instruct/cpt-sft], concepts: [spider silk, collagen], styles: [microstructure]}
"""

TALK = """\
system: You are a materials scientist.
turns:
  - How do silk and collagen relate?
  - Summarise it.
sampling: {temperature: 0.2, top_p: 0.9, repetition_penalty: 1.1}
max_new_tokens: 6
"""

FACTS = [
    ("spider silk", "protein fibre"), ("collagen", "triple helix"), ("nacre", "aragonite composite"), ("bone", "mineralised tissue"),
    ("leaf vein", "water channel"), ("beta sheet", "crystalline block"), ("fibril", "collagen bundle"), ("tablet", "aragonite brick"),
]  # fmt: skip


def write_rows(file: Path, rows: list[dict]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def small(tmp_path: Path, tiny: Path) -> Path:
    """The folder of a small study that nothing has been made of yet."""
    return write_study(tmp_path / "small", tiny)


@pytest.fixture(scope="session")
def run_once(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """The small study, run to its end without interruption on one thread; do not write into it."""
    folder = write_study(tmp_path_factory.mktemp("run") / "small", tiny)
    Study.load(folder).run(Context(threads=1))
    return folder


SAID = (
    "The {name} is a {meaning}.",
    "A {meaning} that scientists study is called {name}.",
    "Under the microscope {name} shows layers, as one expects of a {meaning}.",
    "When it dries, {name} shrinks by a tenth; wet again, this {meaning} swells.",
    "Few would guess that {name}, being a {meaning}, bears so much load.",
    "Loads on {name} are carried by fibres that no other {meaning} has.",
    "Engineers copy {name} because a {meaning} of little mass is wanted.",
    "Heat harms {name}: above sixty degrees the {meaning} loses its strength.",
    "Old texts speak of {name} as if every {meaning} were alike.",
    "We tested {name} in tension and found what a {meaning} should give.",
    "A cut through {name} tells more of the {meaning} than its surface.",
    "So much for {name}; another {meaning} may differ.",
)


def write_study(folder: Path, tiny: Path) -> Path:
    """Write the study's files."""
    (folder / "papers").mkdir(parents=True)
    shutil.copytree(tiny, folder / "model")
    config = folder / "model" / "config.json"  # image prompts are longer than the other tests' context of 512
    config.write_text(config.read_text().replace('"max_position_embeddings": 512', '"max_position_embeddings": 4096'))
    (folder / "study.yaml").write_text(STUDY)
    (folder / "talk.yaml").write_text(TALK)
    for number, (name, meaning) in enumerate(FACTS):
        (folder / "papers" / f"{number}.txt").write_text(" ".join(SAID).format(name=name, meaning=meaning))
    user = lambda name: {"role": "user", "content": f"What is {name}?"}  # noqa: E731
    answer = lambda text: {"role": "assistant", "content": f"It is a {text}."}  # noqa: E731
    write_rows(folder / "chat.jsonl", [{"messages": [user(n), answer(m)]} for n, m in FACTS])
    pairs = zip(FACTS, FACTS[1:] + FACTS[:1], strict=True)
    write_rows(folder / "pairs.jsonl", [{"prompt": [user(n)], "chosen": [answer(m)], "rejected": [answer(w)]} for (n, m), (_, w) in pairs])
    options = [meaning for _, meaning in FACTS[:4]]
    write_rows(
        folder / "exam.jsonl",
        [
            {"id": f"q{i}", "group": f"g{i}", "question": f"What is {name}?", "options": options, "answer": i % 4}
            for i, (name, _) in enumerate(FACTS)
        ],
    )
    return folder
