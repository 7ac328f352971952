"""Models by hub id, downloaded once into the hub's own cache."""

from __future__ import annotations

from pathlib import Path

from eutectic.errors import InputError

MODEL_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")


def snapshot(name: str) -> Path:
    """The local folder of `owner/name[@commit]`; raises `InputError` for what is no hub id, or when the hub does not give it."""
    repository, _, revision = name.partition("@")
    if len(repository.split("/")) != 2 or repository.startswith((".", "~", "/")):
        raise InputError(f"there is no folder {name!r}", remedy="Check the path.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=list(MODEL_FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"there is no folder {name!r}, and the model hub did not give that model ({type(error).__name__})",
            remedy="Check the path or the hub id and the network; a folder must hold config.json, tokenizer and safetensors.",
        ) from error
