"""Our side of `bench/evaluate.py`: `evaluate_ours.py JOB.json` writes `found.json` beside it."""

import json
import resource
import shutil
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from eutectic.artifacts import Artifact
from eutectic.context import Context
from eutectic.evaluate import cloze, contexts
from eutectic.merge import stream
from eutectic.models import loading
from eutectic.models.generate import generate
from eutectic.specs.rows import Item
from eutectic.specs.steps import PLAIN, MergeStep

job_file = Path(sys.argv[1])
job = json.loads(job_file.read_text())
torch.set_num_threads(job["threads"])
clock = time.process_time if job["clock"] == "cpu" else time.monotonic
context = Context(threads=job["threads"])
model = loading.load(Path(job["model"]), getattr(torch, job["dtype"]), torch.device("cpu"))
tokenizer = loading.tokenizer(Path(job["model"]))


def read(task: str) -> list[Item]:
    rows = json.loads((Path(job["data"]) / f"{task}.json").read_text())
    return [Item(id=str(n), group="g", question=row["question"], options=tuple(row["options"]), answer=0) for n, row in enumerate(rows)]


def weigh(items: list[Item]) -> list[list[float]]:
    task = contexts.task(PLAIN, "cloze", "b", items, ())
    return [list(row.log_likelihoods) for row in cloze.scores(model, tokenizer, task, context)]


def timed_weighing() -> dict:
    items = read(job["task"])
    weigh(items[:4])
    begun = clock()
    found = weigh(items)
    seconds = clock() - begun
    tokens = sum(len(tokenizer(item.question)["input_ids"]) for item in items)
    return {"seconds": seconds, "log_likelihoods": found, "tokens": tokens}


def parents() -> dict[str, tuple[Artifact, ...]]:
    """The model and a perturbed copy of it."""
    folders = {"base": Path(job["model"]), "models": Path(job["data"]) / "other"}
    return {role: (Artifact("checkpoint", role, role, folder),) for role, folder in folders.items()}


def prepared() -> dict:
    """The perturbed copy, and one merge written for the peer."""
    torch.manual_seed(0)
    save({name: tensor + tensor.std() * 0.05 * torch.randn_like(tensor) for name, tensor in model.state_dict().items()})
    written = Path(job["data"]) / "written"
    written.mkdir()
    stream.build(MergeStep(method="slerp", parameters={"t": 0.5}), parents(), written, context)
    return {"written": str(written)}


def timed_sweep() -> dict:
    """Merges swapped into the loaded model one after the other, each scored."""
    items = read("cloze")
    weigh(items[:4])
    swapping, begun = 0.0, clock()
    for number in range(job["merges"]):
        step = MergeStep(method="slerp", parameters={"t": 0.2 + 0.03 * number})
        started = clock()
        loading.swap(model, stream.tensors(step, parents(), context, loading.live(model)))
        swapping += clock() - started
        weigh(items)
    return {"seconds": clock() - begun, "swapping": swapping, "items": len(items)}


def save(state: dict[str, torch.Tensor]) -> None:
    """The perturbed copy as a folder of its own."""
    out = Path(job["data"]) / "other"
    shutil.copytree(job["model"], out, ignore=shutil.ignore_patterns("*.safetensors"))
    tied = {name: tensor.contiguous().to(torch.bfloat16) for name, tensor in state.items() if name != "lm_head.weight"}
    save_file(tied, out / "model.safetensors", metadata={"format": "pt"})


def timed_writing() -> dict:
    """Greedy answers of 32 tokens to questions of unequal length in the chat template."""
    asked = [
        tokenizer.apply_chat_template([{"role": "user", "content": item.question}], add_generation_prompt=True, return_dict=False)
        for item in read("plain")[:64]
    ]
    generate(model, tokenizer, asked[:4], max_new_tokens=4)
    begun = clock()
    found = generate(model, tokenizer, asked, max_new_tokens=32)
    seconds = clock() - begun
    return {"rate": sum(each.tokens for each in found) / seconds, "answers": [each.text for each in found]}


found = {"weigh": timed_weighing, "prepare": prepared, "sweep": timed_sweep, "write": timed_writing}[job["do"]]()
found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
(job_file.parent / "found.json").write_text(json.dumps(found))
