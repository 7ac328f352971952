"""Loss and gradient of every objective against TRL 1.16.0, through rows, packed trees and the chunked head, in float32."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_world import WORDS, step, write

from eutectic.models import loading, logprobs
from eutectic.models.attention import tiled_attention
from eutectic.models.packing import sequence, tile
from eutectic.train import objectives
from eutectic.train.examples import read
from eutectic.train.plan import loss_tokens

pytestmark = pytest.mark.oracle
CPU = torch.device("cpu")
MODELS = {"llama": True, "mistral": False, "qwen2": False, "gemma": True}  # whether the head is the embedding
PAIRS = {
    "dpo-sigmoid": ("dpo", {"beta": 0.2}),
    "dpo-ipo": ("dpo", {"beta": 0.2, "loss": "ipo"}),
    "dpo-hinge": ("dpo", {"beta": 0.2, "loss": "hinge"}),
    "orpo-sequence": ("orpo", {"beta": 0.2}),
    "orpo-answer": ("orpo", {"beta": 0.2, "likelihood": "answer"}),
    "simpo": ("simpo", {"beta": 2.5, "gamma": 0.7}),
}
TEXTS = ["Bone is a mineralised collagen tissue.", "A leaf has veins that carry water; its venation is hierarchical.", "Nacre."]
CHATS = [
    [("user", "What is silk?"), ("assistant", "A protein fibre.")],
    [("user", "What is bone?"), ("assistant", "A tissue."), ("user", "Of what?"), ("assistant", "Mineralised collagen.")],
    [("user", f"Name a {WORDS[8]}."), ("assistant", "Nacre is one.")],
]


def sharpen(folder):
    """Ten times the random weights of a new model: gradients far above the tolerance, and probabilities that differ."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def work(tmp_path_factory, make_tiny):
    """Models and rows for both sides."""
    root = tmp_path_factory.mktemp("trl")
    for family, tied in MODELS.items():
        for seed, role in enumerate(("policy", "reference")):
            sharpen(make_tiny(root / family / role, family, seed=seed, tied=tied))
    common = {"source_ids": ["s"], "group": "g"}
    write(root / "texts.jsonl", [{"id": str(i), "text": text, **common} for i, text in enumerate(TEXTS)])
    chats = [[{"role": role, "content": content} for role, content in chat] for chat in CHATS]
    write(root / "chats.jsonl", [{"id": str(i), "messages": chat, **common} for i, chat in enumerate(chats)])
    texts = read(root / "texts.jsonl", "text", loading.tokenizer(root / "llama" / "policy"), step("cpt")).sequences
    (root / "rows.json").write_text(json.dumps({"texts": [item.tokens for item in texts], "conversations": chats}))
    return root


@pytest.fixture(scope="module")
def trl(work):
    python = os.environ.get("EUTECTIC_ORACLE_PYTHON")
    if not python:
        pytest.skip("EUTECTIC_ORACLE_PYTHON names no oracle environment")
    script = Path(__file__).with_name("run_trl.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run([python, str(script), str(work), *MODELS], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((work / "found.json").read_text())


def trees(found, prompts):
    """Our sequences from the very tokens TRL's trainer saw: the common prompt as trunk, the learned tokens as branches."""
    made = []
    for row in range(len(found["ids"][0])):
        answers, prompt = [], []
        for ids, learned in zip(found["ids"], found["learned"], strict=True):
            first = learned[row].index(1)
            prompt = ids[row][:first]
            answers.append([t for t, flag in zip(ids[row], learned[row], strict=True) if flag])
        made.append(sequence(str(row), prompt, [prompts] * len(prompt), [(a, [True] * len(a)) for a in answers]))
    return made


def ours(model, objective, items, given, reference=None):
    """Loss of one update in two batches; the gradients stay with the model."""
    update = objectives.Update(
        sum(loss_tokens(item, pairs=objective.pairs) for item in items), len(items) if objective.pairs else 0, objective.settings(given)
    )
    total = 0.0
    with tiled_attention(model):
        for start, stop in ((0, 1), (1, 3)):
            (tiles,) = tile(items[start:stop], 512)
            kept = objectives.no_reference() if reference is None else reference[start:stop][list(tiles.members)]
            loss, _ = objective.loss(model, tiles, update, kept)
            loss.backward()
            total += float(loss.detach())
    return total


def agree(loss, model, found, gradients):
    assert loss == pytest.approx(found["loss"], abs=1e-5)
    wanted = load_file(gradients)
    parameters = dict(model.named_parameters())
    assert parameters.keys() == wanted.keys()
    for name, parameter in parameters.items():
        torch.testing.assert_close(parameter.grad, wanted[name], atol=1e-5, rtol=1e-3, msg=lambda told, name=name: f"{name}: {told}")
    assert max(float(g.abs().max()) for g in wanted.values()) > 1e-2  # far above the tolerance


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("case", ["cpt", "sft-assistant", "sft-all"])
def test_likelihoods(case, family, work, trl):
    """Our own rows: the tokens and what is learned of them must be TRL's too."""
    name, _, learn = case.partition("-")
    objective, given = objectives.find(name), {"learn": learn} if learn else {}
    rows = work / ("texts.jsonl" if name == "cpt" else "chats.jsonl")
    folder, found = work / family / "policy", trl[family][case]
    prompts = objective.learns_prompt(objective.settings(given))
    items = read(rows, objective.rows, loading.tokenizer(folder), step(name), prompts=prompts).sequences
    seen = list(zip(found["ids"][0], found["learned"][0], strict=True))  # shuffled by TRL; row by row
    for item in items:
        ids, learned = next((ids, learned) for ids, learned in seen if ids[: len(item)] == list(item.tokens))
        assert item.targets == tuple(token for token, flag in list(zip(ids, learned, strict=True))[1:] if flag)
    model = loading.load(folder, torch.float32, CPU)
    agree(ours(model, objective, items, given), model, found, work / family / f"{case}.safetensors")


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("case", PAIRS)
def test_preferences(case, family, work, trl):
    """IPO of means a token, SimPO's gamma as in the paper, ORPO's likelihood of prompt and answer unless `answer` is asked for."""
    name, given = PAIRS[case]
    objective, found = objectives.find(name), trl[family][case]
    items = trees(found, objective.learns_prompt(objective.settings(given)))
    reference = None
    if objective.reference:
        frozen = loading.load(work / family / "reference", torch.float32, CPU)
        reference, _ = logprobs.completion_logprobs(frozen, items, 2)
    model = loading.load(work / family / "policy", torch.float32, CPU)
    agree(ours(model, objective, items, given, reference), model, found, work / family / f"{case}.safetensors")
