import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eutectic.artifacts import DOCUMENTS, read_rows
from eutectic.data import options, questions
from eutectic.data.ontology import content_words
from eutectic.specs.rows import Document


@pytest.fixture
def items(materials):
    documents = read_rows(materials.path / DOCUMENTS, Document)
    return questions.items(documents, "", {d.group: "test" for d in documents}, seed=1)


def test_every_direction_is_asked(items):
    assert {item.topic for item in items} == set(questions.STEMS)


def test_answers_are_true_and_distractors_false(items, materials):
    documents = {d.id: d for d in read_rows(materials.path / DOCUMENTS, Document)}
    for item in items:
        document = documents[item.source_ids[0]]
        true = {document.term.name, document.term.definition, document.group}
        assert item.options[item.answer] in true
        assert len(set(item.options)) == 4
        assert len(true & set(item.options)) == 1


def test_members_of_the_asked_class_are_no_distractors(items, materials):
    documents = read_rows(materials.path / DOCUMENTS, Document)
    for item in items:
        if item.topic == "class to term":
            members = {d.term.name for d in documents if item.group in d.term.ancestors}
            assert len(members & set(item.options)) == 1


def test_no_word_betrays_an_option(items):
    for item in items:
        asked = content_words(item.question)
        shared = [content_words(text) & asked for text in item.options]
        for word in set().union(*shared):
            assert sum(word in words for words in shared) > 1
        assert len(shared[item.answer]) <= max(len(words) for i, words in enumerate(shared) if i != item.answer)


def test_length_is_no_strategy(items):
    found = options.baselines((item.options, item.answer) for item in items)
    assert 0.1 < found["shortest_option"] < 0.4
    assert 0.1 < found["longest_option"] < 0.4


def test_answers_stand_everywhere(items):
    places = [sum(item.answer == place for item in items) for place in range(4)]
    assert min(places) > 0.15 * len(items)


def test_no_sound_set_gives_none():
    ask = options.Ask("t", "Which bone is long?", "femur bone", [["tibia", "ulna", "skull"]], 1.0)
    assert options.choose(ask, 0, "x") is None  # `bone` would stand in the answer alone


WORDS = st.frozensets(st.sampled_from(["bone", "tooth", "shell", "silk"]), max_size=3)


@given(WORDS, st.lists(WORDS, min_size=3, max_size=3))
def test_traceless_is_the_stated_rule(answer, others):
    alone = any(sum(word in words for words in (answer, *others)) == 1 for word in frozenset().union(answer, *others))
    assert options.traceless(answer, others) == (not alone and len(answer) <= max(map(len, others)))


def test_baselines_count_ties_by_chance():
    assert options.baselines([(("a", "b", "cc", "dd"), 0)]) == {"shortest_option": 0.5, "longest_option": 0.0}
    assert options.baselines([]) == {}


def test_the_wanted_place_among_lengths_is_met_where_it_can_be():
    pool = ["x" * n for n in range(1, 40)]
    ranks = []
    for number in range(60):
        ask = options.Ask("t", "?", "y" * 20, [pool], 1.0)
        chosen = options.choose(ask, 0, f"item {number}")
        ranks.append(sorted(map(len, chosen)).index(20))
    assert {rank for rank, _ in itertools.groupby(sorted(ranks))} == {0, 1, 2, 3}
