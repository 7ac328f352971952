"""Speed and memory of merging against mergekit: `python bench/merge.py` (bench/README.md says what is compared and how).

Every run is a process of its own; ours and the peer's take turns. This process imports no torch, so that its memory is not theirs.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PAPER = [{"filter": "self_attn", "value": [0, 0.5, 0.3, 0.7, 1]}, {"filter": "mlp", "value": [1, 0.5, 0.7, 0.3, 0]}, {"value": 0.5}]
HALVES = {"weight": 0.5, "density": 0.5}
# name -> (method, each model's parameters (None: listed as base only), parameters of the merge)
MERGES = {
    "linear": ("linear", [{"weight": 0.3}, {"weight": 0.7}], {}),
    "slerp": ("slerp", [{}, {}], {"t": PAPER}),
    "ties": ("ties", [None, HALVES, HALVES], {}),
    "dare_ties": ("dare_ties", [None, HALVES, HALVES], {}),
    "dare_linear": ("dare_linear", [None, HALVES, HALVES], {}),
    "task_arithmetic": ("task_arithmetic", [None, {"weight": 0.5}, {"weight": 0.5}], {}),
    "della": ("della", [None, HALVES, HALVES], {}),
    "della_linear": ("della_linear", [None, HALVES, HALVES], {}),
    "breadcrumbs": ("breadcrumbs", [None, HALVES, HALVES], {}),
    "breadcrumbs_ties": ("breadcrumbs_ties", [None, HALVES, HALVES], {}),
    "nuslerp": ("nuslerp", [{"weight": 0.5}, {"weight": 0.5}], {}),
    "multislerp": ("multislerp", [{"weight": 0.5}, {"weight": 0.5}], {}),
    "karcher": ("karcher", [{}, {}, {}], {}),
    "model_stock": ("model_stock", [{}, {}, {}], {}),
    "sce": ("sce", [None, {}, {}], {"select_topk": 0.5}),
    "ram": ("ram", [None, {}, {}], {}),
    "ramplus_tl": ("ramplus_tl", [None, {}, {}], {}),
    "nearswap": ("nearswap", [{}, {}], {"t": 0.001}),
    "arcee_fusion": ("arcee_fusion", [{}, {}], {}),
    "passthrough": ("passthrough", [{}], {}),
}
NO_BASE = ("linear", "nuslerp", "multislerp", "karcher", "passthrough")
COLUMNS = (
    "merge", "ours s", "without digests", "CPU s", "peak MB", "mergekit s", "CPU s", "peak MB", "faster", "same elements, %",
    "merging / bare copy", "all with fsync / durable copy",
)  # fmt: skip
COPY = """
import os, sys, time
buffer, begun = bytearray(1 << 20), time.monotonic()
out = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
for number, name in enumerate(sys.argv[2:]):
    source = os.open(name, os.O_RDONLY)
    while got := os.readv(source, [buffer]):
        if number == 0:
            os.write(out, memoryview(buffer)[:got])
copied = time.monotonic()
os.fsync(out)
print(copied - begun, time.monotonic() - begun)
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=",".join(MERGES), help="separated by commas")
    parser.add_argument("--rounds", type=int, default=3, help="how often every run is made, in turn")
    parser.add_argument("--layers", type=int, default=16, help="16 makes parents of 2.07 GB, 66 of 8 GB")
    parser.add_argument("--parents", type=Path, help="a folder with m0, m1, m2 to merge, instead of made ones")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--mergekit", default=str(HERE / ".venv/bin/mergekit-yaml"), help="of an environment made from constraints-oracle.txt"
    )
    parser.add_argument("--work", type=Path, default=HERE / ".work/merge", help="folder for parents and figures")
    parser.add_argument("--ours-only", action="store_true")
    return parser.parse_args()


def timed(command: list[str], threads: int) -> dict:
    """Wall and processor seconds, peak resident MB and output of a process, the disk at rest before it."""
    os.sync()
    time.sleep(0.5)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads), "EUTECTIC_CACHE": str(HERE / ".work/cache")}
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    out, errors = process.stdout.read(), process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begun
    if status:
        sys.exit(f"{' '.join(command)}\n{errors[-3000:]}")
    peak = used.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)
    return {"wall": seconds, "cpu": used.ru_utime + used.ru_stime, "peak": peak, "out": out}


def weights(folder: Path) -> list[str]:
    return sorted(map(str, folder.glob("*.safetensors")))


def main() -> None:
    asked = arguments()
    asked.work.mkdir(parents=True, exist_ok=True)
    parents = asked.parents or asked.work / f"parents-{asked.layers}"
    if not parents.exists():
        made = [sys.executable, str(HERE / "llamas.py"), str(parents), str(asked.layers)]
        subprocess.run(made, check=True)
    models = [parents / f"m{index}" for index in range(3)]
    size = sum(Path(file).stat().st_size for file in weights(models[0]))
    print(f"three parents of {size / 1e9:.2f} GB; {asked.threads} threads; medians of {asked.rounds} rounds\n")
    rows = []
    for name in asked.methods.split(","):
        rows.append(compare(name, models, size, asked))
        if len(rows) == 1:
            print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        print(line(rows[-1]), flush=True)
    (asked.work / "merge.json").write_text(json.dumps(rows, indent=1))


def compare(name: str, models: list[Path], size: int, asked: argparse.Namespace) -> dict:
    """Medians of one merge on both sides and of a copy of the same bytes."""
    method, own, parameters = MERGES[name]
    listed = [{"model": str(m), "parameters": p} for m, p in zip(models, own, strict=False) if p is not None]
    config = {"merge_method": method, "models": listed, "parameters": parameters, "dtype": "bfloat16"}
    if method not in NO_BASE:
        config["base_model"] = str(models[0])
    file = asked.work / f"{name}.yaml"
    file.write_text(json.dumps(config))
    read = [path for model in models[: len(own)] for path in weights(model)]
    for path in read:  # warm the page cache
        with Path(path).open("rb") as stream:
            while stream.read(1 << 24):
                pass
    found: dict[str, list[dict]] = {"ours": [], "mergekit": [], "copy": []}
    for _ in range(asked.rounds):
        found["copy"].append(copied(read, asked))
        found["ours"].append(ours(file, asked))
        if not asked.ours_only:
            found["mergekit"].append(mergekit(file, asked))
    middle = {side: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for side, runs in found.items() if runs}
    return {"merge": name, "bytes": size, **middle, "runs": found}


def copied(read: list[str], asked: argparse.Namespace) -> dict:
    out = asked.work / "copy"
    bare, durable = map(float, timed([sys.executable, "-c", COPY, str(out), *read], 1)["out"].split())
    out.unlink()
    return {"bare": bare, "durable": durable}


def ours(file: Path, asked: argparse.Namespace) -> dict:
    out = asked.work / "ours"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "eutectic", "merge", str(file), str(out), "--json", "--threads", str(asked.threads)]
    run = timed(command, asked.threads)
    spent = json.loads(run.pop("out"))["seconds"]
    apart = spent["fsync"] + spent["digest"] + spent["parents' digests"]
    return {**run, "without": run["wall"] - apart, "no fsync": run["wall"] - spent["fsync"], "merging": spent["merge"], **spent}


def mergekit(file: Path, asked: argparse.Namespace) -> dict:
    out = asked.work / "mergekit"
    shutil.rmtree(out, ignore_errors=True)
    run = timed([asked.mergekit, str(file), str(out), "--no-copy-tokenizer", "--quiet"], asked.threads)
    run.pop("out")
    if not MERGES[file.stem][0].startswith(("dare", "della")):
        run["same"] = same(out, asked.work / "ours")
    return run


def same(one: Path, other: Path) -> float:
    """Share of equal 16-bit words in the data of the two results, whose tensors may stand in another order."""
    script = (
        "import sys; from pathlib import Path; import torch; from eutectic.models.checkpoint import open_checkpoint as o\n"
        "a, b = (o(Path(p)) for p in sys.argv[1:]); same = sum(int((a.tensor(n) == b.tensor(n)).sum()) for n in a.names)\n"
        "print(same / sum(a.tensor(n).numel() for n in a.names))"
    )
    return float(subprocess.run([sys.executable, "-c", script, str(one), str(other)], check=True, capture_output=True, text=True).stdout)


def line(row: dict) -> str:
    mine, copy, theirs = row["ours"], row["copy"], row.get("mergekit")
    cells = [row["merge"], f"{mine['no fsync']:.2f}", f"{mine['without']:.2f}", f"{mine['cpu']:.1f}", f"{mine['peak']:,.0f}"]
    if theirs:
        cells += [f"{theirs['wall']:.1f}", f"{theirs['cpu']:.1f}", f"{theirs['peak']:,.0f}", f"**{theirs['wall'] / mine['no fsync']:.2f}**"]
        cells.append(f"{100 * theirs['same']:.3f}" if "same" in theirs else "")
    else:
        cells += [""] * 5
    cells += [f"{mine['merging'] / copy['bare']:.2f}", f"{mine['wall'] / copy['durable']:.2f}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
