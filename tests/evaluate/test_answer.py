import pytest

from eutectic.evaluate.answer import lenient_letter, read
from eutectic.evaluate.prompts import order
from eutectic.specs.rows import Item

CHOICE = Item(id="q", group="g", question="What is nacre?", options=("aragonite and protein", "calcite", "bone", "spongy bone"), answer=0)
RIGHT = "ABCD"[order(CHOICE).index(0)]
IRON = Item(id="n", group="g", kind="numeric", question="Melting point of iron?", value=1811.0, unit="kelvin", tolerance=0.02)


@pytest.mark.parametrize("text", [RIGHT, f"{RIGHT}.", f" {RIGHT})\n"])
def test_a_letter_alone_keeps_the_form(text):
    parsed = read(CHOICE, text)
    assert (parsed.score, parsed.format_failure, parsed.text, parsed.choice) == (True, False, RIGHT, 0)


@pytest.mark.parametrize(
    "text",
    [f"Answer: {RIGHT}", f"The answer is {RIGHT}.", f"({RIGHT}) aragonite", f"{RIGHT}. aragonite and protein", f"**{RIGHT}**", f"option {RIGHT.lower()}",
     "Nacre is aragonite and protein.", f"{RIGHT}: because of layers"],
)  # fmt: skip
def test_a_letter_in_talk_is_understood_but_breaks_the_form(text):
    parsed = read(CHOICE, text)
    assert (parsed.score, parsed.format_failure) == (True, True)


@pytest.mark.parametrize(
    "text", ["", "I do not know", "A bird has feathers" if RIGHT != "A" else "the bird", "A, B or C", "calcite or bone"]
)
def test_what_cannot_be_understood_is_wrong(text):
    parsed = read(CHOICE, text)
    assert parsed.format_failure
    if text != "A bird has feathers":
        assert parsed.choice is None


def test_the_longer_of_two_quoted_options_is_meant():
    letter = lenient_letter(CHOICE, "It is spongy bone")
    assert order(CHOICE)["ABCD".index(letter)] == 3


@pytest.mark.parametrize("text", ["1811 kelvin", "1811 K", "1538 °C", "1538 degC", "1.811e3 K", "1,811 K", "1.811 × 10^3 K", "1790 K."])
def test_a_number_with_its_unit_is_converted_and_compared(text):
    parsed = read(IRON, text)
    assert (parsed.score, parsed.format_failure) == (True, False), parsed


@pytest.mark.parametrize("text", ["It melts at 1538 °C, roughly.", "about 1811 K", "1811"])
def test_a_number_in_talk_or_bare_is_understood_but_breaks_the_form(text):
    parsed = read(IRON, text)
    assert (parsed.score, parsed.format_failure) == (True, True), parsed


@pytest.mark.parametrize("text", ["1700 K", "1811 °C", "1811 kg", "", "hot", "-1811 K"])
def test_wrong_values_units_and_dimensions_are_wrong(text):
    assert not read(IRON, text).score


def test_a_dimensionless_number():
    item = Item(id="z", group="g", kind="numeric", question="Electronegativity?", value=2.55, tolerance=0.05)
    assert read(item, "2.5").score
    assert not read(item, "2.5").format_failure
    assert read(item, "It is 2.55 on Pauling's scale").score


TRUE_FALSE = Item(id="t", group="g", kind="true_false", question="Nacre is a metal.", options=("True", "False"), answer=1)
SHORT = Item(id="s", group="g", kind="short", question="The protein of tendons?", answers=("collagen", "type I collagen"))


@pytest.mark.parametrize(
    ("text", "score", "failure"),
    [("False", 1, False), (" false.", 1, False), ("No, it is not.", 1, True), ("It is not true.", 1, True), ("True", 0, False), ("True or false?", 0, True), ("", 0, True)],
)  # fmt: skip
def test_true_and_false(text, score, failure):
    parsed = read(TRUE_FALSE, text)
    assert (parsed.score, parsed.format_failure) == (score, failure), parsed


@pytest.mark.parametrize(
    ("text", "score", "failure"),
    [("Collagen", 1, False), ("the collagen.", 1, False), ("Type-I collagen", 1, False), ("Tendons are made of collagen.", 1, True),
     ("not collagen", 0, False), ("collagen or keratin", 0, False), ("keratin", 0, False), ("I could tell you many things about tendons and more", 0, True)],
)  # fmt: skip
def test_short_answers(text, score, failure):
    parsed = read(SHORT, text)
    assert (parsed.score, parsed.format_failure) == (score, failure), parsed
