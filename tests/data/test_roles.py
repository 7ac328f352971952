import json

import pytest

from eutectic.artifacts import Artifact
from eutectic.data import roles
from eutectic.errors import InputError
from eutectic.specs.steps import DatasetStep

TURNS = [{"role": "user", "content": "What is silk?"}, {"role": "assistant", "content": "A fibre."}]
SHAPES = {
    "text": {"text": "Silk is a fibre."},
    "instruction": {"messages": TURNS},
    "preference": {"prompt": TURNS[:1], "chosen": TURNS[1:], "rejected": TURNS[1:]},
}


@pytest.fixture
def world(tmp_path):
    """Writes a dataset of rows (id, group, sources) and a benchmark of items (id, role, group, sources); gives both as artifacts."""

    def write(kind, rows, items):
        common = [{"id": i, "group": g, "source_ids": s, **SHAPES[kind]} for i, g, s in rows]
        asked = [
            {"id": i, "role": r, "group": g, "source_ids": s, "question": "?", "options": ["a", "b"], "answer": 0} for i, r, g, s in items
        ]
        for name, content in (("chat/train.jsonl", common), ("exam/items.jsonl", asked)):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in content))
        spec = DatasetStep(kind=kind)
        return Artifact("dataset", "chat", "d", tmp_path / "chat", spec), Artifact("benchmark", "exam", "b", tmp_path / "exam")

    return write


def found(dataset, benchmark):
    return [(v.item, v.role, v.rows) for v in roles.violations(dataset.path, dataset.spec.kind, benchmark.path)]


@pytest.mark.parametrize("kind", SHAPES)
def test_an_unseen_item_is_broken_by_any_row_of_its_group_or_its_sources(kind, world):
    rows = [("r1", "g1", ["s1"]), ("r2", "g2", ["s2", "s3"]), ("r3", "g1", ["s9"]), ("r1", "g1", ["s1"])]
    items = [("by group", "unseen", "g1", []), ("by source", "unseen", "g8", ["s3", "s7"]), ("kept", "unseen", "g7", ["s7"])]
    assert found(*world(kind, rows, items)) == [("by group", "unseen", ("r1", "r3")), ("by source", "unseen", ("r2",))]


@pytest.mark.parametrize("kind", SHAPES)
def test_an_acquired_item_is_broken_by_questions_about_its_source_and_not_by_text(kind, world):
    rows = [("r1", "g1", ["s1"]), ("r2", "g1", ["s2"])]
    items = [("asked", "acquired", "g1", ["s2"]), ("same group only", "acquired", "g1", ["s5"]), ("no role", "", "g1", ["s1"])]
    assert found(*world(kind, rows, items)) == ([] if kind == "text" else [("asked", "acquired", ("r2",))])


def test_the_error_names_the_first_items_their_rows_and_what_to_do(world):
    rows = [(f"r{n}", "g", [f"s{n}"]) for n in range(10)]
    items = [(f"q{n}", "acquired", "g", [f"s{n}"]) for n in range(8)]
    with pytest.raises(InputError) as error:
        roles.check(*world("instruction", rows, items))
    text = str(error.value)
    assert text.startswith("benchmarks.exam: an item of role `acquired`")
    assert "the instruction dataset chat breaks this for 8 of its items" in text
    assert "item q4 by row r4 and 3 more" in text
    assert "q5" not in text
    assert "Take these rows out of chat" in text


def test_a_row_that_stands_often_is_named_once_and_few_are_named(world):
    rows = [(f"r{n // 2}", "g", ["s"]) for n in range(40)]
    assert found(*world("text", rows, [("q", "unseen", "g", [])])) == [("q", "unseen", ("r0", "r1", "r2"))]
