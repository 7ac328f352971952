"""The report: one HTML page that opens from disk anywhere, CSV tables and SVG figures beside it."""

from __future__ import annotations

import os
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import eutectic
from eutectic.report import (
    accuracy,
    comparisons,
    contamination,
    data,
    forms,
    functionality,
    general,
    geometry,
    merging,
    overview,
    patterns,
    provenance,
    results,
    search,
    strategies,
    talks,
    training,
    verdict,
)
from eutectic.report.blocks import Figures, Section, Table
from eutectic.report.view import StudyView

PAGE = "index.html"


def write(view: StudyView, out: Path) -> Path:
    """Write `index.html`, `tables/*.csv` and `figures/*.svg` into `out`; returns the page.

    Works on a study that is partly done: what is missing is said so in its section. All text of models and files is escaped.
    """
    found = results.collect(view)
    sections = [
        overview.section(view),
        training.section(view, found),
        comparisons.section(view, found),
        accuracy.section(view, found),
        forms.section(view),
        merging.section(view, found),
        search.section(view, found),
        strategies.section(view, found),
        functionality.section(view, found),
        patterns.section(view, found),
        general.section(view),
        geometry.section(view),
        talks.conversations(view),
        talks.image_prompts(view),
        data.benchmarks(found),
        contamination.section(view, found),
        data.section(view),
        provenance.section(view),
    ]
    _files(sections, out)
    page = (
        environment()
        .get_template("page.html")
        .render(
            view=view,
            verdict=verdict.sentences(view, found),
            sections=sections,
            finished=max((step.record.finished for step in view.steps if step.record), default="")[:10],
            version=eutectic.__version__,
        )
    )
    temporary = out / f".{PAGE}.{os.getpid()}"
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(out / PAGE)
    return out / PAGE


def environment() -> Environment:
    """Templates with escaping on: what a model wrote is text, never markup."""
    made = Environment(
        loader=PackageLoader("eutectic.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["inline"] = Markup  # only for figures drawn here and the style sheet
    return made


def _files(sections: list[Section], out: Path) -> None:
    """Tables and figures as files; those of an earlier report that are no more are removed."""
    for name, suffix in (("tables", "csv"), ("figures", "svg")):
        (out / name).mkdir(parents=True, exist_ok=True)
        for old in (out / name).glob(f"*.{suffix}"):
            old.unlink()
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Table):
                block.write(out / "tables")
            elif isinstance(block, Figures):
                for picture in block.pictures:
                    head = '<?xml version="1.0" encoding="utf-8"?>\n'
                    (out / "figures" / f"{picture.name}.svg").write_text(head + picture.svg, encoding="utf-8")
