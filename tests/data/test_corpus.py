import pytest
from example_ontology import make_corpus, source

from eutectic.artifacts import DOCUMENTS, DROPPED, read_rows
from eutectic.context import Context
from eutectic.data import corpus
from eutectic.errors import InputError
from eutectic.specs.rows import Document, Dropped
from eutectic.specs.steps import CorpusStep


def documents(artifact):
    return read_rows(artifact.path / DOCUMENTS, Document)


def test_no_training_term_shows_a_held_out_class(materials):
    rows = documents(materials)
    held = {d.group for d in rows if d.held_out}
    assert 2 <= len(held) <= 9
    for document in rows:
        if not document.held_out:
            assert not held & {document.title, *document.term.parents}


def test_groups_are_whole(materials):
    rows = documents(materials)
    for group in {d.group for d in rows}:
        assert len({d.held_out for d in rows if d.group == group}) == 1


def test_the_split_does_not_depend_on_the_other_documents(tmp_path, ontology_file, materials):
    half = tmp_path / "half.obo"
    half.write_text("\n\n".join(ontology_file.read_text().split("\n\n")[: 2 + 7 * 8]))
    other = make_corpus(tmp_path / "half", half, held_out=0.35)
    assert {d.id: d.held_out for d in documents(other)}.items() <= {d.id: d.held_out for d in documents(materials)}.items()


def test_keywords_find_word_starts_only(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "Chitinous shells."}\n{"text": "A machitin."}\n')
    made = make_corpus(tmp_path / "c", file, keywords=["chitin"])
    assert [d.text for d in documents(made)] == ["Chitinous shells."]
    assert [d.source for d in read_rows(made.path / DROPPED, Dropped)] == ["a.jsonl, line 2"]


def test_the_limit_keeps_whole_classes(tmp_path, ontology_file):
    rows = documents(make_corpus(tmp_path / "c", ontology_file, limit=20))
    assert len(rows) == 18
    assert len({d.group for d in rows}) == 3


def test_twins_are_dropped(tmp_path):
    terms = "".join(f'\n[Term]\nid: T:{n}\nname: rib {n}\ndef: "Curved bar number {n} of the chest." []\n' for n in range(1, 6))
    file = tmp_path / "a.obo"
    file.write_text(terms)
    made = make_corpus(tmp_path / "c", file)
    assert [d.id for d in documents(made)] == ["T:1"]
    assert {row.reason for row in read_rows(made.path / DROPPED, Dropped)} == {"numbered or sided twin of T:1"}


def test_nothing_left_is_an_error(tmp_path, ontology_file):
    with pytest.raises(InputError, match="no document is left"):
        make_corpus(tmp_path / "c", ontology_file, keywords=["granite"])


def test_check_needs_files_and_words(ontology_file):
    with pytest.raises(InputError, match="no file"):
        corpus.check(CorpusStep(), {"files": ()})
    with pytest.raises(InputError, match="keyword is empty"):
        corpus.check(CorpusStep(keywords=("",)), {"files": (source(ontology_file),)})


def test_the_same_sources_give_the_same_bytes(tmp_path, ontology_file):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        corpus.build(CorpusStep(held_out=0.3), {"files": (source(ontology_file),)}, tmp_path / name, Context())
    assert (tmp_path / "one" / DOCUMENTS).read_bytes() == (tmp_path / "two" / DOCUMENTS).read_bytes()
