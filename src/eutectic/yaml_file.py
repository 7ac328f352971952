"""Reading YAML that people write: every key keeps its line, and what could hurt or mislead is refused.

YAML 1.2 for our own files (`5e-6` is a number, `no` a word), 1.1 for mergekit's. A key given twice is an error in both.
Tags are refused (nothing is ever constructed from a file) and so is an alias bomb.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from eutectic.errors import InputError

MOST_NODES = 100_000
MOST_BYTES = 4_000_000
PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge")}

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlFile:
    """The plain value of a YAML file (dicts, lists, numbers, strings) and the line of each place in it."""

    path: Path
    value: Any
    lines: dict[Place, int] = field(repr=False)

    def line_of(self, place: Sequence[str | int]) -> int | None:
        """Line (1-based) of a place, or of the nearest place around it that the file has."""
        for end in range(len(place), -1, -1):
            if (line := self.lines.get(tuple(place[:end]))) is not None:
                return line
        return None


def read_yaml(path: Path, version: Literal["1.1", "1.2"] = "1.2") -> YamlFile:
    """Read one YAML document; raises `InputError` with file and line for anything that is not plain, finite YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    text = _text(path)
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    try:
        node = yaml.compose(text)
        lines: dict[Place, int] = {}
        if node is not None:
            _walk(node, (), lines, path, [0])
        reader = YAML(typ="safe", pure=True)
        reader.version = version
        return YamlFile(path, reader.load(text), lines)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join((error.problem or str(error)).split())
        raise InputError(
            f"this is not valid YAML: {problem}", file=path, line=mark.line + 1 if mark else None, remedy="Mend that line."
        ) from error
    except (YAMLError, ValueError) as error:
        raise InputError(f"this is not valid YAML: {' '.join(str(error).split())}", file=path, remedy="Mend the file.") from error
    except RecursionError as error:
        raise InputError("the YAML is nested too deeply", file=path, remedy="A study needs a handful of levels.") from error


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(
                f"is larger than {MOST_BYTES / 1e6:.0f} MB, too large for a file of settings", file=path, remedy="Check the path."
            )
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("there is no such file", file=path, remedy="Check the path, or write one with `eutectic init`.") from error
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text", file=path, remedy="Save it as UTF-8.") from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, remedy="Check the path and its permissions.") from error


def _walk(node: Any, place: Place, lines: dict[Place, int], path: Path, count: list[int]) -> None:
    """Record lines, refuse tags and repeated keys; aliases are walked as often as they are used, which finds bombs."""
    count[0] += 1
    line = node.start_mark.line + 1
    if count[0] > MOST_NODES:
        raise InputError(
            f"expands to more than {MOST_NODES} values (an alias bomb?)", file=path, line=line, remedy="Write it without aliases."
        )
    tag = str(node.ctag if hasattr(node, "ctag") and node.ctag else node.tag)
    if tag not in PLAIN_TAGS:
        raise InputError(f"the tag {tag!r} is not allowed", file=path, line=line, remedy="Only plain YAML is read; remove the tag.")
    lines.setdefault(place, line)
    if node.id == "sequence":
        for index, child in enumerate(node.value):
            _walk(child, (*place, index), lines, path, count)
    elif node.id == "mapping":
        seen: dict[str, int] = {}
        for key, child in node.value:
            name, where = str(key.value), key.start_mark.line + 1
            if name in seen:
                inside = ".".join(map(str, place)) or "the file"
                raise InputError(
                    f"the key `{name}` is given twice in {inside} (first on line {seen[name]})",
                    file=path,
                    line=where,
                    remedy="Keep one of them.",
                )
            seen[name] = where
            _walk(child, (*place, name), lines, path, count)
            lines[(*place, name)] = where
