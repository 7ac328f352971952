"""What leaves a corpus of running text: what was badly converted, what is in another language, what was there before.

Terms and facts are no running text and are not judged here.
"""

from __future__ import annotations

from collections.abc import Sequence

from eutectic.data import near
from eutectic.data.papers import quality
from eutectic.specs.rows import Document, Dropped
from eutectic.specs.steps import CorpusStep

# A language is told from this many characters of the middle: titles and formulas at the ends say little.
TOLD_FROM = 4000


def clean(documents: Sequence[Document], spec: CorpusStep) -> tuple[list[Document], list[Dropped]]:
    """The documents that stay, with quality and language, and the reasons of the others."""
    measured = [_measured(document) if running(document) else document for document in documents]
    reasons = {document.id: _fault(document, spec) for document in measured if running(document)}
    sound = [document for document in measured if not reasons.get(document.id)]
    texts = [document for document in sound if running(document)]
    twins = near.duplicates([document.text for document in texts], spec.near_duplicates)
    for index, (earlier, share) in twins.items():
        reasons[texts[index].id] = f"shares {share:.0%} of its word runs with {texts[earlier].source}"
    kept = [document for document in sound if not reasons.get(document.id)]
    return kept, [Dropped(source=document.source, reason=reasons[document.id]) for document in documents if reasons.get(document.id)]


def running(document: Document) -> bool:
    """Whether a document is running text."""
    return document.term is None and not document.quantities


def _measured(document: Document) -> Document:
    score = round(quality.measure(document.text).score, 3)
    return document.model_copy(update={"quality": score, "language": language(document.text)})


def _fault(document: Document, spec: CorpusStep) -> str:
    assert document.quality is not None
    if document.quality <= spec.quality:
        return f"quality {document.quality:.2f}: {quality.measure(document.text).worst}"
    if spec.languages and document.language not in spec.languages:
        return f"in the language {document.language}"
    return ""


def language(text: str) -> str:
    """The two-letter code of a text's language, by py3langid."""
    from py3langid import classify

    middle = max(0, len(text) // 2 - TOLD_FROM // 2)
    return str(classify(text[middle : middle + TOLD_FROM])[0])
