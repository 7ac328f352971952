import pytest

from eutectic.converse import script
from eutectic.errors import InputError


def test_every_packaged_script_loads_and_asks_something():
    assert "collagen" in script.packaged()
    for name in script.packaged():
        read = script.load(name)
        assert read["name"] == name
        assert all(turn["user"].strip() for turn in read["turns"])
    assert len(script.load("collagen")["turns"]) == 3


def test_defaults_are_filled_in_and_bare_turns_are_turns(tmp_path):
    file = tmp_path / "talk.yaml"
    file.write_text("turns:\n  - What is silk?\n  - {user: And bone?, max_new_tokens: 20}\n")
    read = script.load(file)
    assert read["name"] == "talk"
    assert read["sampling"] == {"temperature": 0.2, "top_p": 0.9, "repetition_penalty": 1.1}
    assert read["turns"] == [{"user": "What is silk?", "max_new_tokens": None}, {"user": "And bone?", "max_new_tokens": 20}]


@pytest.mark.parametrize(
    ("text", "found", "line"),
    [
        ("system: x\nturns: []\n", "no user turn", 2),
        ("turns:\n  - hi\nturn: 3\n", "key is unknown", 3),
        ("turns:\n  - hi\nsampling:\n  temperature: -1\n", "greater than or equal to 0", 4),
        ("- hi\n", "mapping", None),
    ],
)
def test_a_script_that_does_not_fit_is_refused_with_its_line(tmp_path, text, found, line):
    file = tmp_path / "talk.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=found) as caught:
        script.load(file)
    assert caught.value.file == file
    assert caught.value.line == line


def test_an_unknown_name_lists_the_packaged_ones():
    with pytest.raises(InputError, match="collagen"):
        script.load("colagen")
