"""Fixtures of the data road."""

from pathlib import Path

import pytest
from example_ontology import make_corpus, ontology_text

from eutectic.artifacts import Artifact


@pytest.fixture
def ontology_file(tmp_path: Path) -> Path:
    file = tmp_path / "example.obo"
    file.write_text(ontology_text())
    return file


@pytest.fixture
def materials(tmp_path: Path, ontology_file: Path) -> Artifact:
    """A corpus of the example ontology with about a third of its classes held out."""
    return make_corpus(tmp_path / "materials", ontology_file, held_out=0.35)
