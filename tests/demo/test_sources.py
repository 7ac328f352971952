"""The packages' ontologies and elements as source files, and the data the demo makes of them."""

import json

import pytest

from eutectic.artifacts import DOCUMENTS, ITEMS, TRAIN, Artifact, read_rows
from eutectic.context import Context
from eutectic.data import benchmarks, corpus, datasets, ontology
from eutectic.data.ontology import content_words
from eutectic.demo import assets, elements, ontologies
from eutectic.demo.study import FULL, KEYWORDS
from eutectic.specs.rows import Document, Item, TextRow
from eutectic.specs.steps import BenchmarkStep, CorpusStep, DatasetStep

TERMS = {
    "A:1": {"label": "tooth", "ancestors": {}, "deprecated": False},
    "A:2": {"label": 'the "hard" part', "description": 'A part\nsaid to be "hard" \\ sharp.', "ancestors": {"A:1": 1}, "synonyms": ["x"]},
    "A:3": {"label": "", "description": "Gone.", "ancestors": {"A:1": 1}, "deprecated": True},
    "A:4": {"label": "unrelated", "ancestors": {"A:9": 1}},
    "A:5": {"label": "cusp", "description": "A point of it.", "ancestors": {"A:2": 1, "A:1": 2}},
}


def test_what_is_written_as_obo_is_read_back(tmp_path):
    file = tmp_path / "a.obo"
    file.write_text("\n".join(ontologies.obo_lines(TERMS, "a", "a.json")))
    entries = {entry.id: entry for entry in ontology.read(file)}
    assert set(entries) == {"A:1", "A:2", "A:5"}
    assert entries["A:2"].name == 'the "hard" part'
    assert entries["A:2"].definition == 'A part said to be "hard" \\ sharp.'
    assert entries["A:2"].synonyms == ("x",)
    assert entries["A:5"].parents == ("A:2",)


def test_unknown_quantities_are_left_out():
    made = elements.document("Calcium", [1115.0, 1.54, None, 0.647, 176.0, 1.0])
    assert [quantity["name"] for quantity in made["quantities"]] == [
        "melting point",
        "density",
        "specific heat capacity",
        "covalent radius",
        "electronegativity on the Pauling scale",
    ]


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The full demo's corpora and benchmarks."""
    found, context, root = assets.fetch(Context()), Context(), tmp_path_factory.mktemp("made")

    def step(door, kind, name, spec, **parents):
        (root / name).mkdir()
        door.build(spec, parents, root / name, context)
        return Artifact(kind, name, name, root / name, spec)

    words = tuple(" ".join(KEYWORDS.split()).split(", "))
    files = tuple(Artifact("file", file.name, file.name, file) for file in found.ontologies)
    spec = CorpusStep(held_out=FULL.held_out, limit=FULL.documents, keywords=words)
    materials = step(corpus, "corpus", "materials", spec, files=files)
    element = step(corpus, "corpus", "elements", CorpusStep(), files=(Artifact("file", "e", "e", found.elements),))
    benches = {
        role: step(benchmarks, "benchmark", role, BenchmarkStep(role=role, items=FULL.items, seed=17), corpus=(materials,))
        for role in ("acquired", "unseen")
    }
    spec = BenchmarkStep(kind="numeric", role="acquired", items=FULL.quantities, dev=0.15, seed=17)
    numbers = step(benchmarks, "benchmark", "quantities", spec, corpus=(element,))
    text = step(datasets, "dataset", "text", DatasetStep(kind="text", seed=17), sources=(materials,))
    return {"materials": materials, "quantities": numbers, "text": text, **benches}


@pytest.mark.assets
def test_the_demo_has_its_thousand_questions_of_each_role(made):
    for role in ("acquired", "unseen"):
        items = read_rows(made[role].path / ITEMS, Item)
        assert sum(item.split == "test" for item in items) == 1000
        assert sum(item.split == "dev" for item in items) >= 100
        for item in items:
            asked = content_words(item.question)
            shared = [content_words(text) & asked for text in item.options]
            assert all(sum(word in words for words in shared) != 1 for word in asked)
        summary = json.loads((made[role].path / "summary.json").read_text())
        assert summary["test"]["shortest_option"] < 0.3
        assert summary["test"]["longest_option"] < 0.3


@pytest.mark.assets
def test_unseen_classes_are_in_no_training_text(made):
    documents = {d.id: d for d in read_rows(made["materials"].path / DOCUMENTS, Document)}
    classes = {item.group for item in read_rows(made["unseen"].path / ITEMS, Item)}
    trained = {i for row in read_rows(made["text"].path / TRAIN, TextRow) for i in row.source_ids}
    assert not any(classes & {documents[i].group, documents[i].title, *documents[i].term.parents} for i in trained)
    acquired = {i for item in read_rows(made["acquired"].path / ITEMS, Item) for i in item.source_ids}
    assert acquired <= trained


@pytest.mark.assets
def test_the_demo_has_two_hundred_numbers_with_units(made):
    import pint

    items = [item for item in read_rows(made["quantities"].path / ITEMS, Item) if item.split == "test"]
    assert len(items) == 200
    assert sum(bool(item.unit) for item in items) >= 150
    registry = pint.UnitRegistry()
    assert all(registry.Quantity(item.value, item.unit).magnitude == item.value for item in items)
    iron = {
        q.name: q
        for row in [elements.document("Iron", [1811.15, 7.87, 80.4, 0.449, 142.0, 1.83])]
        for q in map(_quantity, row["quantities"])
    }
    assert iron["melting point"].unit == "K"


def _quantity(value):
    from eutectic.specs.rows import Quantity

    return Quantity.model_validate(value)
