"""One run of ours through the front door of training, in its own process: `python bench/ours.py JOB.json` writes `job["out"]`."""

import contextlib
import itertools
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch

from eutectic.artifacts import METRICS, Artifact
from eutectic.context import Context
from eutectic.specs.steps import ReferenceStep, TrainStep
from eutectic.train import objectives, reference, tune


def peak_mb() -> float:
    """The largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


SIDES = ("chosen", "rejected")


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
        now = {"wall": time.perf_counter(), "cpu": time.process_time(), "peak": peak_mb()}
        self.marks.append({"task": self.task, "amount": amount, **now})

    def spans(self, word: str) -> list[dict]:
        """What was done under tasks whose name holds `word`: amount, wall and CPU seconds of each advance that did something."""
        mine = [mark for mark in self.marks if word in mark["task"]]
        return [
            {"amount": b["amount"], "wall": b["wall"] - a["wall"], "cpu": b["cpu"] - a["cpu"], "peak_mb": b["peak"]}
            for a, b in itertools.pairwise(mine)
            if b["amount"]
        ]


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


def shares(profile: torch.profiler.profile) -> list[dict]:
    """Share of the processor time that each of the operations took itself, the largest first."""
    found = sorted(profile.key_averages(), key=lambda each: -each.self_cpu_time_total)
    total = sum(each.self_cpu_time_total for each in found)
    return [{"operation": each.key, "share": each.self_cpu_time_total / total, "calls": each.count} for each in found[:16]]


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
    kind = {"cpt": "text", "sft": "instruction"}.get(job["objective"], "preference")
    parents = {
        "model": (Artifact("checkpoint", "start", "a" * 64, Path(job["model"])),),
        "dataset": (Artifact("dataset", "data", "b" * 64, Path(job["data"]) / kind),),
    }
    spec = step(job)
    if objectives.find(spec.objective).reference:
        parents["reference"] = (Artifact("reference_logprobs", "reference", "c" * 64, out / "reference"),)
        (out / "reference").mkdir()
        asked = ReferenceStep(**{name: getattr(spec, name) for name in ReferenceStep.model_fields})
        reference.build(asked, parents, out / "reference", context)
    profile = torch.profiler.profile() if job.get("profile") else None
    with profile or contextlib.nullcontext():
        tune.build(spec, parents, out, context)
    peak = peak_mb()
    lines = [json.loads(line) for line in (out / METRICS).read_text().splitlines()]
    first = {"loss": lines[0]["loss"]} | {f"{side} log p": lines[0][f"{side}_logprob"] for side in SIDES if job["objective"] == "dpo"}
    shutil.rmtree(out)
    return {
        "updates": stamps.spans("training"),
        "reference": stamps.spans("reference"),
        "losses": [line["loss"] for line in lines],
        "first": first,
        "peak_mb": peak,
        "gemm": gemm(torch.bfloat16),
        "profile": shares(profile) if profile else [],
    }


def half_billion(job: dict) -> dict:
    """Full fine-tuning of a random Llama of half a billion parameters on random text, float32 masters, updates of 8 x 512 tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = Path(job["work"]).parent / "model"
    words = ["<|endoftext|>", *(f"w{i}" for i in range(31_999))]
    plain = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=words[0]))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=plain, eos_token=words[0]).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=31,
        num_attention_heads=16,
        num_key_value_heads=4,
        tie_word_embeddings=True,
        eos_token_id=0,
        bos_token_id=None,
    )
    torch.manual_seed(1)
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    parameters = model.num_parameters()
    model.save_pretrained(folder)
    del model
    text = Path(job["work"]).parent / "text/train.jsonl"
    text.parent.mkdir(exist_ok=True)
    drawn = torch.randint(1, len(words), (8 * job["updates"] + 8, 500)).tolist()
    rows = [{"id": str(n), "text": " ".join(words[i] for i in row), "source_ids": [], "group": str(n)} for n, row in enumerate(drawn)]
    text.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {**job, "objective": "cpt", "model": str(folder), "data": str(text.parent.parent), "batch": 8, "sequence": 512}
    # This process has built the model; training is measured in one of its own.
    own = Path(job["work"]).parent / "own.json"
    asked |= {"half_billion": False, "lora": None, "learning_rate": 1e-5, "parameters": {}, "out": str(own)}
    (own.with_name("own-job.json")).write_text(json.dumps(asked))
    subprocess.run([sys.executable, __file__, str(own.with_name("own-job.json"))], check=True)
    shutil.rmtree(folder)
    return {**json.loads(own.read_text()), "parameters": parameters}


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    Path(asked["out"]).write_text(json.dumps(half_billion(asked) if asked.get("half_billion") else main(asked)))
