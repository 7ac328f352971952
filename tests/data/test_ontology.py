from pathlib import Path

import pytest

from eutectic.data import ontology
from eutectic.errors import InputError

OBO = r"""format-version: 1.4
ontology: example

[Term]
id: X:1
name: enamel
namespace: example
def: "The hard <i>outer</i> layer of a \"tooth\" [note]" [REF:1, "with, comma"]
synonym: "substantia adamantina" EXACT []
synonym: "tooth thing" RELATED []
is_a: X:2 {source="somebody"} ! tissue of tooth
relationship: part_of X:9 ! tooth

[Term]
id: X:2
name: tissue of tooth
is_a: Y:7 ! tissue

[Term]
id: X:3
name: obsolete thing
is_obsolete: true

[Typedef]
id: part_of
name: part of
"""


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "example.obo"
    file.write_text(text)
    return file


def test_reads_names_definitions_synonyms_and_parents(tmp_path):
    enamel, tissue = ontology.read(write(tmp_path, OBO))
    assert enamel.name == "enamel"
    assert enamel.definition == 'The hard outer layer of a "tooth".'
    assert enamel.synonyms == ("substantia adamantina",)
    assert enamel.parents == ("X:2",)
    assert tissue.definition == ""


def test_classes_outside_the_file_keep_the_name_written_beside_them(tmp_path):
    entries = ontology.read(write(tmp_path, OBO))
    assert ontology.above("X:1", {entry.id: entry.parents for entry in entries}) == ("X:2", "Y:7")
    assert ontology.names(entries)["Y:7"] == "tissue"


def test_a_circle_of_parents_ends():
    assert ontology.above("A", {"A": ("B",), "B": ("A",)}) == ("B",)


def test_a_file_without_terms_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no \[Term\]"):
        ontology.read(write(tmp_path, "format-version: 1.4\n"))


def test_a_term_without_name_is_refused_with_its_line(tmp_path):
    with pytest.raises(InputError, match="line 3: a term has no `name`"):
        ontology.read(write(tmp_path, "format-version: 1.4\n\n[Term]\nid: A\n"))


@pytest.mark.parametrize(
    ("one", "other"), [("left rib 3", "right rib 12"), ("second molar", "third molar"), ("lamina II of cord", "lamina ix of cord")]
)
def test_twins_share_a_key(one, other):
    assert ontology.twin_key(one) == ontology.twin_key(other)


def test_different_terms_do_not():
    assert ontology.twin_key("upper jaw") != ontology.twin_key("lower jaw")


def test_generated_definitions_become_empty():
    assert ontology.clean_definition("A tissue of deltoid [Automatically generated definition].") == ""


def test_a_definition_that_repeats_the_name_holds_no_fact():
    assert ontology.repeats_name(ontology.Entry("1", "tarsal cartilage", "A cartilaginous element of the tarsal region."))
    assert not ontology.repeats_name(ontology.Entry("1", "enamel", "The hard outer layer of a tooth."))


@pytest.mark.parametrize("citation", ["(modified from Baumel et al. 1993)", "[FMA,modified]", "(Huysseune, 1983)"])
def test_citations_are_taken_out(citation):
    assert ontology.clean_definition(f"the crest of the body {citation}.") == "The crest of the body."


def test_short_words_count_unless_they_are_common():
    assert ontology.content_words("the fat pad and any cartilage") == {"fat", "pad", "cartil"}
