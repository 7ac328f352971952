"""A small ontology with words of its own, so that every rule of the data road can be seen at work."""

import itertools
from pathlib import Path

from eutectic.artifacts import Artifact, Parents
from eutectic.context import Context
from eutectic.data import corpus
from eutectic.specs.steps import CorpusStep

SYLLABLES = ["ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu"]
CLASSES, MEMBERS = 16, 6


def word(number: int) -> str:
    """A pseudo-word of its own for every number."""
    a, b, c = number % 15, number // 15 % 15, number // 225 % 15
    return f"{SYLLABLES[a]}{SYLLABLES[b]}{SYLLABLES[c]}"


def ontology_text(classes: int = CLASSES, members: int = MEMBERS) -> str:
    """OBO text: one root, `classes` classes below it, `members` terms a class, each with a definition in its own words."""
    count = itertools.count(1)
    lines = ["format-version: 1.4", "", "[Term]", "id: R:0", "name: root"]
    for c in range(classes):
        name = f"{word(next(count))} family"
        lines += ["", "[Term]", f"id: C:{c}", f"name: {name}", "is_a: R:0 ! root"]
        for m in range(members):
            term, *others = (word(next(count)) for _ in range(6))
            definition = f"A hard tissue of {others[0]} and {others[1]} that holds {others[2]} near {others[3]} or {others[4]}"
            lines += ["", "[Term]", f"id: T:{c}.{m}", f"name: {term} part", f'def: "{definition}" [ref:1]', f"is_a: C:{c} ! {name}"]
    return "\n".join(lines) + "\n"


def source(file: Path) -> Artifact:
    return Artifact("file", file.name, f"key of {file.name}", file)


def make_corpus(folder: Path, *files: Path, **settings: object) -> Artifact:
    """A corpus built from `files` into `folder`."""
    folder.mkdir(parents=True)
    spec = CorpusStep.model_validate(settings)
    parents: Parents = {"files": tuple(source(file) for file in files)}
    corpus.check(spec, parents)
    corpus.build(spec, parents, folder, Context())
    return Artifact("corpus", folder.name, f"key of {folder.name}", folder, spec)
