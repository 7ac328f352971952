"""A slerp of two models straight into a live one: `python bench/swap.py BASE MODEL` (folders of one architecture), beside mergekit's call.

Ours writes the result into a loaded model: once from disk (page cache warm), as an evaluation of one merge does, and in a sweep, which
reads the parents and measures their angles with its first merge. mergekit's `merge_state_dicts` gets both in memory and writes nothing
into a model. Medians of seven, the first two not counted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PEER = """
import json, statistics, sys, time
import torch
from pathlib import Path
from safetensors.torch import load_file
from mergekit.merge_methods import merge_state_dicts
torch.set_num_threads(int(sys.argv[3]))
models = [{k: v for f in sorted(Path(p).glob("*.safetensors")) for k, v in load_file(f).items()} for p in sys.argv[1:3]]
seconds = []
with torch.no_grad():
    for _ in range(7):
        begun = time.monotonic()
        merge_state_dicts(models, "slerp", parameters={"t": 0.3}, base=0)
        seconds.append(time.monotonic() - begun)
print(json.dumps(statistics.median(seconds[2:])))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer-python", default=str(HERE / ".venv/bin/python"), help="an environment made from constraints-oracle.txt")
    asked = parser.parse_args()
    once, first, later = ours(asked.base, asked.model, asked.threads)
    command = [asked.peer_python, "-c", PEER, str(asked.base), str(asked.model), str(asked.threads)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": str(asked.threads)})
    if found.returncode:
        sys.exit(found.stderr[-3000:])
    theirs = json.loads(found.stdout)
    print(
        f"ours once {once:.3f} s; in a sweep first {first:.3f} s, later {later:.3f} s; mergekit {theirs:.3f} s: {theirs / later:.1f} times"
    )


def ours(base: Path, model: Path, threads: int) -> tuple[float, float, float]:
    import torch

    from eutectic.artifacts import Artifact
    from eutectic.context import Context
    from eutectic.merge import stream
    from eutectic.merge.sweep import Sweep
    from eutectic.models import loading
    from eutectic.specs.steps import MergeStep

    torch.set_num_threads(threads)
    context = Context(threads=threads)
    parents = {"base": (Artifact("checkpoint", "base", "base", base),), "models": (Artifact("checkpoint", "model", "model", model),)}
    live = loading.load(base, torch.bfloat16, torch.device("cpu"))
    sweep, once, swept = Sweep(context), list[float](), list[float]()
    for seconds, tensors in ((once, lambda step, memory: stream.tensors(step, parents, context, memory)),
                             (swept, lambda step, memory: sweep.tensors(step, parents, memory))):  # fmt: skip
        for number in range(7):
            step = MergeStep(method="slerp", parameters={"t": 0.3 + number / 100})
            begun = time.monotonic()
            loading.swap(live, tensors(step, loading.live(live)))
            seconds.append(time.monotonic() - begun)
    return statistics.median(once[2:]), swept[0], statistics.median(swept[2:])


if __name__ == "__main__":
    main()
