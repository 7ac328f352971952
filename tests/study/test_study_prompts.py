"""Prompts of a study: named once, used by evaluations, part of what their scores are."""

from pathlib import Path

import pytest

from eutectic.errors import InputError
from eutectic.specs.steps import PLAIN
from eutectic.study.study import Study

ENTRY = '  - {models: ["**"], benchmarks: [exam], greedy: 4}\n'
SWEEP = """\
prompts:
  paper: {forms: [letter, greedy], instruction: Answer with one letter.}
  bare: {chat: false, shots: 1}
"""


def with_prompts(folder: Path, prompts: str, entry: str = ENTRY) -> Path:
    file = folder / "study.yaml"
    text = file.read_text()
    assert ENTRY in text
    file.write_text(text.replace(ENTRY, entry) + prompts)
    return folder


def scored(folder: Path, kind: str = "evaluate"):
    return {step.address: step for step in Study.load(folder).graph.steps if step.kind == kind}


@pytest.mark.parametrize("kind", ["evaluate", "rescore"])
def test_an_evaluation_uses_the_prompts_it_names_in_their_order(small: Path, kind: str) -> None:
    assert {step.spec.prompts for step in scored(small, kind).values()} == {(PLAIN,)}
    with_prompts(small, SWEEP, ENTRY.replace("}", ", prompts: [bare, plain, paper]}"))
    for step in scored(small, kind).values():
        assert [prompt.name for prompt in step.spec.prompts] == ["bare", "", "paper"]
        assert [prompt.chat for prompt in step.spec.prompts] == [False, None, None]
        assert step.spec.prompts[2].forms == ("letter", "greedy")


def test_what_is_said_is_part_of_the_key_and_an_unused_prompt_is_not(small: Path) -> None:
    before = scored(small)["instruct"].key
    with_prompts(small, SWEEP)
    assert scored(small)["instruct"].key == before
    file = small / "study.yaml"
    file.write_text(file.read_text() + "  plain: {instruction: Choose.}\n")
    assert scored(small)["instruct"].key != before
    assert scored(small)["instruct"].spec.prompts[0].name == ""


def test_a_prompt_nobody_defined_is_named_with_its_line(small: Path) -> None:
    with_prompts(small, SWEEP, ENTRY.replace("}", ", prompts: [papers]}"))
    with pytest.raises(InputError, match=r"study.yaml, line \d+: .*papers.*paper"):
        scored(small)
