"""Reading real papers: time a page, headings found against the files' own outlines, edges of pages that come again, quality scores.

The papers are the PDFs of Debian's packages of R (vignettes and articles of different making), downloaded by name:

    python bench/papers.py --work /tmp/papers [--packages 12]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

from eutectic.data.papers import document, layout, pdf, quality, typeset

PACKAGES = ("coin", "e1071", "flexmix", "kernlab", "lme4", "multcomp", "pscl", "sandwich", "spatstat", "strucchange", "survival", "zoo")
CUT = ("references", "acknowledgements", "authors")


def fetch(work: Path, count: int) -> list[Path]:
    """The PDFs of the first packages, unpacked below `work`."""
    work.mkdir(parents=True, exist_ok=True)
    for name in PACKAGES[:count]:
        package = f"r-cran-{name}"
        if not (work / package).is_dir():
            subprocess.run(["apt-get", "download", "-qq", package], cwd=work, check=True, stderr=subprocess.DEVNULL)
            (deb,) = work.glob(f"{package}_*.deb")
            subprocess.run(["dpkg", "-x", str(deb), package], cwd=work, check=True)
    return sorted(file for name in PACKAGES[:count] for file in (work / f"r-cran-{name}").rglob("*.pdf"))


def outline(file: Path) -> list[str]:
    """Titles of the file's own outline."""
    import pypdfium2

    document = pypdfium2.PdfDocument(file)
    try:
        return [bookmark.get_title() for bookmark in document.get_toc()]
    finally:
        document.close()


def bare(text: str) -> str:
    """A heading without its number and marks."""
    return re.sub(r"[\W_]+", "", re.sub(r"^[\dA-Z](?:\.\d+)*\.?\s+", "", text)).casefold()


def edges(rows: list[layout.Row]) -> dict[str, int]:
    """First and last rows of pages that come again, whatever their digits, on at least three pages, with their counts.

    A running head that was left would be here; so is a row of a table, or "Chapter 3". They are printed to be looked at.
    """
    by_page: dict[int, list[layout.Row]] = {}
    for row in rows:
        by_page.setdefault(row.page, []).append(row)
    found = Counter(text for own in by_page.values() for text in {re.sub(r"\d+", "#", row.text).strip() for row in (own[0], own[-1])})
    return {text: count for text, count in found.items() if count > 2}


def main() -> None:
    """Print a line a paper and the totals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("/tmp/papers"))
    parser.add_argument("--packages", type=int, default=len(PACKAGES))
    options = parser.parse_args()
    files = fetch(options.work, options.packages)
    total = Counter[str]()
    for file in files:
        begun = time.process_time()
        paper = typeset.read(file)
        made = document.document(paper, file.name, CUT)
        seconds = time.process_time() - begun
        pages = list(pdf.pages(file))
        wanted = [bare(title) for title in outline(file)]
        found = {bare(block.text) for block in paper.blocks if block.kind in ("heading", "title")}
        hit = sum(title in found for title in wanted)
        left = edges(layout.rows(pages))
        score = quality.measure(made.text).score
        total.update(pages=len(pages), wanted=len(wanted), hit=hit, again=sum(left.values()), dropped=score == 0)
        total["milliseconds"] += round(1000 * seconds)
        line = f"{file.name:26} {len(pages):3} pages {1000 * seconds / len(pages):5.1f} ms each, headings {hit}/{len(wanted)}, "
        print(f"{line}quality {score:.2f}, edges that come again: {left or 'none'}")
    print(
        f"{len(files)} papers, {total['pages']} pages: {total['milliseconds'] / total['pages']:.1f} ms a page, headings "
        f"{total['hit']}/{total['wanted']} ({total['hit'] / total['wanted']:.1%}), {total['again']} edges of pages come again, "
        f"{total['dropped']} papers dropped as unreadable"
    )


if __name__ == "__main__":
    main()
