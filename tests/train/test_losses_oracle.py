"""Loss and gradient of DPO and ORPO against TRL 1.16.0, through the packed tree and the chunked head, in float32."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

from eutectic.models import loading, logprobs
from eutectic.models.attention import tiled_attention
from eutectic.models.packing import sequence, tile
from eutectic.train import losses

pytestmark = pytest.mark.oracle
CPU, BETA = torch.device("cpu"), 0.2
GRADIENT = "model.layers.1.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def trl(tiny, tiny_other, tmp_path_factory):
    python = os.environ.get("EUTECTIC_ORACLE_PYTHON")
    if not python:
        pytest.skip("EUTECTIC_ORACLE_PYTHON names no oracle environment")
    work = tmp_path_factory.mktemp("trl")
    script = Path(__file__).with_name("run_trl.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [python, str(script), str(tiny), str(tiny_other), str(work)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((work / "found.json").read_text())


def trees(found, everything=False):
    """Our sequences from the very tokens TRL's trainer saw: the common prompt as trunk, the learned tokens as branches."""
    made = []
    for row in range(len(found["ids"][0])):
        answers, prompt = [], []
        for ids, learned in zip(found["ids"], found["learned"], strict=True):
            first = learned[row].index(1)
            prompt = ids[row][:first]
            answers.append([t for t, flag in zip(ids[row], learned[row], strict=True) if flag])
        made.append(sequence(str(row), prompt, [everything] * len(prompt), [(a, [True] * len(a)) for a in answers]))
    return made


def scored(model, items):
    with tiled_attention(model):
        (tiles,) = tile(items, 4096)
        sums, counts = logprobs.group_logprobs(model, tiles, 2)
    order = torch.tensor(tiles.members).argsort()
    return sums[order], counts[order]


def agree(loss, model, found):
    loss.backward()
    assert float(loss.detach()) == pytest.approx(found["loss"], abs=1e-5)
    gradient = dict(model.named_parameters())[GRADIENT].grad.flatten()
    torch.testing.assert_close(gradient, torch.tensor(found["gradient"]), atol=1e-5, rtol=1e-3)


def test_dpo(trl, tiny, tiny_other):
    model, reference = (loading.load(folder, torch.float32, CPU) for folder in (tiny, tiny_other))
    items = trees(trl["dpo"])
    kept, _ = logprobs.completion_logprobs(reference, items, 2)
    sums, _ = scored(model, items)
    agree(losses.dpo(sums[:, 1], sums[:, 2], kept[:, 0], kept[:, 1], BETA).mean(), model, trl["dpo"])


def test_orpo(trl, tiny):
    """TRL takes the likelihood of prompt and answer, and the odds ratio of the answers alone."""
    model = loading.load(tiny, torch.float32, CPU)
    sums, counts = scored(model, trees(trl["orpo"], everything=True))
    likelihood = -sums[:, :2].sum() / counts[:, :2].sum()
    odds = losses.orpo(sums[:, 1] / counts[:, 1], sums[:, 2] / counts[:, 2]).mean()
    agree(likelihood + BETA * odds, model, trl["orpo"])
