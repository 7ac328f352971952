"""The store: published folders under their keys, one writer a key, nothing half-written.

`STORE/KIND/NAME-HEX16/` is whole if it exists: work happens in `STORE/.partial/KEY/`, is synced to disk and then renamed.
A partial folder outlives a killed process, so that a step which saves its state there can go on.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from eutectic.artifacts import RECORD, Record
from eutectic.errors import InputError, WorkError
from eutectic.fingerprint import DigestCache

BEAT_SECONDS = 5.0
DEAD_SECONDS = 60.0


def slug(address: str) -> str:
    """An address as a folder name: letters, digits, dot and hyphen, at most 60 characters."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", address).strip("-.")[:60] or "unnamed"


class Store:
    """Published folders by key. Opening a store creates nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.digests = DigestCache(root / ".cache" / "digests.json")

    def find(self, kind: str, key: str) -> Path | None:
        """The published folder of a key, or None. Of two folders that end alike the record decides."""
        for folder in (self.root / kind).glob(f"*-{key[:16]}"):
            if self.record(folder).key == key:
                return folder
        return None

    def record(self, folder: Path) -> Record:
        """The record of a published folder; a damaged one is an `InputError` naming the folder to delete."""
        try:
            return Record.model_validate_json((folder / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise InputError(
                "the record is missing or damaged", file=folder / RECORD, remedy=f"Delete {folder}; it will be made again."
            ) from error

    def folders(self) -> Iterator[Path]:
        """All published folders."""
        yield from sorted(p.parent for p in self.root.glob(f"[!.]*/*/{RECORD}"))

    def partial(self, key: str) -> Path:
        """Where the writer of a key works; may hold what an earlier, killed writer saved."""
        return self.root / ".partial" / key

    def prepare(self) -> None:
        """Create the store and try to write in it; a store that cannot be written is an `InputError` before any work."""
        try:
            for name in (".partial", ".locks"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            probe = self.root / ".partial" / f".probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(
                f"the store cannot be written ({error.strerror})",
                file=self.root,
                remedy="Give a writable place with --store or $EUTECTIC_STORE.",
            ) from error

    def publish(self, partial: Path, record: Record) -> Path:
        """Sync a finished partial folder to disk and give it its final name. Hidden files (saves for resuming) are left out."""
        for path in partial.iterdir():
            if path.name.startswith("."):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        (partial / RECORD).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
        final = self.root / record.kind / f"{slug(record.address)}-{record.key[:16]}"
        final.parent.mkdir(parents=True, exist_ok=True)
        sync_folder(partial)
        partial.rename(final)
        sync(final.parent)
        return final

    def content_digest(self, folder: Path) -> str:
        """BLAKE3 of a published folder as it is now (cached by size, time and inode of its files)."""
        return self.digests.folder(folder)

    @contextlib.contextmanager
    def lock(self, key: str, waiting: Callable[[str], None]) -> Iterator[None]:
        """Be the only writer of a key. `waiting` is told once who else holds it. The lock dies with its process."""
        lock = Lock(self.root / ".locks" / f"{key}.json")
        lock.acquire(waiting)
        try:
            yield
        finally:
            lock.release()


def cache_folder() -> Path:
    """`$EUTECTIC_CACHE`, else the platform's cache folder for eutectic."""
    given = os.environ.get("EUTECTIC_CACHE")
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "eutectic"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "eutectic"


def sync_folder(folder: Path) -> None:
    """Bring a folder with all it holds to disk."""
    for path in (*sorted(folder.rglob("*")), folder):
        sync(path)


def sync(path: Path) -> None:
    """Bring a file or a folder to disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def full_disk_is_an_error(place: Path) -> Iterator[None]:
    """Turn a full disk or quota into one readable `WorkError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (28, 122):  # ENOSPC, EDQUOT
            free = shutil.disk_usage(place).free if place.exists() else 0
            raise WorkError(
                f"the disk is full ({free / 1e6:.0f} MB free); nothing was published",
                file=place,
                remedy="Free some space or give another place with --store, then run again: finished steps are kept.",
            ) from error
        raise


class Lock:
    """A lock file with a heartbeat.

    The owner rewrites it every few seconds. Another process takes it over when the owner's process is gone (same host) or when the
    beat has not changed for a minute of the waiter's own monotonic clock, so that clocks of hosts need not agree.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": process_start(os.getpid()), "id": uuid.uuid4().hex}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, waiting: Callable[[str], None]) -> None:
        """Return when the lock is held."""
        last, since, told = "", time.monotonic(), False
        while not self._create():
            seen = self._read()
            if seen != last:
                last, since = seen, time.monotonic()
            if self._dead(seen) or time.monotonic() - since > DEAD_SECONDS:
                self._take_away(seen)
                continue
            if not told:
                waiting(seen)
                told = True
            time.sleep(0.2)
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Stop the heartbeat and remove the file if it is still ours."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(OSError):
            if json.loads(self._read() or "{}").get("id") == self.owner["id"]:
                self.file.unlink()

    def _create(self) -> bool:
        """Write the whole lock beside its place and link it there: nobody ever sees an empty lock."""
        temporary = self.file.with_name(f".{self.owner['id']}")
        temporary.write_text(json.dumps({**self.owner, "beat": 0}))
        try:
            os.link(temporary, self.file)
            return True
        except FileExistsError:
            return False
        finally:
            temporary.unlink()

    def _read(self) -> str:
        try:
            return self.file.read_text()
        except OSError:
            return ""

    def _beat(self) -> None:
        beat = 0
        while not self._stop.wait(BEAT_SECONDS):
            beat += 1
            temporary = self.file.with_name(f".{self.owner['id']}.beat")
            with contextlib.suppress(OSError):
                temporary.write_text(json.dumps({**self.owner, "beat": beat}))
                temporary.replace(self.file)

    def _dead(self, seen: str) -> bool:
        """Whether the owner was a process of this host that no longer runs."""
        try:
            owner = json.loads(seen or "{}")
        except ValueError:
            return False
        if owner.get("host") != socket.gethostname():
            return False
        return bool(process_start(int(owner.get("pid", 0))) != owner.get("started"))

    def _take_away(self, seen: str) -> None:
        """Remove a dead owner's lock; the rename lets only one of several waiters win."""
        grave = self.file.with_name(f".grave-{uuid.uuid4().hex}")
        with contextlib.suppress(OSError):
            if self._read() == seen:
                self.file.rename(grave)
                grave.unlink()


def process_start(pid: int) -> str:
    """When a process of this host began, as an opaque word; empty if there is none. A reused pid has another word."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
    try:  # no /proc (macOS): only whether it runs
        os.kill(pid, 0)
        return "running"
    except OSError:
        return ""
