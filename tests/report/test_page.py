"""The page and its files: everything is there, nothing is markup that a model wrote, unfinished studies say so."""

import csv
import re
import time
from html.parser import HTMLParser
from xml.etree import ElementTree

import example
import pytest

from eutectic.report import page
from eutectic.report.view import StudyView

SECTIONS = (
    "run", "training", "comparisons", "accuracy", "forms", "merges", "search", "strategies", "functionality", "patterns", "general", "geometry", "conversations", "image-prompts", "baselines", "contamination", "data", "provenance",
)  # fmt: skip


class Ids(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]


def read(path):
    parser = Ids()
    parser.feed(path.read_text())
    return parser


def test_every_section_is_there_and_ids_are_unique(report):
    found = read(report)
    assert set(SECTIONS) | {"verdict"} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))


def test_the_page_is_one_file_without_network(report):
    text = report.read_text()
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", text)
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text


def test_what_a_model_wrote_is_text(report):
    found, text = read(report), report.read_text()
    assert "script" not in found.tags
    assert "img" not in found.tags
    assert "&lt;script&gt;document.title=" in text


def test_five_sentences_on_top(report, unfinished):
    for path in (report, unfinished):
        verdict = re.search(r'<section id="verdict".*?</section>', path.read_text(), re.DOTALL).group()
        assert verdict.count("<p>") == 5


def test_tables_are_csv_and_figures_svg(report):
    tables = {file.stem for file in (report.parent / "tables").glob("*.csv")}
    assert {
        "models",
        "steps",
        "stages",
        "arms",
        "comparisons",
        "comparison_tests",
        "merge_comparisons",
        "held_out",
        "stage_effects",
        "format_failures",
        "accuracy",
        "merges",
        "functionality",
        "formats",
        "diversity",
        "clusters",
        "correlations",
        "geometry",
    } <= tables
    assert {"baselines", "corpora", "sources", "datasets", "provenance", "keys"} <= tables
    with (report.parent / "tables" / "accuracy.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 5 * 25  # five cells, 25 models and controls
    assert all(0 <= float(row["low"]) <= float(row["accuracy, %"]) <= float(row["high"]) <= 1 for row in rows)
    figures = list((report.parent / "figures").glob("*.svg"))
    assert len(figures) >= 15
    for figure in figures:
        assert ElementTree.parse(figure).getroot().tag.endswith("svg")


def test_an_equal_control_is_reported_as_one(report):
    with (report.parent / "tables" / "merges.csv").open() as stream:
        equal = [row for row in csv.DictReader(stream) if row["outcome"] == "same model"]
    assert {row["which"] for row in equal} == {"paper:instruct/cpt+linear_schedule"}
    assert {row["p"] for row in equal} == {""}


def test_an_unfinished_study_says_what_is_missing(unfinished):
    text = unfinished.read_text()
    assert text.count("Not run yet.") == 7  # merges, functionality, patterns, geometry, conversations, image prompts, contamination
    assert "Merges against their parents: not run yet." in text
    assert "Not scored yet: instruct/cpt." in text
    assert "not yet scored again in float32 for instruct" in text


def test_an_empty_study_still_has_a_page(tmp_path):
    path = page.write(StudyView("nothing", 1, "study: nothing\n"), tmp_path / "new" / "folder")
    assert path.read_text().count("Not run yet.") == 13


def test_writing_again_gives_the_same_page_and_leaves_nothing_old(study, report, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "old.svg").touch()
    again = page.write(study, tmp_path)
    assert again.read_bytes() == report.read_bytes()
    assert not (tmp_path / "figures" / "old.svg").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["figures", "index.html", "tables"]


@pytest.mark.parametrize("state", ["stale"])
def test_stale_steps_are_shown_and_marked(state, tmp_path):
    view = example.partial(tmp_path / "study")
    steps = tuple(type(s)(**{**vars(s), "state": state}) if s.kind == "train" and s.folder else s for s in view.steps)
    text = page.write(StudyView(view.name, view.seed, view.text, steps), tmp_path / "out").read_text()
    assert "1 are stale" in text or "1 is stale" in text
    assert "has changed since" in text


def test_a_large_study_is_quick(tmp_path):
    view = example.whole(tmp_path / "study", items=1200)
    start = time.process_time()
    page.write(view, tmp_path / "out")
    assert time.process_time() - start < 15
