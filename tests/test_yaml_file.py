from pathlib import Path

import pytest

from eutectic.errors import InputError
from eutectic.yaml_file import read_yaml


def read(tmp_path: Path, text: str, version: str = "1.2"):
    file = tmp_path / "f.yaml"
    file.write_text(text)
    return read_yaml(file, version)


def test_numbers_and_words_of_both_versions(tmp_path: Path) -> None:
    text = "a: 5e-6\nb: no\nc: 0o17\nd: 1_000\n"
    assert read(tmp_path, text).value["a"] == 5e-6
    assert read(tmp_path, text).value["b"] == "no"
    assert read(tmp_path, "b: no\n", "1.1").value["b"] is False


def test_every_place_has_its_line(tmp_path: Path) -> None:
    file = read(tmp_path, "a: 1\nb:\n  - x: 1\n    y: {z: 2}\n  - 3\n")
    assert file.line_of(("b", 0, "y", "z")) == 4
    assert file.line_of(("b", 1)) == 5
    assert file.line_of(("b", 0, "missing")) == 3


@pytest.mark.parametrize(
    ("text", "says", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", "`a` is given twice", 3),
        ("a:\n  x: 1\n  x: 2\n", "`x` is given twice in a", 3),
        ("a: !!python/object/apply:os.system [ls]\n", "tag", 1),
        ("a: 1\nb: !custom {x: 1}\n", "tag", 2),
        ("a: [1, 2\nb: 3\n", "not valid YAML", None),
        ("a: *nothing\n", "not valid YAML", 1),
        ("a: &a [*a]\n", "nested too deeply", None),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, says: str, line: int | None) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read(tmp_path, text)
    assert caught.value.exit_code == 2
    assert line is None or caught.value.line == line


def test_an_alias_bomb_is_refused_quickly(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(InputError, match="alias bomb"):
        read(tmp_path, "\n".join(lines))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="UTF-8"):
        read_yaml(tmp_path / "binary.yaml")
    (tmp_path / "nul.yaml").write_bytes(b"a: \x00\x01")
    with pytest.raises(InputError, match="not valid YAML"):
        read_yaml(tmp_path / "nul.yaml")
