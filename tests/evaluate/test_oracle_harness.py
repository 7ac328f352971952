"""Log-likelihoods of continuations against lm-evaluation-harness 0.4.13, in its own environment, in float32."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from example_items import cloze_groups
from test_likelihood import ITEMS, TEXTS

from eutectic.context import Context
from eutectic.evaluate.likelihood import log_likelihoods
from eutectic.models import loading
from eutectic.specs.rows import Item

FAMILIES = ("llama", "mistral", "qwen2", "gemma2")
WINDOW = 24
SHOTS = "\n\n".join(f"{question} {options[0]}" for question, options in TEXTS)
# Each item alone, and behind solved examples that all share.
ASKED = [*ITEMS, *(Item(**{**item.model_dump(), "id": f"shot {item.id}", "question": f"{SHOTS}\n\n{item.question}"}) for item in ITEMS)]


def harness(place: Path, models: dict[str, Path]) -> dict[str, list[list[float]]]:
    """What the harness finds at batch sizes 1 and 8."""
    python = os.environ.get("EUTECTIC_ORACLE_PYTHON")
    if not python:
        pytest.skip("EUTECTIC_ORACLE_PYTHON names no oracle environment")
    pairs = [[item.question, f" {option}"] for item in ASKED for option in item.options]
    job = {"models": {name: str(folder) for name, folder in models.items()}, "requests": dict.fromkeys(models, pairs)}
    (place / "job.json").write_text(json.dumps(job))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HOME": str(place / "hub")}
    environment.pop("PYTHONPATH", None)
    script = str(Path(__file__).with_name("run_harness.py"))
    done = subprocess.run([python, script, str(place / "job.json")], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((place / "found.json").read_text())


def ours(folder: Path) -> list[float]:
    model = loading.load(folder, torch.float32, torch.device("cpu"))
    return [value for group in log_likelihoods(model, cloze_groups(loading.tokenizer(folder), ASKED), Context()) for value in group]


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory, make_tiny):
    root = tmp_path_factory.mktemp("families")
    folders = {family: make_tiny(root / family, family=family) for family in FAMILIES}
    for family in ("mistral", "gemma2"):
        file = folders[family] / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"sliding_window": WINDOW}))
    return folders


@pytest.fixture(scope="module")
def found(tmp_path_factory, tiny_models):
    return harness(tmp_path_factory.mktemp("harness"), tiny_models)


@pytest.mark.oracle
@pytest.mark.parametrize("family", FAMILIES)
def test_tiny_models(found, tiny_models, family):
    assert ours(tiny_models[family]) == pytest.approx(found[family][0], abs=1e-3)


@pytest.mark.oracle
@pytest.mark.assets
def test_the_real_model(tmp_path, smol):
    (values,) = harness(tmp_path, {"smol": smol}).values()
    mine = ours(smol)
    assert mine == pytest.approx(values[0], abs=1e-3)
    assert mine == pytest.approx(values[1], abs=1e-3)
