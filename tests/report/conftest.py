"""A finished and an unfinished study, each written and reported once."""

import sys
from pathlib import Path

import pytest

from eutectic.report import page

sys.path.insert(0, str(Path(__file__).parent))

import example


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    return example.whole(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="session")
def report(study, tmp_path_factory):
    return page.write(study, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def unfinished(tmp_path_factory):
    return page.write(example.partial(tmp_path_factory.mktemp("partial")), tmp_path_factory.mktemp("partial-report"))
