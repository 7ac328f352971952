"""Closed-form statistics against statsmodels, in its own environment."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from eutectic.analysis import statistics

pytestmark = pytest.mark.oracle
RANDOM = np.random.default_rng(8)
CASES = {
    "wilson": [(0, 20), (7, 20), (20, 20), (300, 1000), (1, 3)],
    "mcnemar": [[[20, 9], [3, 12]], [[5, 0], [0, 5]], [[1, 6], [6, 1]], [[100, 31], [12, 80]]],
    "holm": [RANDOM.random(size).tolist() for size in (1, 4, 30)] + [[0.01, 0.01, 0.04, 1.0], (RANDOM.random(40) ** 6).tolist()],
}


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    python = os.environ.get("EUTECTIC_ORACLE_PYTHON")
    if not python:
        pytest.skip("EUTECTIC_ORACLE_PYTHON names no oracle environment")
    file = tmp_path_factory.mktemp("statsmodels") / "cases.json"
    file.write_text(json.dumps(CASES))
    script = Path(__file__).with_name("run_statsmodels.py")
    done = subprocess.run([python, str(script), str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_wilson(oracle):
    for (right, n), expected in zip(CASES["wilson"], oracle["wilson"], strict=True):
        assert statistics.wilson(right, n) == pytest.approx(expected, abs=1e-9)


def test_mcnemar(oracle):
    for ((both, first), (second, neither)), expected in zip(CASES["mcnemar"], oracle["mcnemar"], strict=True):
        a = np.array([1.0] * (both + first) + [0.0] * (second + neither))
        b = np.array([1.0] * both + [0.0] * first + [1.0] * second + [0.0] * neither)
        assert statistics.mcnemar(a, b) == pytest.approx(expected, abs=1e-12)


def test_holm(oracle):
    for values, expected in zip(CASES["holm"], oracle["holm"], strict=True):
        assert statistics.holm(values) == pytest.approx(expected, abs=1e-12)
