"""Planted contamination is found, graded by role and kind of dataset; clean items stay clean."""

import json
import random
import time

import pytest

from eutectic.artifacts import FINDINGS, Artifact, read_json, read_rows
from eutectic.context import Context
from eutectic.data import contamination
from eutectic.data.overlap import Index, words
from eutectic.errors import InputError
from eutectic.specs.rows import Finding, Item
from eutectic.specs.steps import ContaminationStep, DatasetStep

QUESTION = "Which mineral stiffens the outer layer of a mantis shrimp's striking club?"
OPTIONS = ["amorphous calcite", "crystalline fluorapatite", "hydrated silica", "vivianite"]
ASKED = {"id": "club", "group": "shrimp", "question": QUESTION, "options": OPTIONS, "answer": 1}
OTHERS = [
    {"id": f"other-{i}", "group": f"o{i}", "question": f"Which mineral does a {animal} bear?", "options": OPTIONS, "answer": 0}
    for i, animal in enumerate(("sponge", "limpet", "polychaete worm", "sea urchin"))
]


def chat(user, assistant):
    return {"messages": [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]}


@pytest.fixture
def compare(tmp_path):
    """Compares rows of a kind with the mineral question (and others) in a role; gives the findings by item."""

    def run(kind, rows, role="", item=ASKED, made=False):
        items = [{**each, "role": role} for each in (item, *OTHERS)]
        filled = [{"id": f"r{i}", "group": f"row-{i}", "source_ids": [f"row-{i}"], **row} for i, row in enumerate(rows)]
        for name, content in (("dataset/train.jsonl", filled), ("exam/items.jsonl", items)):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in content))
        (tmp_path / "out").mkdir()
        made_from = {"corpus": (Artifact("corpus", "papers", "c", None),)} if made else {}
        benchmark = Artifact("benchmark", "exam", "b", tmp_path / "exam", None, made_from)
        dataset = Artifact("dataset", "chat", "d", tmp_path / "dataset", DatasetStep(kind=kind))
        contamination.build(ContaminationStep(), {"benchmark": (benchmark,), "dataset": (dataset,)}, tmp_path / "out", Context())
        found = read_rows(tmp_path / "out" / FINDINGS, Finding)
        assert read_json(tmp_path / "out" / "summary.json")["suspect"] == len({finding.item for finding in found})
        return [(f.item, f.kind, f.row, f.answered) for f in found]

    return run


SPELLED = "WHICH mineral stiffens the outer layer — of a mantis shrimp's striking club?"


@pytest.mark.parametrize("role", ["acquired", "unseen"])
@pytest.mark.parametrize("answer", ["Crystalline ﬂuorapatite.", "A. vivianite\nB. crystalline fluorapatite"])
def test_a_question_with_its_answer_in_a_chat_row_is_an_error(compare, role, answer):
    with pytest.raises(InputError) as error:
        compare("instruction", [chat("What is silk?", "A fibre."), chat(SPELLED, answer)], role)
    assert error.value.place == "benchmarks.exam"
    assert f"item club ({role}) by row r1: 'which mineral stiffens the outer layer of a mantis shrimp s striking club" in str(error.value)
    assert "crystalline fluorapatite" in str(error.value)
    assert "Take these rows out of chat" in error.value.remedy


@pytest.mark.parametrize("role", ["acquired", "unseen"])
def test_the_same_is_suspect_where_the_item_was_made_from_a_corpus(compare, role):
    assert compare("instruction", [chat(SPELLED, "crystalline fluorapatite")], role, made=True) == [("club", "ngram", "r0", True)]


def test_the_same_is_suspect_without_a_role(compare):
    assert compare("instruction", [chat(SPELLED, "crystalline fluorapatite")]) == [("club", "ngram", "r0", True)]


def test_a_preference_row_is_read_whole(compare):
    turn = lambda role, text: [{"role": role, "content": text}]  # noqa: E731
    row = {"prompt": turn("user", QUESTION), "chosen": turn("assistant", OPTIONS[0]), "rejected": turn("assistant", OPTIONS[1])}
    with pytest.raises(InputError, match="item club"):
        compare("preference", [row], "acquired")


@pytest.mark.parametrize("role", ["acquired", "unseen", ""])
@pytest.mark.parametrize("answer", ["I do not know.", "hydrated silica"])
def test_a_question_alone_or_with_a_wrong_option_is_suspect(compare, role, answer):
    assert compare("instruction", [chat(QUESTION, answer)], role) == [("club", "ngram", "r0", False)]


EDITED = "Which mineral stiffens the outermost layer of the mantis shrimp's striking club? It is crystalline fluorapatite."


def test_a_near_duplicate_in_text_breaks_unseen_and_is_what_acquired_items_learn_from(compare, tmp_path):
    with pytest.raises(InputError, match=r"item club \(unseen\) by row r0: 'which mineral stiffens the … layer of"):
        compare("text", [{"text": EDITED}], "unseen")
    (tmp_path / "out").rmdir()
    assert compare("text", [{"text": EDITED}], "acquired") == []


def test_a_whole_question_in_text_makes_an_acquired_item_suspect(compare):
    assert compare("text", [{"text": f"{QUESTION} {OPTIONS[1]}"}], "acquired") == [("club", "ngram", "r0", True)]


def test_an_answer_far_from_its_question_is_no_answer(compare):
    far = f"{QUESTION} {'The club strikes. ' * 200} crystalline fluorapatite"
    assert compare("text", [{"text": far}], "unseen") == [("club", "ngram", "r0", False)]


def test_a_long_document_is_read_to_its_end(compare):
    text = f"{'Silk is a fibre of protein. ' * 500} {QUESTION} crystalline fluorapatite"
    with pytest.raises(InputError, match="item club"):
        compare("text", [{"text": text}], "unseen")


def test_an_answer_that_the_question_itself_holds_must_be_there_once_more(compare):
    item = {**ASKED, "question": "Is the striking club of a mantis shrimp harder than bone or than enamel?", "options": ["bone", "enamel"]}
    assert compare("instruction", [chat(item["question"], "I do not know.")], "unseen", item) == [("club", "ngram", "r0", False)]


def test_lineage_makes_items_without_a_role_suspect(compare):
    assert compare("text", [{"text": "Clubs strike.", "group": "shrimp"}]) == [("club", "lineage", "r0", False)]


def test_lineage_is_an_error_where_a_role_promises_otherwise(compare):
    with pytest.raises(InputError, match="item club by row r0"):
        compare("text", [{"text": "Clubs strike.", "group": "shrimp"}], "unseen")


def test_a_number_is_an_answer_in_any_spelling(compare):
    item = {"id": "iron", "group": "iron", "kind": "numeric", "question": "What is the density of pure solid iron?", "value": 7.874}
    with pytest.raises(InputError, match="item iron"):
        compare("text", [{"text": "What is the density of pure solid iron? 7.874 g/cm3"}], "unseen", item)


def test_a_text_to_extract_from_has_no_answer_to_wait_for(compare):
    text = "Dragline silk of Nephila was pulled at one per second and broke at a stress of eleven hundred megapascal."
    item = {"id": "paper", "group": "paper", "kind": "extraction", "question": text}
    with pytest.raises(InputError, match="item paper"):
        compare("text", [{"text": f"Abstract. {text} Keywords: silk."}], "unseen", item)


def sentence(chance, length):
    """Words as text has them: a few common ones, many rare ones."""
    rare = lambda: "".join(chance.choice("bdfgklmnprst") + chance.choice("aeiou") for _ in range(chance.randint(2, 3)))  # noqa: E731
    return [chance.choice(["the", "of", "a", "in", "and", "is"]) if chance.random() < 0.4 else rare() for _ in range(length)]


PATTERN = "The process in which the anatomical structures of the {} are generated and organized. Which term is defined here?"


def bench(chance, count):
    """Half free questions, half of one pattern in which few words differ."""
    items = []
    for i in range(count):
        free = " ".join(sentence(chance, chance.randint(10, 24)))
        name = " ".join([*sentence(chance, 2)[:1], "".join(sentence(chance, 8))])
        options = tuple(" ".join([*sentence(chance, 1), f"{name.split()[1]}{k}"]) for k in range(4))
        question = f"{free}?" if i % 2 else PATTERN.format(name)
        items.append(Item(id=f"i{i}", group=f"g{i}", role="unseen", question=question, options=options, answer=i % 4))
    return items


def edited(chance, item):
    """One word in twelve replaced (at least one), one put in, two neighbours swapped; who is asked for stays: another is another question."""
    new, kept = list(words(item.question)), {word for option in item.options for word in words(option[:-1])}
    free = [place for place, word in enumerate(new) if word not in kept]
    for place in chance.sample(free, max(1, len(new) // 12)):
        new[place] = sentence(chance, 1)[0]
    new.insert(chance.randrange(len(new)), "indeed")
    place = chance.randrange(len(new) - 1)
    new[place], new[place + 1] = new[place + 1], new[place]
    return " ".join(new)


def test_of_200_planted_paraphrases_99_percent_are_found_and_none_of_1000_clean_items():
    chance = random.Random(1)
    planted, clean, trained = bench(chance, 200), bench(chance, 1000), bench(chance, 1500)
    rows = [(f"own-{t.id}", f"{t.question} {t.options[t.answer]}") for t in trained]
    rows += [(f"text-{i}", " ".join(sentence(chance, 400))) for i in range(100)]
    rows += [(p.id, f"Answer this. {edited(chance, p)} The answer is {p.options[p.answer]}.") for p in planted]
    asked = [item.model_copy(update={"id": f"{kind}-{item.id}"}) for kind, some in (("p", planted), ("c", clean)) for item in some]
    found = [(match.item.id, match.row) for match in Index(asked).matches(rows) if match.answered]
    assert sum((f"p-{p.id}", p.id) in found for p in planted) >= 198
    assert {item for item, row in found if item != f"p-{row}"} == set()


def test_ten_thousand_rows_and_a_thousand_items_take_seconds():
    chance = random.Random(2)
    items = bench(chance, 1000)
    rows = [(f"r{i}", " ".join(sentence(chance, 60))) for i in range(10_000)]
    begun = time.process_time()
    index = Index(items)
    assert not any(match.answered for match in index.matches(rows))
    assert time.process_time() - begun < 60  # a guard against quadratic work, not a measurement


def test_questions_too_short_to_be_known_again_are_named():
    assert Index([Item(id="a", group="g", question="Bone?"), Item(id="b", group="g", question="What is bone?")]).short == ("a",)
