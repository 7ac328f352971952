import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from eutectic.context import Context
from eutectic.demo import wheels
from eutectic.demo.wheels import Wheel
from eutectic.errors import WorkError

CONTENT = bytes(range(256)) * 4096


class Server(ThreadingHTTPServer):
    """Serves CONTENT; sends at most `gives` bytes a request, and continues only where `ranges` is set."""

    daemon_threads = True
    gives = len(CONTENT)
    ranges = True
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + self.server.gives])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server():
    server = Server(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}/a.whl"


def test_a_broken_download_goes_on_where_it_broke(server, tmp_path):
    server.gives = len(CONTENT) // 3 + 1
    partial = tmp_path / "a.part"
    wheels.download(url(server), partial, len(CONTENT), Context())
    assert partial.read_bytes() == CONTENT
    assert server.asked[0] == ""
    assert len(server.asked) == 3
    assert all(asked.startswith("bytes=") for asked in server.asked[1:])


def test_a_partial_file_of_an_earlier_run_is_continued(server, tmp_path):
    partial = tmp_path / "a.part"
    partial.write_bytes(CONTENT[:1000])
    wheels.download(url(server), partial, len(CONTENT), Context())
    assert partial.read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    server.ranges = False
    partial = tmp_path / "a.part"
    partial.write_bytes(b"old")
    wheels.download(url(server), partial, len(CONTENT), Context())
    assert partial.read_bytes() == CONTENT


def test_a_download_that_never_ends_says_where_it_will_go_on(server, tmp_path, monkeypatch):
    server.gives = 0
    partial = tmp_path / "a.part"
    partial.write_bytes(CONTENT[:700_000])
    monkeypatch.setattr(wheels, "PAUSE", 0.0)
    with pytest.raises(WorkError, match=r"broke off.*goes on after 0\.7 MB"):
        wheels.download(url(server), partial, len(CONTENT), Context())
    assert partial.stat().st_size == 700_000
    assert len(server.asked) == wheels.TRIES


def test_a_wheel_with_other_content_is_deleted(tmp_path):
    wheel = Wheel("a", "1", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    partial = tmp_path / "a.part"
    partial.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(WorkError, match="is not the one this version was tested with"):
        wheels._verify(wheel, partial)
    assert not partial.exists()


def test_without_network_and_cache_there_is_one_clear_paragraph(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    wheel = Wheel("mendeleev", "1.3.0", "0" * 64, 1_380_301)
    with pytest.raises(WorkError) as caught:
        wheels.fetch(wheel, tmp_path / "wheels", Context())
    assert "mendeleev 1.3.0 (1 MB); it is not in the cache and cannot be fetched" in str(caught.value)
    assert "EUTECTIC_CACHE" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_local_folder_of_wheels_is_enough(tmp_path, monkeypatch):
    folder = tmp_path / "wheels here"
    folder.mkdir()
    made = _tiny_wheel(folder)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", folder.as_uri())
    wheel = Wheel("tiny-carrier", "1.0", hashlib.sha256(made.read_bytes()).hexdigest(), made.stat().st_size)
    found = wheels.fetch(wheel, tmp_path / "cache", Context())
    assert found.read_bytes() == made.read_bytes()
    made.unlink()
    assert wheels.fetch(wheel, tmp_path / "cache", Context()) == found


def _tiny_wheel(folder: Path) -> Path:
    import zipfile

    file = folder / "tiny_carrier-1.0-py3-none-any.whl"
    info = "tiny_carrier-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-carrier\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return file
