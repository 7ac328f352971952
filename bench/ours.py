"""One run of ours through the front door of training, in its own process: `python bench/ours.py JOB.json` writes its figures to `job["out"]`."""

import json
import resource
import shutil
import sys
import time
from pathlib import Path

import torch

from eutectic.artifacts import METRICS, Artifact
from eutectic.context import Context
from eutectic.specs.steps import TrainStep
from eutectic.train import tune


class Stamps:
    """Progress that notes when each update (and each batch of the reference pass) ended: task, amount, wall and CPU seconds."""

    def __init__(self) -> None:
        self.marks: list[dict] = []
        self.task = ""

    def start(self, task: str, total: float, unit: str) -> None:
        self.task = task
        self._mark(0)

    def advance(self, amount: float, note: str = "") -> None:
        self._mark(amount)

    def _mark(self, amount: float) -> None:
        self.marks.append({"task": self.task, "amount": amount, "wall": time.perf_counter(), "cpu": time.process_time()})

    def spans(self, word: str) -> list[dict]:
        """What was done under tasks whose name holds `word`: amount, wall and CPU seconds of each advance that did something."""
        mine = [mark for mark in self.marks if word in mark["task"]]
        pairs = zip(mine, mine[1:], strict=False)
        return [{"amount": b["amount"], "wall": b["wall"] - a["wall"], "cpu": b["cpu"] - a["cpu"]} for a, b in pairs if b["amount"]]


def gemm(dtype: torch.dtype, size: int = 2048) -> dict[str, float]:
    """The best of six products of two square matrices, in TFLOP a second of wall and of CPU time."""
    one, other = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    wall, cpu = [], []
    for _ in range(6):
        a, b = time.perf_counter(), time.process_time()
        torch.mm(one, other)
        wall.append(time.perf_counter() - a)
        cpu.append(time.process_time() - b)
    return {"wall": 2 * size**3 / min(wall) / 1e12, "cpu": 2 * size**3 / min(cpu) / 1e12}


def step(job: dict) -> TrainStep:
    return TrainStep(
        objective=job["objective"],
        learning_rate=job["learning_rate"],
        updates=job["updates"],
        batch=job["batch"],
        sequence=job["sequence"],
        precision=job.get("precision", "mixed"),
        lora=job["lora"],
        parameters=job["parameters"],
        seed=17,
    )


def main(job: dict) -> dict:
    out = Path(job["work"])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    stamps = Stamps()
    machine = {name: job[name] for name in ("compile", "checkpointing") if job.get(name)}
    context = Context(threads=job["threads"], progress=stamps, **machine)
    kind = "instruction" if job["objective"] == "sft" else "preference"
    parents = {
        "model": (Artifact("checkpoint", "start", "a" * 64, Path(job["model"])),),
        "dataset": (Artifact("dataset", "data", "b" * 64, Path(job["data"]) / kind),),
    }
    tune.build(step(job), parents, out, context)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    losses = [json.loads(line)["loss"] for line in (out / METRICS).read_text().splitlines()]
    shutil.rmtree(out)
    return {
        "updates": stamps.spans("training"),
        "reference": stamps.spans("reference"),
        "losses": losses,
        "peak_mb": peak / 1024,
        "gemm": gemm(torch.bfloat16),
    }


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    Path(asked["out"]).write_text(json.dumps(main(asked)))
