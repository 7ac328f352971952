import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eutectic.data import readers
from eutectic.errors import InputError


def everything(_: str) -> bool:
    return True


def test_a_term_becomes_a_document_with_its_place(ontology_file):
    documents, dropped = readers.read(ontology_file, everything)
    assert len(documents) == 96
    term = documents[0].term
    assert term is not None
    assert term.ancestors == (*term.parents, "root")
    assert documents[0].text == f"{term.name.capitalize()}: {term.definition}"
    assert any("no definition" in row.reason for row in dropped)


def test_what_the_filter_refuses_is_counted(ontology_file):
    documents, dropped = readers.read(ontology_file, lambda text: False)
    assert documents == []
    assert "96 terms: none of the keywords" in {row.reason for row in dropped}


def test_json_lines_fill_what_is_left_out(tmp_path):
    file = tmp_path / "papers.jsonl"
    file.write_text(
        '{"text": "Nacre is tough.", "title": "Nacre"}\n\n{"id": 7, "title": "iron", "quantities": [{"name": "density", "value": 7.87}]}\n'
    )
    (paper, iron), _ = readers.read(file, everything)
    assert (paper.id, paper.group, paper.source) == ("papers:1", "papers:1", "papers.jsonl")
    assert (iron.id, iron.text, iron.quantities[0].value) == ("7", "iron", 7.87)


@pytest.mark.parametrize("line", ['{"title": "no text"}', "[1, 2]", "not json", '{"text": "  "}', '{"text": "a", "colour": "red"}'])
def test_a_bad_line_is_named(tmp_path, line):
    file = tmp_path / "papers.jsonl"
    file.write_text('{"text": "fine"}\n' + line + "\n")
    with pytest.raises(InputError, match=r"papers.jsonl, line 2"):
        readers.read(file, everything)


def test_markdown_headings_become_sections(tmp_path):
    file = tmp_path / "paper.md"
    file.write_text("# Silk\nIntro.\n## Results\nStrong.\n")
    (document,), _ = readers.read(file, everything)
    assert document.title == "Silk"
    assert [(s.title, document.text[s.start : s.end].strip()) for s in document.sections] == [("Results", "Strong.")]
    assert document.text == "Intro.\n\nResults\n\nStrong."


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "is empty"),
        ("a.txt", b" \n\n ", "is empty"),
        ("a.txt", b"text\x00\x01", "binary"),
        ("a.txt", b"caf\xe9 au lait", "not UTF-8"),
        ("a.xyz", b"text", "no reader"),
    ],
)
def test_unreadable_files_are_refused(tmp_path, name, content, said):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InputError, match=said):
        readers.read(file, everything)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        readers.read(tmp_path / "none.txt", everything)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1811.15, "1811"), (7.87, "7.87"), (0.449, "0.449"), (0.0013080000000000001, "0.001308"), (80.0, "80"), (1.5e-9, "1.5e-09")],
)
def test_numbers_are_written_as_people_do(value, text):
    assert readers.number_text(value) == text


@given(st.floats(min_value=1e-8, max_value=1e12))
def test_a_written_number_keeps_four_digits(value):
    assert float(readers.number_text(value)) == pytest.approx(value, rel=5.01e-4)


def test_json_documents_round_trip(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"text": "ü → 中", "title": "t"}, ensure_ascii=False) + "\n", encoding="utf-8")
    assert readers.read(file, everything)[0][0].text == "ü → 中"
