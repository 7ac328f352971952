"""Records read out of answers, and fields counted against gold ones."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eutectic.evaluate.answer import read as judge
from eutectic.evaluate.extraction import Count, counts, read, restored, written
from eutectic.specs.rows import Extracted, Item

SILK = Extracted(material="dragline silk", property="tensile strength", value=1.15, unit="GPa", method="tensile testing")
NACRE = Extracted(material="nacre", property="Young's modulus", value=70, unit="GPa")
BONE = Extracted(material="cortical bone", property="Young's modulus", value=20, unit="GPa", method="nanoindentation")
GOLD = (SILK, NACRE, BONE)
ASKED = json.dumps([{**SILK.model_dump()}])


def total(gold, found, tolerance=0.01) -> Count:
    return sum(counts(gold, found, tolerance).values(), Count())


def test_json_of_the_schema_keeps_the_form():
    assert read(ASKED) == ((SILK,), True)
    assert read(ASKED.replace('"GPa"', "null")) == ((SILK.model_copy(update={"unit": ""}),), True)


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{ASKED}\n```",
        f"Here you are: {ASKED} Anything else?",
        ASKED[1:-1],
        ASKED[:-1] + ', {"material": "nac',
        ASKED.replace("}", ",}"),
        ASKED.replace("1.15", '"1.15"'),
        ASKED.replace("1.15", '"1.15 GPa"').replace('"unit": "GPa"', '"unit": ""'),
        ASKED.replace('"material"', '"Material"'),
        ASKED.replace("}", ', "page": 3}'),
    ],
)
def test_what_was_meant_is_read_although_the_form_is_broken(text):
    assert read(text) == ((SILK,), False)


@pytest.mark.parametrize(
    "text", ["", "no records", "[1, 2]", "{", '[{"value": 3}]', ASKED.replace("1.15", "1e999").replace("dragline silk", "")]
)
def test_what_is_no_record_is_none_or_has_no_value(text):
    records, strict = read(text)
    assert not strict
    assert all(record.value is None for record in records)


def test_fields_are_right_after_conversion_and_normalisation():
    found = (
        Extracted(material="Dragline Silk", property="the tensile strength", value=1150, unit="MPa", method="Tensile testing."),
        Extracted(material="cortical bone", property="Young's modulus", value=25, unit="GPa"),
    )
    by_field = counts(GOLD, found, 0.01)
    assert by_field["material"] == Count(2, 2, 3)
    assert by_field["value"] == Count(1, 2, 3)
    assert by_field["unit"] == Count(2, 2, 3)
    assert by_field["method"] == Count(1, 1, 2)
    whole = total(GOLD, found)
    assert (whole.precision, whole.recall) == (8 / 9, 8 / 14)
    assert whole.f1 == pytest.approx(2 / (9 / 8 + 14 / 8))


def test_a_unit_of_another_dimension_makes_unit_and_value_wrong():
    by_field = counts((SILK,), (SILK.model_copy(update={"unit": "kg"}),), 0.01)
    assert by_field["unit"].right == by_field["value"].right == 0
    assert by_field["material"].right == 1


def test_a_record_said_twice_is_right_once():
    assert total((SILK,), (SILK, SILK)) == Count(5, 10, 5)


def test_an_item_scores_the_f1_of_its_fields():
    item = Item(id="e", group="g", kind="extraction", question="q", records=(SILK, NACRE), tolerance=0.01)
    parsed = judge(item, ASKED)
    assert parsed.score == pytest.approx(2 * 5 / (5 + 9))
    assert not parsed.format_failure
    assert restored(parsed.text) == (SILK,)


@given(st.permutations(GOLD), st.integers(0, 3))
def test_order_does_not_count_and_the_whole_truth_is_one(order, kept):
    assert total(GOLD, order).f1 == 1
    some = total(GOLD, order[:kept])
    assert some.precision == (1 if kept else 0)
    assert some.recall == pytest.approx(some.answered / 14)
    assert restored(written(order)) == tuple(order)
