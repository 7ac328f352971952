"""Speed and memory of scoring against lm-evaluation-harness: `python bench/evaluate.py` (bench/README.md says what is compared and how).

Every run is a process of its own; ours and the peer's take turns, and model, items, answers, type and threads are the same.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TASKS = ("cloze", "letters", "passages")
MERGES = 20


def run(asked: argparse.Namespace, side: str, job: dict) -> dict:
    """One process; what it found."""
    folder = asked.work / side
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text(json.dumps(job))
    python, script = (sys.executable, "evaluate_ours.py") if side == "ours" else (asked.peer_python, "evaluate_peer.py")
    environment = os.environ | {"OMP_NUM_THREADS": str(asked.threads), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    if side != "ours":
        environment.pop("PYTHONPATH", None)
    with (folder / "log.txt").open("w") as log:
        done = subprocess.run([python, str(HERE / script), str(folder / "job.json")], env=environment, stdout=log, stderr=log, check=False)
    if done.returncode:
        sys.exit(f"{side} failed; see {folder / 'log.txt'}")
    return json.loads((folder / "found.json").read_text())


def gap(ours: list, theirs: list) -> tuple[float, float]:
    """Largest difference of two log-likelihoods, and the share of items whose likeliest option is the same."""
    far = max(abs(a - b) for xs, ys in zip(ours, theirs, strict=True) for a, b in zip(xs, ys, strict=True))
    same = sum(xs.index(max(xs)) == ys.index(max(ys)) for xs, ys in zip(ours, theirs, strict=True)) / len(ours)
    return far, same


def weigh(asked: argparse.Namespace, shared: dict, name: str) -> dict:
    """One task: the better of the peer's batch sizes, medians over rounds."""
    mine, theirs = [], {size: [] for size in (1, 8)}
    for _ in range(asked.rounds):
        mine.append(run(asked, "ours", {**shared, "task": name, "do": "weigh"}))
        for size, found in theirs.items():
            found.append(run(asked, "peer", {**shared, "task": name, "do": "weigh", "batch": size}))
    ours = statistics.median(found["seconds"] for found in mine)
    best = min(theirs, key=lambda size: statistics.median(found["seconds"] for found in theirs[size]))
    peer = statistics.median(found["seconds"] for found in theirs[best])
    far, same = gap(mine[0]["log_likelihoods"], theirs[best][0]["log_likelihoods"])
    items = len(mine[0]["log_likelihoods"])
    return {
        "task": name,
        "items": items,
        "tokens an item": round(mine[0]["tokens"] / items),
        "ours ms an item": 1000 * ours / items,
        "lm-eval ms an item": 1000 * peer / items,
        "batch": best,
        "faster": peer / ours,
        "peak MB": mine[0]["peak_mb"],
        "lm-eval peak MB": theirs[best][0]["peak_mb"],
        "largest difference": far,
        "same choice": same,
    }


def sweep(asked: argparse.Namespace, shared: dict) -> dict:
    """Twenty merges: ours live; the peer's from a written checkpoint, loaded and scored once and counted twenty times."""
    for name in ("other", "written"):
        shutil.rmtree(asked.work / name, ignore_errors=True)
    written = run(asked, "ours", {**shared, "do": "prepare"})["written"]
    mine = run(asked, "ours", {**shared, "do": "sweep", "merges": MERGES})
    theirs = [
        run(asked, "peer", {**shared, "task": "cloze", "do": "weigh", "batch": size, "model": written, "counted": "all"}) for size in (1, 8)
    ]
    best = min(theirs, key=lambda found: found["seconds"])
    peer = best["seconds"] * MERGES
    return {
        "merges": MERGES,
        "items": mine["items"],
        "ours s": mine["seconds"],
        "swapping s": mine["swapping"],
        "lm-eval s": peer,
        "faster": peer / mine["seconds"],
        "peak MB": mine["peak_mb"],
        "lm-eval peak MB": best["peak_mb"],
    }


def write(asked: argparse.Namespace, shared: dict) -> dict:
    """Tokens a second of greedy answers."""
    mine = run(asked, "ours", {**shared, "do": "write"})
    theirs = {size: run(asked, "peer", {**shared, "do": "write", "batch": size}) for size in (1, 8, 64)}
    best = max(theirs, key=lambda size: theirs[size]["rate"])
    same = sum(a == b for a, b in zip(mine["answers"], theirs[best]["answers"], strict=True)) / len(mine["answers"])
    return {
        "answers": len(mine["answers"]),
        "ours tokens/s": mine["rate"],
        "transformers tokens/s": theirs[best]["rate"],
        "batch": best,
        "faster": mine["rate"] / theirs[best]["rate"],
        "same answers": same,
    }


def main() -> None:
    """Measure what is asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join((*TASKS, "sweep", "write")), help="some of cloze, letters, passages, sweep, write")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: processor seconds, for a machine in use; with --threads 1"
    )
    parser.add_argument("--peer-python", default=str(HERE / ".venv/bin/python"), help="an environment made from constraints-oracle.txt")
    parser.add_argument("--work", type=Path, default=HERE / ".work" / "evaluate")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, str(HERE / "items.py"), str(asked.work), str(asked.items)], stdout=subprocess.PIPE, text=True, check=True
    )
    shared = {**json.loads(done.stdout), "dtype": asked.dtype, "threads": asked.threads, "clock": asked.clock}
    print(f"SmolLM2-135M-Instruct, {asked.dtype}, {asked.threads} threads, {asked.clock} seconds", flush=True)
    results = []
    for name in asked.only.split(","):
        found = weigh(asked, shared, name) if name in TASKS else (sweep if name == "sweep" else write)(asked, shared)
        print(", ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in found.items()), flush=True)
        results.append(found)
    (asked.work / "evaluate.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
