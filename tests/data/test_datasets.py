import itertools
import json

import pytest
from example_ontology import make_corpus, source

from eutectic.artifacts import CARD, DEV, DOCUMENTS, HELD_OUT, ITEMS, TRAIN, Artifact, read_rows
from eutectic.context import Context
from eutectic.data import benchmarks, datasets, mix
from eutectic.data.formats import SCHEMAS
from eutectic.errors import InputError
from eutectic.specs.rows import Document, Item, PreferenceRow, TextRow
from eutectic.specs.steps import BenchmarkStep, DatasetStep, MixShare


@pytest.fixture
def reserved(tmp_path, materials):
    folder = tmp_path / "acquired"
    folder.mkdir()
    benchmarks.build(BenchmarkStep(role="acquired"), {"corpus": (materials,)}, folder, Context())
    return Artifact("benchmark", "acquired", "key", folder)


def build(folder, parents, **settings):
    folder.mkdir()
    spec = DatasetStep.model_validate(settings)
    datasets.check(spec, parents)
    summary = datasets.build(spec, parents, folder, Context())
    schema = SCHEMAS[spec.kind]
    return read_rows(folder / TRAIN, schema), read_rows(folder / HELD_OUT, schema), summary


@pytest.mark.parametrize("kind", ["text", "instruction", "preference"])
def test_held_out_groups_stay_out_of_training(tmp_path, materials, reserved, kind):
    held = {d.id for d in read_rows(materials.path / DOCUMENTS, Document) if d.held_out}
    train, held_out, _ = build(tmp_path / kind, {"sources": (materials,), "reserved": (reserved,)}, kind=kind)
    assert train
    assert not held & {i for row in train for i in row.source_ids}
    assert held_out
    assert {i for row in held_out for i in row.source_ids} <= held


@pytest.mark.parametrize("kind", ["instruction", "preference"])
def test_no_row_shares_a_stem_with_its_answer(tmp_path, materials, reserved, kind):
    train, _, _ = build(tmp_path / kind, {"sources": (materials,), "reserved": (reserved,)}, kind=kind)
    items = read_rows(reserved.path / ITEMS, Item)
    assert not {i for item in items for i in item.source_ids} & {i for row in train for i in row.source_ids}
    texts = [row.model_dump_json() for row in train]
    for item in items:
        if item.topic in ("definition to term", "term to definition"):
            answer, stem = (
                item.options[item.answer],
                item.question.split(" Which term is")[0].removeprefix("How is ").removesuffix(" defined?"),
            )
            assert not any(answer in text and stem in text for text in texts)


def test_every_fact_in_all_wordings_and_both_directions(tmp_path, materials):
    train, _, _ = build(tmp_path / "text", {"sources": (materials,)}, kind="text", wordings=4)
    documents = {d.id: d for d in read_rows(materials.path / DOCUMENTS, Document)}
    key = lambda row: row.source_ids[0]  # noqa: E731
    for identity, group in itertools.groupby(sorted(train, key=key), key=key):
        term = documents[identity].term
        texts = [row.text for row in group]
        assert len(texts) == len(set(texts)) == 8
        first = [text.lower().index(term.name) < text.index(term.definition) for text in texts if term.definition in text]
        assert sorted(first) == [False, False, True, True]
        first = [text.lower().index(term.name) < text.index(term.parents[0]) for text in texts if term.definition not in text]
        assert sorted(first) == [False, False, True, True]


def test_preferences_cannot_be_told_by_length_or_by_the_rejected_text(tmp_path, materials):
    train, held_out, _ = build(tmp_path / "p", {"sources": (materials,)}, kind="preference", limit=20)
    for rows in (train, held_out):
        chosen = sorted(row.chosen[0].content for row in rows)
        assert chosen == sorted(row.rejected[0].content for row in rows)
        assert sum(len(r.chosen[0].content) - len(r.rejected[0].content) for r in rows) == 0
        assert all(row.chosen != row.rejected for row in rows)


def test_rejected_definitions_are_not_true(tmp_path, materials):
    documents = {d.id: d for d in read_rows(materials.path / DOCUMENTS, Document)}
    train, _, _ = build(tmp_path / "p", {"sources": (materials,)}, kind="preference")
    for row in train:
        asked, wrong = (documents[i].term for i in row.source_ids)
        assert row.chosen[0].content == asked.definition
        assert row.rejected[0].content == wrong.definition
        assert wrong.name not in asked.ancestors
        assert set(asked.parents) & set(wrong.parents)


def test_letter_rows_answer_with_the_right_letter(tmp_path, materials):
    train, _, _ = build(tmp_path / "i", {"sources": (materials,)}, kind="instruction")
    documents = {d.id: d for d in read_rows(materials.path / DOCUMENTS, Document)}
    letters = [row for row in train if row.messages[0].content.startswith("Answer the question with one letter only: A, B, C or D.\n\n")]
    assert letters
    for row in letters:
        document = documents[row.source_ids[0]]
        answer = row.messages[1].content
        line = next(line for line in row.messages[0].content.split("\n") if line.startswith(f"{answer}. "))
        assert line[3:] in (document.term.name, document.term.definition, document.group)


def test_json_rows_are_json(tmp_path, materials):
    train, _, _ = build(tmp_path / "i", {"sources": (materials,)}, kind="instruction")
    answers = [row.messages[1].content for row in train if "JSON" in row.messages[0].content]
    assert answers
    assert all(json.loads(answer).keys() == {"name", "class"} for answer in answers)


def test_numbers_are_asked_with_their_unit(tmp_path):
    file = tmp_path / "e.jsonl"
    file.write_text(
        '{"title": "iron", "quantities": [{"name": "density", "value": 7.87, "unit": "g/cm^3"}, {"name": "index", "value": 2}]}\n'
    )
    train, _, _ = build(tmp_path / "i", {"sources": (make_corpus(tmp_path / "c", file),)}, kind="instruction")
    said = {row.messages[0].content: row.messages[1].content for row in train}
    assert said == {
        "Answer the question with one number and its unit only, for example 12.5 g/cm^3.\n\nWhat is the density of iron in g/cm^3?": "7.87 g/cm^3",
        "Answer the question with one number only, for example 12.5.\n\nWhat is the index of iron?": "2",
    }


def test_reserving_every_group_is_an_error(tmp_path, materials):
    folder = tmp_path / "all"
    folder.mkdir()
    benchmarks.build(BenchmarkStep(), {"corpus": (materials,)}, folder, Context())
    with pytest.raises(InputError, match="gives no preference row besides the"):
        build(tmp_path / "p", {"sources": (materials,), "reserved": (Artifact("benchmark", "all", "k", folder),)}, kind="preference")


def write_text(tmp_path, name, count, length):
    file = tmp_path / name
    file.write_text("".join(json.dumps({"text": f"{i:04d}" + "x" * (length - 4)}) + "\n" for i in range(count)))
    return source(file)


def test_shares_are_shares_of_the_final_tokens(tmp_path):
    sources = (write_text(tmp_path, "a.jsonl", 100, 40), write_text(tmp_path, "b.jsonl", 50, 20))
    train, _, summary = build(tmp_path / "t", {"sources": sources}, kind="text", mix=(MixShare(passes=2.0), MixShare(share=0.2)))
    tokens = [part["estimated_tokens"] for part in summary["sources"]]
    assert tokens == [2000, 500]
    assert len({row.id for row in train}) == len(train) == 300


def test_a_fractional_pass_takes_each_row_at_most_once_more(tmp_path):
    rows = [TextRow(id=str(i), text="text", source_ids=("s",), group="g") for i in range(10)]
    taken, (part,) = mix.mixed([rows], [MixShare(passes=1.5)], seed=0)
    assert len(taken) == part.rows == 15
    assert len({row.id for row in taken}) == 15


def test_impossible_mixes_are_refused(tmp_path):
    sources = (write_text(tmp_path, "a.jsonl", 1000, 400), write_text(tmp_path, "b.jsonl", 1, 8))
    with pytest.raises(InputError, match="would repeat this small source"):
        build(tmp_path / "t", {"sources": sources}, kind="text", mix=(MixShare(passes=1.0), MixShare(share=0.5)))
    with pytest.raises(InputError, match="sum to one or more"):
        datasets.check(DatasetStep(kind="text", mix=(MixShare(share=0.5), MixShare(share=0.5))), {"sources": sources})
    with pytest.raises(InputError, match="leave nothing to measure"):
        build(tmp_path / "u", {"sources": sources[:1]}, kind="text", mix=(MixShare(share=0.5),))


FORMS = [
    ("text", {"text": "Nacre."}),
    ("instruction", {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 1}]}),
    ("instruction", {"prompt": "q", "completion": "a"}),
    ("preference", {"prompt": "q", "chosen": "a", "rejected": "b"}),
    (
        "preference",
        {
            "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
            "rejected": [{"role": "assistant", "content": "b"}],
        },
    ),
]


@pytest.mark.parametrize(("kind", "value"), FORMS)
def test_forms_that_people_share_are_read(tmp_path, kind, value):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(value) + "\n")
    (row,), held_out, _ = build(tmp_path / "d", {"sources": (source(file),)}, kind=kind)
    assert held_out == []
    if isinstance(row, PreferenceRow):
        assert [m.content for m in (*row.prompt, *row.chosen, *row.rejected)] == ["q", "a", "b"]


@pytest.mark.parametrize(
    ("kind", "value"), [("text", {"txt": "a"}), ("instruction", {"messages": []}), ("preference", {"prompt": "q", "chosen": "a"})]
)
def test_rows_that_do_not_fit_are_named(tmp_path, kind, value):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(value) + "\n")
    with pytest.raises(InputError, match=f"rows.jsonl, line 1: is no {kind} row"):
        datasets.check(DatasetStep(kind=kind), {"sources": (source(file),)})


def test_datasets_mix_into_datasets(tmp_path, materials):
    build(tmp_path / "one", {"sources": (materials,)}, kind="instruction", limit=10)
    one = Artifact("dataset", "one", "k", tmp_path / "one", DatasetStep(kind="instruction"))
    train, held_out, _ = build(tmp_path / "two", {"sources": (one,)}, kind="instruction")
    assert len(train) == 10
    assert held_out
    with pytest.raises(InputError, match="one holds instruction rows"):
        datasets.check(DatasetStep(kind="text"), {"sources": (one,)})


def test_the_card_names_the_splits(tmp_path, materials):
    build(tmp_path / "text", {"sources": (materials,)}, kind="text")
    card = (tmp_path / "text" / CARD).read_text()
    assert card.startswith("---\nconfigs:")
    assert "path: train.jsonl" in card
    assert "path: dev.jsonl" in card
    assert "path: held_out.jsonl" in card


@pytest.mark.parametrize("kind", ["text", "instruction", "preference"])
def test_settings_are_chosen_on_other_groups_than_what_is_reported(tmp_path, materials, kind):
    folder = tmp_path / kind
    train, held_out, summary = build(folder, {"sources": (materials,)}, kind=kind, dev=0.5)
    dev = read_rows(folder / DEV, SCHEMAS[kind])
    groups = [{row.group for row in rows} for rows in (train, dev, held_out)]
    assert all(groups)
    assert not any(one & other for one, other in itertools.combinations(groups, 2))
    assert (summary["dev_rows"], summary["held_out_rows"]) == (len(dev), len(held_out))
    whole, source = tmp_path / "whole", Artifact("dataset", "one", "k", folder, DatasetStep(kind=kind))
    build(whole, {"sources": (source,)}, kind=kind, dev=0.9)
    assert read_rows(whole / DEV, SCHEMAS[kind]) == dev
