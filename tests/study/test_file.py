from pathlib import Path

import pytest

from eutectic.errors import InputError
from eutectic.study import file

SOUND = """\
study: s
models:
  instruct: {path: model}
datasets:
  text: {kind: text, files: text.jsonl}
stages:
  cpt: {objective: cpt, dataset: text, learning_rate: 5e-6}
chains:
  - {models: [instruct], stages: [cpt]}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return path


def test_a_sound_study(tmp_path: Path) -> None:
    study = file.load(write(tmp_path, SOUND))
    assert study.spec.stages["cpt"].learning_rate == 5e-6
    assert file.load(tmp_path).spec == study.spec


def test_keys_of_the_objective_stand_beside_the_common_ones(tmp_path: Path) -> None:
    study = file.load(write(tmp_path, SOUND.replace("learning_rate: 5e-6", "learning_rate: 5e-6, beta: 0.05")))
    assert study.spec.stages["cpt"].parameters == {"beta": 0.05}


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("study: s\n", "study: s\nmodles: {}\n", 2, "`modles` is not known here. Did you mean 'models'?"),
        ("files: text.jsonl", "file: text.jsonl", 5, "`file` is not known here. Did you mean 'files'?"),
        ("kind: text", "kind: txt", 5, "found 'txt'"),
        ("learning_rate: 5e-6", "learning_rate: -1", 7, "found -1"),
        ("learning_rate: 5e-6", "learning_rate: fast", 7, "found 'fast'"),
        ("objective: cpt, ", "", 7, "`objective` is missing"),
        ("{path: model}", "{path: model, endpoint: 'http://x'}", 3, "either `path` or `endpoint`"),
        ("{path: model}", "model", 3, "found 'model'"),
        ("  cpt: {", "  c-pt: {", 7, "c-pt"),
        ("study: s\n", "study: s\nseed: 1\nseed: 2\n", 3, "`seed` is given twice"),
        ("[instruct]", "[]", 9, "at least 1"),
    ],
)
def test_each_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    assert old in SOUND
    with pytest.raises(InputError) as caught:
        file.load(write(tmp_path, SOUND.replace(old, new)))
    assert says in str(caught.value)
    assert caught.value.line == line
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "- 1\n- 2\n", "just words\n"])
def test_what_is_no_mapping(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="mapping"):
        file.load(write(tmp_path, text))
