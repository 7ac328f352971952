import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from eutectic.artifacts import Record
from eutectic.errors import InputError, WorkError
from eutectic.store import Lock, Store, full_disk_is_an_error, slug


def record(key: str = "ab" * 32, **changes) -> Record:
    fields: dict = dict(  # noqa: C408
        kind="checkpoint",
        step="train",
        address="instruct/cpt#3",
        key=key,
        revision=1,
        spec={"a": 1},
        parents={},
        consumed={},
        digest="",
        versions={},
    )
    return Record(**{**fields, **changes})


def publish(store: Store, made: Record) -> Path:
    store.prepare()
    partial = store.partial(made.key)
    partial.mkdir()
    (partial / "weights").write_bytes(b"w" * 1000)
    (partial / ".state").mkdir()
    (partial / ".state" / "saved").write_text("x")
    return store.publish(partial, made)


def test_publishing_gives_the_folder_its_name_and_leaves_saves_out(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    folder = publish(store, record())
    assert folder == tmp_path / "store" / "checkpoint" / f"instruct-cpt-3-{'ab' * 8}"
    assert store.find("checkpoint", "ab" * 32) == folder
    assert store.find("checkpoint", "cd" * 32) is None
    assert sorted(p.name for p in folder.iterdir()) == ["record.json", "weights"]
    assert store.record(folder).spec == {"a": 1}
    assert list(store.folders()) == [folder]


def test_two_keys_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    publish(store, record("ab" * 32))
    assert store.find("checkpoint", "ab" * 8 + "cd" * 24) is None


def test_a_damaged_record_names_the_folder(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    folder = publish(store, record())
    (folder / "record.json").write_text('{"kind"')
    with pytest.raises(InputError, match="Delete"):
        store.find("checkpoint", "ab" * 32)


def test_slug() -> None:
    assert slug("paper:instruct/cpt-sft,t=0.3") == "paper-instruct-cpt-sft-t-0.3"
    assert slug("../..") == "unnamed"
    assert len(slug("x" * 500)) == 60


@pytest.mark.skipif(os.geteuid() != 0 and not os.access("/proc", os.R_OK), reason="needs /proc")
def test_a_store_that_cannot_be_written_is_an_input_error() -> None:
    with pytest.raises(InputError, match="cannot be written"):
        Store(Path("/proc/eutectic-store")).prepare()


def test_a_full_disk_is_one_paragraph(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="disk is full"), full_disk_is_an_error(tmp_path):
        raise OSError(28, "No space left on device")


HOLDER = """
import sys, time
from pathlib import Path
from eutectic.store import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire(lambda seen: None)
print("held", flush=True)
time.sleep(60)
"""


def hold(file: Path) -> subprocess.Popen:
    holder = subprocess.Popen([sys.executable, "-c", textwrap.dedent(HOLDER), str(file)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    with hold(file) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        begun = time.monotonic()
        lock = Lock(file)
        lock.acquire(lambda seen: None)
        assert time.monotonic() - begun < 5
        lock.release()
    assert not file.exists()


def test_a_living_holder_is_waited_for_and_named(tmp_path: Path) -> None:
    file, told = tmp_path / "key.json", []
    with hold(file) as holder:
        killer = threading.Timer(1.0, holder.kill)
        killer.start()
        begun = time.monotonic()
        lock = Lock(file)
        lock.acquire(told.append)
        assert time.monotonic() - begun > 0.8
        lock.release()
    assert json.loads(told[0])["pid"] == holder.pid


def test_only_one_of_many_waiters_holds_the_lock(tmp_path: Path) -> None:
    file, inside, most = tmp_path / "key.json", [], []

    def work() -> None:
        lock = Lock(file)
        lock.acquire(lambda seen: None)
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        lock.release()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 8
    assert max(most) == 1


def test_a_lock_of_another_host_that_stopped_beating_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eutectic.store.DEAD_SECONDS", 0.5)
    file = tmp_path / "key.json"
    file.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": "x", "id": "y", "beat": 3}))
    lock = Lock(file)
    lock.acquire(lambda seen: None)
    lock.release()
