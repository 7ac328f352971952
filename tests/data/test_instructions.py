"""Instruction rows ask in the very words in which evaluation will: the rooms may not import each other, so a test holds them together."""

from eutectic.data import instructions
from eutectic.evaluate import prompts
from eutectic.specs.rows import Item, Message
from eutectic.specs.steps import PLAIN


def asked_in_words(item: Item) -> list[Message]:
    return prompts.conversation(PLAIN, item, "greedy", prompts.order(item))


def test_questions_by_letter_are_worded_as_in_evaluation() -> None:
    item = Item(id="q", group="g", question="What is nacre?", options=("one", "two", "three", "four"), answer=0)
    asked = asked_in_words(item)[0].content.splitlines()
    row = instructions._letter_row(item).messages[0].content.splitlines()
    assert asked[:3] == row[:3]
    assert [line[:3] for line in asked[3:]] == [line[:3] for line in row[3:]]


def test_questions_for_numbers_are_worded_as_in_evaluation() -> None:
    with_unit = Item(id="q", group="g", kind="numeric", question="What is the density of gold?", value=19.3, unit="g/cm**3")
    assert asked_in_words(with_unit)[0].content.startswith(instructions.NUMBER_AND_UNIT.format(unit="g/cm**3") + "\n\n")
    bare = with_unit.model_copy(update={"unit": ""})
    assert asked_in_words(bare)[0].content.startswith(instructions.NUMBER_ONLY + "\n\n")
