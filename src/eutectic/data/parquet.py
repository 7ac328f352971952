"""Parquet files, read by pyarrow where it is installed: `pip install 'eutectic[parquet]'`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eutectic.errors import InputError


def rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number, from 1, and columns of every row; raises `InputError` where pyarrow is missing or the file is cut."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise InputError("is a Parquet file", file=file, remedy="Install what reads it: pip install 'eutectic[parquet]'.") from error
    try:
        number = 0
        for batch in parquet.ParquetFile(file).iter_batches():
            for number, value in enumerate(batch.to_pylist(), number + 1):  # noqa: B020 - counts on over the batches
                yield number, value
    except (OSError, ArrowException) as error:
        raise InputError(f"is no whole Parquet file ({error})", file=file, remedy="Fetch it again.") from error
