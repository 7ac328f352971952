"""Running merge files through mergekit, in its own environment, and through ours, and what rounding lets them differ by."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from eutectic.artifacts import Artifact
from eutectic.context import Context
from eutectic.merge import stream
from eutectic.merge.group import Group, Parts
from eutectic.merge.mergekit_file import read
from eutectic.models.checkpoint import open_checkpoint

EPS = 2.0**-24  # half a unit in the last place of fp32, relative
SLERP_LINE = 1.25e-4
# mergekit sums norms in fp32: of bf16 models its multislerp is 1.1e-6 away from the formula in fp64, ours 4e-8 (test_methods.py).
FLOAT32_NORMS, BY_NORMS = 2e-6, ("multislerp", "karcher", "model_stock")
Tensors = dict[str, torch.Tensor]


def run(folder: Path, configurations: Mapping[str, tuple[Path, dict[str, Any]]], *, mask: bool = False) -> Path:
    """Write NAME.yaml and mergekit's result NAME for each configuration; `m0`... in it become folders of the given parent folder.

    With `mask` mergekit draws the numbers that `masked` gives ours.
    """
    python = os.environ.get("EUTECTIC_ORACLE_PYTHON")
    if not python:
        pytest.skip("EUTECTIC_ORACLE_PYTHON names no oracle environment")
    jobs = []
    for name, (models, config) in configurations.items():
        text = json.dumps(config)
        for index in range(3):
            text = text.replace(f'"m{index}"', json.dumps(str(models / f"m{index}")))
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(json.loads(text), sort_keys=False))
        jobs.append([str(folder / f"{name}.yaml"), str(folder / name)])
    script = Path(__file__).with_name("run_mergekit.py")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [python, str(script), str(folder / "jobs.json"), *(["mask"] if mask else [])]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def masked(_: Group, __: str, parts: Parts) -> np.ndarray:
    """The numbers of `run_mergekit.py mask`, in the form of `Group._drawn`."""
    return (np.arange(parts.start, parts.start + parts.count, dtype=np.uint64) * 2654435769).astype(np.uint32)


def ours(file: Path) -> tuple[Tensors, list[Tensors]]:
    """Our result of a file, and the tensors of its parents, the base first."""
    found = read(file)
    base = (Artifact("checkpoint", "base", "base", Path(found.base)),) if found.base else ()
    models = tuple(Artifact("checkpoint", name, name, Path(name)) for name in found.models)
    parents = [dict(open_checkpoint(parent.path).tensors()) for parent in (*base, *models)]
    return dict(stream.tensors(found.step, {"base": base, "models": models}, Context(threads=1))), parents


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.double().flatten(), b.double().flatten()
    return float(a @ b / a.norm() / b.norm())


def allowed(method: str, name: str, parents: list[Tensors], out: torch.dtype, *, by_norms: bool = False) -> torch.Tensor:
    """Largest difference allowed at each element, from the magnitudes that enter it: rounding of a few fp32 operations.

    `by_norms`: a norm over the whole tensor enters, which mergekit sums in fp32.
    """
    magnitude = sum(parent[name].float().abs() for parent in parents)
    assert isinstance(magnitude, torch.Tensor)
    line = method == "slerp" and abs(cosine(parents[0][name], parents[1][name])) > 0.9995
    last_place = torch.finfo(out).eps if out != torch.float32 else 0.0  # two fp32 results an ulp apart may round to neighbours
    norms = FLOAT32_NORMS if by_norms or method in BY_NORMS else 0.0
    return magnitude * (8 * EPS + (SLERP_LINE if line else 0.0) + norms + last_place)
