import shutil

import pytest

from eutectic.artifacts import TURNS, Artifact, read_rows
from eutectic.context import Context
from eutectic.converse import interview
from eutectic.errors import InputError
from eutectic.specs.rows import Turn
from eutectic.specs.steps import ConverseStep

SCRIPT = {
    "name": "talk",
    "system": "Be brief.",
    "max_new_tokens": 8,
    "turns": ["What is silk?", {"user": "And bone?", "max_new_tokens": 4}],
}


def hold(model, out, **more):
    out.mkdir()
    parents = {"model": (Artifact("checkpoint", "instruct", "k", model),)}
    ledger = interview.build(ConverseStep(script=SCRIPT, **more), parents, out, Context())
    return ledger, read_rows(out / TURNS, Turn)


def test_every_sample_holds_the_whole_script(tmp_path, tiny):
    ledger, rows = hold(tiny, tmp_path / "a", samples=3, seed=5)
    for sample in range(3):
        turns = [row for row in rows if row.sample == sample]
        assert [(t.turn, t.role) for t in turns] == [(0, "system"), (1, "user"), (2, "assistant"), (3, "user"), (4, "assistant")]
        assert [t.content for t in turns if t.role == "user"] == ["What is silk?", "And bone?"]
        assert turns[2].tokens <= 8
        assert turns[4].tokens <= 4
        assert all(t.stop_reason in ("end", "length") and t.seed for t in turns if t.role == "assistant")
    assert (ledger["samples"], ledger["turns"]) == (3, 6)
    assert ledger["tokens"] == sum(row.tokens for row in rows)


def test_the_seed_decides_the_words(tmp_path, tiny):
    warm = {**SCRIPT, "sampling": {"temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0}}
    said = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        out = tmp_path / name
        out.mkdir()
        parents = {"model": (Artifact("checkpoint", "instruct", "k", tiny),)}
        interview.build(ConverseStep(script=warm, seed=seed), parents, out, Context())
        said.append([row.content for row in read_rows(out / TURNS, Turn)])
    assert said[0] == said[1]
    assert said[0] != said[2]


def test_a_conversation_that_outgrows_the_context_names_its_turn(tmp_path, tiny):
    long = {**SCRIPT, "turns": ["Short.", "word " * 600]}
    parents = {"model": (Artifact("checkpoint", "instruct", "k", tiny),)}
    with pytest.raises(InputError, match=r"turn 2: prompt 1 has .* context of 512"):
        interview.build(ConverseStep(script=long), parents, tmp_path, Context())


def test_what_can_be_known_before(tmp_path, tiny):
    bare = shutil.copytree(tiny, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="no chat template"):
        interview.check(ConverseStep(script=SCRIPT), {"model": (Artifact("checkpoint", "x", "k", bare),)})
    with pytest.raises(InputError, match="the script does not fit"):
        interview.check(ConverseStep(script={"name": "x", "turns": []}), {"model": (Artifact("checkpoint", "x", "k", tiny),)})
    interview.check(ConverseStep(script=SCRIPT), {"model": (Artifact("checkpoint", "x", "k", tmp_path / "not yet"),)})
