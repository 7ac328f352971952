"""Speed and memory of training against TRL: `python bench/train.py` (bench/README.md says what is compared and how).

Each run is a process of its own; ours and the peer's take turns. This process imports no torch, so that its memory is not theirs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TRUNK, HEAD = 106_203_456, 28_311_552  # weights of SmolLM2-135M's linear maps, and of its vocabulary head
SFT = {"objective": "sft", "rows": 1, "packing": True}
DPO = {"objective": "dpo", "rows": 8}
ORPO = {"objective": "orpo", "rows": 8}
# What is run: name -> side, what it changes in the job. `rows` is the peer's batch on the device; the rest is accumulated.
RUNS = {
    "sft ours": ("ours", SFT),
    "sft TRL packed": ("trl", SFT),
    "sft ours compiled": ("ours", {**SFT, "compile": True}),
    "sft TRL defaults": ("trl", {**SFT, "rows": 8, "packing": False, "checkpointing": True}),
    "dpo ours": ("ours", DPO),
    "dpo TRL": ("trl", DPO),
    "dpo TRL defaults": ("trl", {**DPO, "checkpointing": True}),
    "orpo ours": ("ours", ORPO),
    "orpo TRL": ("trl", ORPO),
}
AGAINST = {"sft": "sft TRL packed", "dpo": "dpo TRL", "orpo": "orpo TRL"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default=",".join(RUNS), help="names of runs, separated by commas")
    parser.add_argument("--updates", type=int, default=24, help="updates a run, of which the first few are not counted")
    parser.add_argument("--cold", type=int, default=4, help="updates that are not counted")
    parser.add_argument("--rounds", type=int, default=1, help="how often every run is made, in turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: seconds of processor time, for a machine in use")
    parser.add_argument("--peer-python", default=str(HERE / ".venv/bin/python"), help="an environment made from constraints-oracle.txt")
    parser.add_argument("--work", type=Path, default=HERE / ".work", help="folder for data and figures")
    parser.add_argument("--half-billion", action="store_true", help="instead: full fine-tuning of a random 0.5B Llama")
    parser.add_argument(
        "--profile",
        choices=[name for name, (side, _) in RUNS.items() if side == "ours"],
        help="instead: where the time of one of our runs goes, over a few updates",
    )
    parser.add_argument("--no-check", action="store_true", help="do not compare losses first")
    return parser.parse_args()


def start(side: str, job: dict, asked: argparse.Namespace, name: str) -> dict:
    """Run one job and read what it found."""
    folder = asked.work / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    job = {**job, "work": str(folder / "out"), "out": str(folder / "found.json"), "threads": asked.threads}
    (folder / "job.json").write_text(json.dumps(job))
    python, script = (sys.executable, "ours.py") if side == "ours" else (asked.peer_python, "peer_trl.py")
    environment = os.environ | {"OMP_NUM_THREADS": str(asked.threads), "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    if side != "ours":
        environment.pop("PYTHONPATH", None)
    with (folder / "log.txt").open("w") as log:
        done = subprocess.run([python, str(HERE / script), str(folder / "job.json")], env=environment, stdout=log, stderr=log, check=False)
    if done.returncode:
        sys.exit(f"{name} failed; see {folder / 'log.txt'}")
    return json.loads((folder / "found.json").read_text())


def made(asked: argparse.Namespace, examples: int) -> dict:
    """The data, made once, and what every job shares."""
    done = subprocess.run(
        [sys.executable, str(HERE / "rows.py"), str(asked.work / "data"), str(examples)], stdout=subprocess.PIPE, text=True, check=True
    )
    facts = json.loads(done.stdout)
    print("tokens of prompt, chosen and rejected answer:", json.dumps(facts["lengths"]), flush=True)
    return {
        "model": facts["model"],
        "data": str(asked.work / "data"),
        "updates": asked.updates,
        "batch": 8,
        "sequence": 1024,
        "lora": {"rank": 16},
        "parameters": {},
        "learning_rate": 1e-4,
        "checkpointing": False,
        "packing": False,
    }


def check(job: dict, asked: argparse.Namespace) -> dict[str, dict]:
    """What both sides say of the same two rows in float32 before anything is learned: the loss; of DPO, whose loss is then log 2 whatever
    the model, the mean log-probabilities of the answers.
    """
    few = asked.work / "few"
    for kind in ("instruction/train.jsonl", "preference/train.jsonl", "pairs.jsonl"):
        lines = (asked.work / "data" / kind).read_text().splitlines()[:2]
        (few / kind).parent.mkdir(parents=True, exist_ok=True)
        (few / kind).write_text("".join(f"{line}\n" for line in lines))
    found = {}
    for name, settings in (("sft", {**SFT, "packing": False}), ("dpo", DPO), ("orpo", ORPO)):
        once = {**job, **settings, "data": str(few), "updates": 1, "precision": "float32", "batch": 2, "rows": 2}
        found[name] = {side: start(side, once, asked, f"check {name} {side}")["first"] for side in ("ours", "trl")}
        for what, value in found[name]["ours"].items():
            print(f"the same rows, {name}, {what}: {value:.5f} ours, {found[name]['trl'][what]:.5f} TRL", flush=True)
    return found


def rate(found: dict, asked: argparse.Namespace) -> float:
    """Useful tokens a second after the cold updates; the reference pass, where it is one, is charged by its share of the pairs."""
    counted = found["updates"][asked.cold :]
    seconds = sum(update[asked.clock] for update in counted)
    if found["reference"]:
        seconds += sum(part[asked.clock] for part in found["reference"]) * len(counted) / len(found["updates"])
    return sum(update["amount"] for update in counted) / seconds


def table(results: dict[str, list[dict]], asked: argparse.Namespace) -> list[dict]:
    """One row a run: the median of its rounds, and beside ours the ratios to TRL's."""
    rows = []
    for name, rounds in results.items():
        row = {
            "run": name,
            "tokens_per_second": statistics.median(rate(found, asked) for found in rounds),
            "peak_mb": max(found["peak_mb"] for found in rounds),
        }
        if gemm := [found["gemm"][asked.clock] for found in rounds if "gemm" in found]:
            row["gemm_tflops"] = max(gemm)
        rows.append(row)
    by_name = {row["run"]: row for row in rows}
    for row in rows:
        peer = by_name.get(AGAINST[row["run"].partition(" ")[0]])
        if peer is not None and "TRL" not in row["run"]:
            row |= {"faster": row["tokens_per_second"] / peer["tokens_per_second"], "memory": row["peak_mb"] / peer["peak_mb"]}
    return rows


def utilisation(row: dict, lengths: dict) -> float | None:
    """Share of the GEMM rate that useful products take: 4 x weights of the trunk a token, of the head a scored token (frozen weights
    want no gradient of their own). Attention, adapters and the reference pass are not counted as useful.
    """
    if "gemm_tflops" not in row:
        return None
    parts = {name: lengths[name] for name in ("prompt", "chosen", "rejected")}
    scored = parts["chosen"] if row["run"].startswith("sft") else parts["chosen"] + parts["rejected"]
    read = scored + parts["prompt"]
    return row["tokens_per_second"] * 4 * (TRUNK + HEAD * scored / read) / 1e12 / row["gemm_tflops"]


def main() -> None:
    asked = arguments()
    asked.work = asked.work.resolve()
    if asked.half_billion:
        found = start("ours", {"half_billion": True, "updates": min(asked.updates, 4)}, asked, "half billion")
        print(
            f"full fine-tuning of {found['parameters'] / 1e6:.0f} M parameters: peak {found['peak_mb']:,.0f} MB, losses {found['losses']}"
        )
        return
    if asked.profile:
        asked.updates = min(asked.updates, 4)
        job = made(asked, 40 * asked.updates)
        found = start("ours", {**job, **RUNS[asked.profile][1], "profile": True}, asked, f"profile {asked.profile}")
        for row in found["profile"]:
            print(f"{row['share']:6.1%}  {row['calls']:7,} calls  {row['operation']}")
        return
    names = asked.runs.split(",")
    job = made(asked, max(8 * asked.updates, 40 * asked.updates if "sft" in asked.runs else 0))
    losses = {} if asked.no_check else check(job, asked)
    results: dict[str, list[dict]] = {name: [] for name in names}
    for _ in range(asked.rounds):
        for name in names:
            side, settings = RUNS[name]
            results[name].append(start(side, {**job, **settings}, asked, name))
            print(f"{name}: {rate(results[name][-1], asked):,.0f} tokens a second, {results[name][-1]['peak_mb']:,.0f} MB", flush=True)
    rows = table(results, asked)
    means = mean_lengths(asked.work / "data")
    print(f"\n| run | tokens/{asked.clock} s | against TRL | peak MB | of TRL's | MFU |\n|---|---|---|---|---|---|")
    for row in rows:
        row["mfu"] = utilisation(row, means)
        ratio, memory, mfu = (
            f"{row[k]:{form}}" if row.get(k) else "" for k, form in (("faster", ".2f"), ("memory", ".0%"), ("mfu", ".0%"))
        )
        print(f"| {row['run']} | {row['tokens_per_second']:,.0f} | {ratio} | {row['peak_mb']:,.0f} | {memory} | {mfu} |")
    facts = {"threads": asked.threads, "clock": asked.clock, "updates": asked.updates, "cold": asked.cold, "rounds": asked.rounds}
    (asked.work / "train.json").write_text(json.dumps({"settings": facts, "losses": losses, "rows": rows, "runs": results}, indent=1))
    print(f"\nall figures: {asked.work / 'train.json'}")


def mean_lengths(data: Path) -> dict[str, float]:
    """Mean tokens of prompt, chosen and rejected answer, as rows.py wrote them beside its rows."""
    return json.loads((data / "lengths.json").read_text())


if __name__ == "__main__":
    main()
