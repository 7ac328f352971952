import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import typeset
from example_ontology import source

from eutectic.artifacts import DOCUMENTS, DROPPED, read_rows
from eutectic.context import Context
from eutectic.data import corpus, near, reading
from eutectic.errors import InputError
from eutectic.specs.rows import Document, Dropped
from eutectic.specs.steps import CorpusStep

SENTENCES = typeset.known().text.split(". ")


def text(start, count=40):
    """Different sentences for different starts."""
    return ". ".join(SENTENCES[start : start + count]) + "."


@pytest.fixture
def folder(tmp_path):
    """Papers, some of which cannot be read or should not be kept."""
    (tmp_path / "good.txt").write_text(text(0))
    (tmp_path / "copy.txt").write_text(text(0).replace("the", "a", 3))
    (tmp_path / "other.txt").write_text(text(41, 20))
    german = (
        "Die Seide der Spinne ist ein Faden aus Eiweiß. Er ist sehr zäh und nimmt viel Arbeit auf, ehe er reißt. Knochen sind leichter."
    )
    (tmp_path / "german.txt").write_text(german)
    (tmp_path / "scrambled.txt").write_text("".join(chr(0x2701 + ord(c) % 90) if c.isalpha() else c for c in text(0)))
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes("Zähigkeit".encode("latin-1") * 20)
    (tmp_path / "null.txt").write_bytes(b"a\0b" * 50)
    (tmp_path / "cut.pdf").write_bytes(b"%PDF-1.7\n1 0 obj")
    (tmp_path / "paper.docx").write_bytes(b"PK")
    typeset.two_columns(tmp_path / "paper.pdf", typeset.known())
    return tmp_path


def make(files, out, **spec):
    out.mkdir()
    summary = corpus.build(CorpusStep(**spec), {"files": tuple(map(source, files))}, out, Context())
    return summary, read_rows(out / DOCUMENTS, Document), {row.source: row.reason for row in read_rows(out / DROPPED, Dropped)}


def test_one_bad_file_stops_nobody_and_is_listed(folder, tmp_path):
    files = sorted(path for path in folder.iterdir() if path.is_file())
    summary, documents, dropped = make(files, tmp_path / "out", languages=["en"])
    kept = {document.source for document in documents}
    assert "other.txt" in kept
    assert len(kept & {"good.txt", "copy.txt", "paper.pdf"}) >= 1
    assert summary["files_not_read"] == 5
    for name, reason in {
        "german.txt": "language de",
        "scrambled.txt": "quality 0.00",
        "empty.txt": "is empty",
        "latin.txt": "not UTF-8",
        "null.txt": "binary",
        "cut.pdf": "no whole PDF",
        "paper.docx": "no reader",
    }.items():
        assert reason in dropped[name]
    assert "of its word runs" in " ".join(dropped[name] for name in ("good.txt", "copy.txt") if name in dropped)
    assert all(document.language == "en" and document.quality > 0 for document in documents)


def test_where_nothing_can_be_read_the_first_reason_is_the_error(folder, tmp_path):
    with pytest.raises(InputError, match="no whole PDF"):
        make([folder / "cut.pdf"], tmp_path / "out")


def test_a_reader_that_is_killed_costs_no_file(tmp_path):
    known = typeset.known()
    files = [typeset.two_columns(tmp_path / f"{n}.pdf", known, author=str(n)) for n in range(6)]
    killed = []

    def kill():
        while not killed:
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)
                killed.append(child.pid)
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    (tmp_path / "out").mkdir()
    found = list(reading.read(tuple(map(source, files)), CorpusStep(), tmp_path / "out", Context()))
    killer.join()
    assert killed
    assert [len(outcome.documents) for _, outcome in found] == [1] * 6


def test_a_killed_step_goes_on_with_the_next_file(tmp_path):
    known = typeset.known()
    files = [typeset.two_columns(tmp_path / f"{n}.pdf", known, author=str(n)) for n in range(8)]
    out = tmp_path / "out"
    out.mkdir()
    code = (
        "import sys\nfrom pathlib import Path\nsys.path.insert(0, sys.argv[1])\nfrom example_ontology import source\n"
        "from eutectic.context import Context\nfrom eutectic.data import reading\nfrom eutectic.specs.steps import CorpusStep\n"
        "if __name__ == '__main__':\n"
        "    list(reading.read(tuple(source(Path(p)) for p in sys.argv[3:]), CorpusStep(), Path(sys.argv[2]), Context()))\n"
    )
    script = tmp_path / "read.py"
    script.write_text(code)
    child = subprocess.Popen([sys.executable, str(script), str(Path(__file__).parent), str(out), *map(str, files)])
    while len([path for path in (out / reading.SAVES).glob("*") if path.suffix != ".new"]) < 2:
        assert child.poll() is None
        time.sleep(0.005)
    child.kill()
    child.wait()
    before = {path.name: path.stat().st_mtime_ns for path in (out / reading.SAVES).iterdir() if path.suffix != ".new"}
    found = list(reading.read(tuple(map(source, files)), CorpusStep(), out, Context()))
    assert len(found) == 8
    assert {name: (out / reading.SAVES / name).stat().st_mtime_ns for name in before} == before


def test_planted_near_duplicates_are_found_and_nothing_else():
    import random

    chance = random.Random(0)
    words = [f"{a}{b}" for a in "bcdfgklmnprst" for b in ("onal", "ifer", "ation", "esque", "ulin", "ogen", "aceous", "ite")]
    texts = [" ".join(chance.choices(words, k=150)) for _ in range(900)]
    origin = [chance.randrange(900) for _ in range(100)]
    planted = []
    for index in origin:
        copy = texts[index].split()
        for _ in range(2):
            copy[chance.randrange(len(copy))] = "changed"
        planted.append(" ".join(copy))
    found = near.duplicates(texts + planted, 0.8)
    assert set(found) <= set(range(900, 1000))
    assert sum(found.get(900 + n, (None,))[0] == index for n, index in enumerate(origin)) >= 99


def test_the_corpus_verb_reads_a_folder(folder, tmp_path):
    out = tmp_path / "read"
    found = subprocess.run(
        [sys.executable, "-m", "eutectic", "corpus", str(folder), str(out), "--language", "en", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    summary = json.loads(found.stdout)
    assert summary["documents"] >= 2
    assert any("not UTF-8" in reason for reason in summary["reasons"])
    card = (out / "README.md").read_text()
    assert "## Samples" in card
    assert f"{summary['documents']} documents" in card
    again = subprocess.run([sys.executable, "-m", "eutectic", "corpus", str(folder), str(out)], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    nothing = subprocess.run(
        [sys.executable, "-m", "eutectic", "corpus", str(tmp_path / "*.none"), str(tmp_path / "o")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert nothing.returncode == 2
    assert "matches no file" in nothing.stderr
