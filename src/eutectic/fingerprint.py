"""Identity: canonical JSON, step keys, content digests.

A key is the SHA-256 of what bears identity and nothing else; files and folders enter by BLAKE3 digest.
Floats are written by `repr`, mapping keys are sorted, and a value that has no stable form is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from blake3 import blake3

from eutectic.errors import InputError, WorkError

CHUNK = 1 << 22


def canonical(value: Any, place: str = "value") -> Any:
    """`value` reduced to plain JSON types in a stable form.

    Raises `WorkError` for NaN, infinities and types without a stable form: such a key would not mean anything.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise WorkError(f"{place} is {value!r} and cannot be fingerprinted")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, Mapping):
        return {str(k): canonical(v, f"{place}.{k}") for k, v in sorted(value.items(), key=lambda kv: str(kv[0]))}
    if isinstance(value, list | tuple):
        return [canonical(v, f"{place}[{i}]") for i, v in enumerate(value)]
    raise WorkError(f"{place} is a {type(value).__name__} and cannot be fingerprinted stably")


def canonical_json(value: Any) -> str:
    """Canonical JSON text of `value`: sorted keys, no spaces, UTF-8."""
    return json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key(kind: str, revision: int, spec: Mapping[str, Any], parents: Mapping[str, Iterable[str]]) -> str:
    """Key of a step, 64 hex digits: SHA-256 over kind, revision of the kind, resolved spec and the parents' keys by role."""
    identity = {"kind": kind, "revision": revision, "spec": spec, "parents": {role: list(keys) for role, keys in parents.items()}}
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()


def stream_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed for one random stream: streams of one study never share numbers, whatever the order of use."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{purpose}".encode()).digest()[:8], "big") >> 1


class DigestCache:
    """BLAKE3 digests of files, remembered by device, inode, size and modification time in one JSON file."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self._known: dict[str, str] = {}
        self._changed = False
        if file is not None and file.exists():
            try:
                self._known = json.loads(file.read_text())
            except (OSError, ValueError):  # a torn cache costs one more reading, nothing else
                self._known = {}

    def digest(self, path: Path) -> str:
        """BLAKE3 hex digest of a file's content; raises `InputError` when it cannot be read."""
        try:
            stat = path.stat()
            mark = f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}"
            if mark not in self._known:
                self._known[mark] = digest_file(path)
                self._changed = True
            return self._known[mark]
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", file=path, remedy="Check the path and its permissions.") from error

    def remember(self, path: Path, digest: str) -> None:
        """Take the digest of a file that was worked out while it was written."""
        stat = path.stat()
        self._known[f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}"] = digest
        self._changed = True

    def folder(self, folder: Path) -> str:
        """BLAKE3 hex digest of a folder: names and contents of its files, hidden ones and `record.json` left out."""
        files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "record.json" and not hidden(p, folder))
        lines = [f"{p.relative_to(folder).as_posix()}\0{self.digest(p)}\n" for p in files]
        return blake3("".join(lines).encode()).hexdigest()

    def save(self) -> None:
        """Write the cache beside what it serves; a store that cannot be written simply forgets."""
        if self.file is None or not self._changed:
            return
        temporary = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(self._known))
            temporary.replace(self.file)
            self._changed = False
        except OSError:
            temporary.unlink(missing_ok=True)


def hidden(path: Path, root: Path) -> bool:
    """Whether any part of `path` below `root` begins with a dot."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def digest_file(path: Path) -> str:
    """BLAKE3 hex digest of one file, read in 4 MiB chunks."""
    hasher = blake3()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()
