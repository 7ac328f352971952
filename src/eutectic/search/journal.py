"""The points of a search on disk, each written when it is scored: a killed search proposes the same again and takes what is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from eutectic.specs.rows import Point


class Journal:
    """`points.jsonl`: the points of a search in order.

    What was asked for is made only where the file does not hold it; from the first line that is torn, or that another version would not
    ask for, the file is written anew.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.points: list[Point] = []
        self._lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
        self._size = 0

    def take(self, asked: Point, make: Callable[[Point], Point]) -> Point:
        """The scored form of a point: of an earlier run, or made now and brought to disk before it is given back."""
        asked = asked.model_copy(update={"number": len(self.points)})
        point = self._known(asked)
        if point is None:
            self._lines = []
            point = make(asked)
            self._write(point.model_dump_json(exclude_defaults=True).encode() + b"\n")
        self.points.append(point)
        return point

    def _known(self, asked: Point) -> Point | None:
        if not self._lines:
            return None
        line = self._lines.pop(0)
        try:
            point = Point.model_validate_json(line)
        except ValidationError:
            return None
        same = {"by", "number", "place", "model"}
        if not line.endswith(b"\n") or point.model_dump(include=same) != asked.model_dump(include=same):
            return None
        self._size += len(line)
        return point

    def _write(self, line: bytes) -> None:
        with self.file.open("ab") as stream:
            stream.truncate(self._size)
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
        self._size += len(line)
