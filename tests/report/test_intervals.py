"""Every interval of the report says whether it covers items, seeds or both; every comparison what it could have seen."""

import re

import pytest

from eutectic.report import accuracy, comparisons, functionality, merging, patterns, results, training
from eutectic.report.blocks import Cards, Figures, Table

COVERED = re.compile(r"over (items and seeds|items|seeds)")


@pytest.fixture(scope="module")
def blocks(study):
    found = results.collect(study)
    rooms = (accuracy, comparisons, functionality, merging, patterns, training)
    return [block for room in rooms for block in room.section(study, found).blocks]


def test_every_interval_says_what_it_covers(blocks):
    told = [block.caption for block in blocks if isinstance(block, Table | Figures)]
    told += [card.note for block in blocks if isinstance(block, Cards) for card in block.cards]
    told += [f"{block.caption} {column.title}" for block in blocks if isinstance(block, Table) for column in block.columns]
    intervals = [text for text in told if re.search(r"95.% (t )?interval|\[95.%", text)]
    assert len(intervals) > 10
    assert [text for text in intervals if not COVERED.search(text)] == []


def test_every_paired_test_shows_what_it_could_have_seen(blocks):
    tables = {block.name: {column.title for column in block.shown} for block in blocks if isinstance(block, Table)}
    for name in ("merges", "stage_effects", "format_failures", "comparison_tests"):
        assert {"squared difference, %", "seen from, points"} <= tables[name], name
