import subprocess
import sys

import pytest
import typeset
from rapidfuzz.distance import Levenshtein

from eutectic.data.papers import document, quality
from eutectic.data.papers import typeset as reader
from eutectic.errors import InputError

CUT = ("references", "acknowledgements", "authors")


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    known = typeset.known()
    file = typeset.two_columns(tmp_path_factory.mktemp("pdf") / "two.pdf", known)
    return known, document.document(reader.read(file), file.name, CUT)


def test_two_columns_give_the_known_text_back(paper):
    known, found = paper
    starts = [0, *(mark.end for mark in found.marks)]
    text = "".join(found.text[start:end] for start, end in zip(starts, [*(mark.start for mark in found.marks), None], strict=True))
    wanted, given = " ".join(known.text.split()), " ".join(text.split())
    assert Levenshtein.distance(wanted, given) <= 0.02 * len(wanted)
    assert len(wanted) > 8_000


def test_headings_title_and_table_are_known(paper):
    known, found = paper
    assert found.title == known.title
    assert [section.title for section in found.sections] == known.headings
    assert [(mark.kind, found.text[mark.start : mark.end].split()[0]) for mark in found.marks] == [("caption", "Table"), ("table", "fibre")]


def test_no_running_head_page_number_author_or_reference_is_left(paper):
    _, found = paper
    for gone in (typeset.HEAD, "A. Reader and B. Writer", "Institute of Letters", "On letters"):
        assert gone not in found.text
    assert not [part for part in found.text.split("\n\n") if part.strip().isdigit()]


def test_what_is_cut_is_a_choice(tmp_path):
    file = typeset.two_columns(tmp_path / "a.pdf", typeset.known())
    whole = document.document(reader.read(file), file.name, ())
    assert "On letters" in whole.text
    assert "Institute of Letters" in whole.text
    assert typeset.HEAD not in whole.text


def test_spans_cover_every_page_in_order(paper):
    _, found = paper
    assert [span.page for span in found.spans] == list(range(1, len(found.spans) + 1))
    assert found.spans[0].start == 0
    assert found.spans[-1].end == len(found.text)


def test_a_well_typeset_paper_scores_high_and_a_scrambled_one_nothing(paper):
    _, found = paper
    assert quality.measure(found.text).score > 0.6
    scrambled = "".join(chr(0x2700 + ord(c) % 150) if c.isalpha() else c for c in found.text)
    assert quality.measure(scrambled).score == 0
    assert quality.measure(" ".join(found.text[: 10 * 70])).score == 0  # letters apart
    assert quality.measure("the same line again and again it goes on " * 50).score == 0


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda file: typeset.two_columns(file, typeset.known(), encrypt="secret"), "encrypted"),
        (lambda file: file.write_bytes(typeset.two_columns(file, typeset.known()).read_bytes()[:3000]), "no whole PDF"),
    ],
)
def test_a_pdf_that_cannot_be_read_says_why(tmp_path, made, said):
    made(tmp_path / "bad.pdf")
    with pytest.raises(InputError, match=said):
        reader.read(tmp_path / "bad.pdf")


def test_a_scanned_pdf_asks_for_ocr(tmp_path):
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(tmp_path / "scan.pdf"))
    for _ in range(3):
        canvas.rect(50, 50, 400, 700, fill=1)
        canvas.showPage()
    canvas.save()
    with pytest.raises(InputError, match=r"pictures.*ocrmypdf"):
        reader.read(tmp_path / "scan.pdf")


def test_two_thousand_pages_fit_into_a_gigabyte(tmp_path):
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(tmp_path / "long.pdf"))
    for page in range(2000):
        for line in range(50):
            canvas.drawString(60, 760 - 14 * line, f"Line {line} of page {page} tells of silk, collagen, nacre and bone in many words.")
        canvas.showPage()
    canvas.save()
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom eutectic.data.papers import typeset\n"
        "found = typeset.read(Path(sys.argv[1]))\n"
        "print(len(found.blocks), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "long.pdf")], capture_output=True, text=True, check=True
    ).stdout.split()
    peak = int(out[1]) * (1 if sys.platform == "darwin" else 1024)
    assert peak < 1 << 30
